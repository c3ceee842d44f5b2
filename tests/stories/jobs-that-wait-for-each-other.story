# Each starts when the other does. Neither waits for ever: what is wanted already is not waited for.
job a
  start on starting b
  exec serve
end
job b
  start on starting a
  exec serve
end
start a
    event starting JOB=b INSTANCE=
    spawn b main
    event started JOB=b INSTANCE=
    event starting JOB=a INSTANCE=
    spawn a main
    answer start a: a
    event started JOB=a INSTANCE=
list
    a start/running, main 2
    b start/running, main 1
stop a
    event stopping JOB=a INSTANCE= RESULT=ok
    signal a main TERM
stop b
    event stopping JOB=b INSTANCE= RESULT=ok
    signal b main TERM
exit b main TERM
    log b main process (1) killed by TERM signal
    answer stop b: ok
    event stopped JOB=b INSTANCE= RESULT=ok
exit a main TERM
    log a main process (2) killed by TERM signal
    answer stop a: ok
    event stopped JOB=a INSTANCE= RESULT=ok
list
    no instance
