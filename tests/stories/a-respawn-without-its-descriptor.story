# What an event brought along is closed when the event is over; a respawned process does not get it.
job job
  start on socket
  respawn
  exec serve
end
emit socket file=s1
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    release s1
    event socket
    answer emit socket file=s1: ok
env job main
    none of them
exit job main 1
    log job main process (1) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
env job main
    none of them
