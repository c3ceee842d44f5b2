# Who waits for the start that took the stop back is answered when the job is running again.
job job
  exec serve
  pre-stop exec may-i
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    spawn job pre-stop
start job A=1
    answer stop job: ok
exit job pre-stop
    answer start job A=1: job
status job
    job start/running, main 1
