# The same, a little later.
job job
  exec serve
  post-stop exec tidy
end
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
start job
    answer stop job: ok
exit job post-stop
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 3
