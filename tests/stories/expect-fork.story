# The child is the process then; it is signalled and its end counts.
job job
  expect fork
  pre-start exec prepare
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
fork job pre-start
    spawn job main
fork job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 4
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (4) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
