# The log says what is missing; the job can still be stopped, and both callers are answered.
job job
  expect stop
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
tick 10000
    log job main process (1) has not stopped itself yet, as `expect stop' says; still waiting
stop job
    answer start job: job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
