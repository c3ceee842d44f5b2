# The newest definition counts.
show objects
job job
  exec old
end
    added job
start job
    added instance job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
remove job
job job
  exec new
end
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    removed instance job
    removed job
    added job
    event stopped JOB=job INSTANCE= RESULT=ok
start job
    added instance job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
program job main
    new
