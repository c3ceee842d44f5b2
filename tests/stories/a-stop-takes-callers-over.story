# A caller that waits for the start is let go by the stop, and the other way round.
job job
  pre-start exec prepare
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
stop job
    answer start job: job
start job A=2
    answer stop job: ok
exit job pre-start
    spawn job main
    answer start job A=2: job
    event started JOB=job INSTANCE=
env job main A
    none of them
status job
    job start/running, main 2
