# The caller that waits for a task hears of the stop as of a success.
job job
  task
  exec sleep 600
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
stop job
    answer start job: job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
