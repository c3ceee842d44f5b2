# restart does not start.
job job
  exec serve
end
restart job
    answer restart job: error, Unknown instance: 
start job no-wait
    answer start job no-wait: job
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
stop job no-wait
    answer stop job no-wait: ok
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
restart job
    answer restart job: error, Job has already been stopped: job
exit job main TERM
    log job main process (1) killed by TERM signal
    event stopped JOB=job INSTANCE= RESULT=ok
