# Two forks.
job job
  expect daemon
  respawn
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
fork job main
status job
    job start/spawned, main 2
fork job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 3
exit job main KILL
    log job main process (3) killed by KILL signal
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
fork job main
fork job main
    event started JOB=job INSTANCE=
