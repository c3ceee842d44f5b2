# `start on starting`: the other service runs before this one is spawned.
job db
  start on starting web
  stop on stopped web
  exec serve
  post-start exec await
end
job web
  exec serve
end
start web
    event starting JOB=db INSTANCE=
    spawn db main
    spawn db post-start
exit db post-start
    event started JOB=db INSTANCE=
    event starting JOB=web INSTANCE=
    spawn web main
    answer start web: web
    event started JOB=web INSTANCE=
stop web
    event stopping JOB=web INSTANCE= RESULT=ok
    signal web main TERM
exit web main TERM
    log web main process (3) killed by TERM signal
    answer stop web: ok
    event stopping JOB=db INSTANCE= RESULT=ok
    signal db main TERM
exit db main TERM
    log db main process (1) killed by TERM signal
    event stopped JOB=db INSTANCE= RESULT=ok
    event stopped JOB=web INSTANCE= RESULT=ok
list
    no instance
