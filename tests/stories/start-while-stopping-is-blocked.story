# `stopping` is waited for, then the job goes down, and up.
job job
  exec serve
end
job last
  task
  start on stopping job
  exec say goodbye
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    event starting JOB=last INSTANCE=
    spawn last main
    event started JOB=last INSTANCE=
start job
    answer stop job: ok
exit last main
    event stopping JOB=last INSTANCE= RESULT=ok
    event stopped JOB=last INSTANCE= RESULT=ok
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 3
