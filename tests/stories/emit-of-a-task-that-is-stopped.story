# The task that the event started is stopped by hand; that is no failure.
job job
  task
  start on go
  exec sleep 600
end
emit go
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
stop job
    event go
    answer emit go: ok
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
