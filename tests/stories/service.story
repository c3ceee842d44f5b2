# A service is started, runs, and is stopped.
job web
  exec sleep 600
end
show states objects
start web
    added instance web
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
    event started JOB=web INSTANCE=
status web
    web start/running, main 1
stop web
    goal web stop
    state web stopping
    event stopping JOB=web INSTANCE= RESULT=ok
    state web killed
    signal web main TERM
exit web main TERM
    log web main process (1) killed by TERM signal
    state web post-stopping
    state web post-stop
    state web waiting
    answer stop web: ok
    removed instance web
    event stopped JOB=web INSTANCE= RESULT=ok
list
    no instance
