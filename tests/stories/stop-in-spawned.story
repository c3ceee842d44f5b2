# A main process that is expected to fork, and does not, can be stopped.
job job
  expect fork
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
status job
    job start/spawned, main 1
stop job
    answer start job: job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
list
    no instance
