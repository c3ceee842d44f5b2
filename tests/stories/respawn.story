# A service that is killed comes back; nobody is told twice that it started by hand.
job web
  respawn
  exec serve
end
job other
  start on started web
  task
end
show states
start web
    goal web start
    state web starting
    event starting JOB=web INSTANCE=
    state web security-spawning
    state web security
    state web pre-starting
    state web pre-start
    state web spawning
    spawn web main
    state web spawned
    state web post-starting
    state web post-start
    state web running
    answer start web: web
    goal other start
    state other starting
    event starting JOB=other INSTANCE=
    state other security-spawning
    state other security
    state other pre-starting
    state other pre-start
    state other spawning
    state other spawned
    state other post-starting
    state other post-start
    state other running
    goal other stop
    state other stopping
    event started JOB=other INSTANCE=
    event stopping JOB=other INSTANCE= RESULT=ok
    state other killed
    state other post-stopping
    state other post-stop
    state other waiting
    event stopped JOB=other INSTANCE= RESULT=ok
    event started JOB=web INSTANCE=
exit web main KILL
    log web main process (1) killed by KILL signal
    log web main process ended, respawning
    goal web respawn
    state web stopping
    event stopping JOB=web INSTANCE= RESULT=ok
    state web killed
    state web post-stopping
    state web post-stop
    state web starting
    goal web start
    event starting JOB=web INSTANCE=
    state web security-spawning
    state web security
    state web pre-starting
    state web pre-start
    state web spawning
    spawn web main
    state web spawned
    state web post-starting
    state web post-start
    state web running
    goal other start
    state other starting
    event starting JOB=other INSTANCE=
    state other security-spawning
    state other security
    state other pre-starting
    state other pre-start
    state other spawning
    state other spawned
    state other post-starting
    state other post-start
    state other running
    goal other stop
    state other stopping
    event started JOB=other INSTANCE=
    event stopping JOB=other INSTANCE= RESULT=ok
    state other killed
    state other post-stopping
    state other post-stop
    state other waiting
    event stopped JOB=other INSTANCE= RESULT=ok
    event started JOB=web INSTANCE=
status web
    web start/running, main 2
