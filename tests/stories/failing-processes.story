# post-start and pre-stop may fail, it is only reported.
job job
  exec serve
  post-start exec false
  pre-stop exec false
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    spawn job post-start
exit job post-start 1
    log job post-start process (2) terminated with status 1
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    spawn job pre-stop
exit job pre-stop 1
    log job pre-stop process (3) terminated with status 1
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
