# For a task, a service and a stop together.
job task
  task
  start on go
  exec await one
end
job service
  start on go
  exec serve
  post-start exec await two
end
job stopped
  stop on go
  exec serve
  post-stop exec await three
end
start stopped
    event starting JOB=stopped INSTANCE=
    spawn stopped main
    answer start stopped: stopped
    event started JOB=stopped INSTANCE=
emit go
    event starting JOB=service INSTANCE=
    event stopping JOB=stopped INSTANCE= RESULT=ok
    event starting JOB=task INSTANCE=
    spawn service main
    signal stopped main TERM
    spawn task main
    spawn service post-start
    event started JOB=task INSTANCE=
exit task main
    event stopping JOB=task INSTANCE= RESULT=ok
    event stopped JOB=task INSTANCE= RESULT=ok
exit service post-start
    event started JOB=service INSTANCE=
exit stopped main TERM
    log stopped main process (1) killed by TERM signal
    spawn stopped post-stop
exit stopped post-stop
    event stopped JOB=stopped INSTANCE= RESULT=ok
    event go
    answer emit go: ok
list
    service start/running, main 2
