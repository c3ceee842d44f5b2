# They live side by side and stop with the same event.
job job
  instance $N
  start on go
  stop on halt
  exec serve
end
start job N=1
    event starting JOB=job INSTANCE=1
    spawn job:1 main
    answer start job N=1: job:1
    event started JOB=job INSTANCE=1
emit go N=2
    event starting JOB=job INSTANCE=2
    spawn job:2 main
    event started JOB=job INSTANCE=2
    event go N=2
    answer emit go N=2: ok
emit go N=2
    event go N=2
    answer emit go N=2: ok
start job N=1
    answer start job N=1: error, Job is already running: job (1)
list
    job:1 start/running, main 1
    job:2 start/running, main 2
emit halt
    event stopping JOB=job INSTANCE=1 RESULT=ok
    event stopping JOB=job INSTANCE=2 RESULT=ok
    signal job:1 main TERM
    signal job:2 main TERM
exit job:2 main TERM
    log job (2) main process (2) killed by TERM signal
    event stopped JOB=job INSTANCE=2 RESULT=ok
list
    job:1 stop/killed, main 1
exit job:1 main TERM
    log job (1) main process (1) killed by TERM signal
    event stopped JOB=job INSTANCE=1 RESULT=ok
    event halt
    answer emit halt: ok
