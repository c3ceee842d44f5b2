# Stopping a job that is stopped, or on its way, is an error.
job job
  exec sleep 600
  post-stop exec tidy
end
stop job
    answer stop job: error, Unknown instance: 
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    spawn job post-stop
stop job
    answer stop job: error, Job has already been stopped: job
exit job post-stop
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
stop job
    answer stop job: error, Unknown instance: 
