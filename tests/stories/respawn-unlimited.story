# As often as it takes.
job job
  respawn
  respawn limit unlimited
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (1) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (2) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (3) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (4) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (5) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (6) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (7) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (8) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (9) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (10) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (11) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (12) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
status job
    job start/running, main 13
