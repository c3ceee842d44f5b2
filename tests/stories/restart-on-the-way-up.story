# It goes down from where a stop would.
job job
  pre-start exec prepare
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
restart job
    answer start job: job
exit job pre-start
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job pre-start
exit job pre-start
    spawn job main
    answer restart job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 3
