# The event is not undone, the job is not stopped; nobody is answered.
job job
  task
  start on go
  exec await end
end
job next
  start on stopped job
  exec serve
end
emit go
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
start job
    answer start job: error, Job is already running: job
disconnect emit go
exit job main
    event stopping JOB=job INSTANCE= RESULT=ok
    event go
    event starting JOB=next INSTANCE=
    spawn next main
    event started JOB=next INSTANCE=
    event stopped JOB=job INSTANCE= RESULT=ok
status next
    next start/running, main 2
stop next
    event stopping JOB=next INSTANCE= RESULT=ok
    signal next main TERM
disconnect stop next
exit next main TERM
    log next main process (2) killed by TERM signal
    event stopped JOB=next INSTANCE= RESULT=ok
