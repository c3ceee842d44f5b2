# What `normal exit` names is no failure and no reason for a respawn; what it does not name is.
job job
  respawn
  normal exit 3 TERM
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main 3
    log job main process (1) terminated with status 3
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main TERM
    log job main process (2) killed by TERM signal
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main 0
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
status job
    job start/running, main 4
