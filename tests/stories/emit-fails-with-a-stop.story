# A job that it stopped failed in post-stop.
job job
  stop on go
  exec serve
  post-stop exec false
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
emit go
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    spawn job post-stop
exit job post-stop 1
    log job post-stop process (2) terminated with status 1
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=post-stop EXIT_STATUS=1
    event go
    answer emit go: error, Event failed
