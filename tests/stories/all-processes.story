# Each process runs in its state.
job web
  pre-start exec prepare
  exec serve
  post-start exec announce
  pre-stop exec warn
  post-stop exec tidy
end
show states
start web
    goal web start
    state web starting
    event starting JOB=web INSTANCE=
    state web security-spawning
    state web security
    state web pre-starting
    spawn web pre-start
    state web pre-start
exit web pre-start
    state web spawning
    spawn web main
    state web spawned
    state web post-starting
    spawn web post-start
    state web post-start
exit web post-start
    state web running
    answer start web: web
    event started JOB=web INSTANCE=
status web
    web start/running, main 2
stop web
    goal web stop
    state web pre-stopping
    spawn web pre-stop
    state web pre-stop
exit web pre-stop
    state web stopping
    event stopping JOB=web INSTANCE= RESULT=ok
    state web killed
    signal web main TERM
exit web main TERM
    log web main process (2) killed by TERM signal
    state web post-stopping
    spawn web post-stop
    state web post-stop
exit web post-stop
    state web waiting
    answer stop web: ok
    event stopped JOB=web INSTANCE= RESULT=ok
