# Two respawns within a minute are enough; the third death ends it.
job job
  respawn
  respawn limit 2 60
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main
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
exit job main
    log job respawning too fast, stopped
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=respawn
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=respawn
list
    no instance
