# A manager that died between taking a call and removing it leaves it for the next one.
job job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
again start job
crash
come back
    restarted
again start job
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
again stop job
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
