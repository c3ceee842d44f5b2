# The class goes with its last instance; no new instance begins, and it is started by no event.
show objects
job job
  instance $N
  start on go
  exec serve
end
    added job
start job N=1
    added instance job:1
    event starting JOB=job INSTANCE=1
    spawn job:1 main
    answer start job N=1: job:1
    event started JOB=job INSTANCE=1
remove job
start job N=2
    answer start job N=2: error, Unknown job: job
emit go N=2
    event go N=2
    answer emit go N=2: ok
stop job N=1
    event stopping JOB=job INSTANCE=1 RESULT=ok
    signal job:1 main TERM
exit job:1 main TERM
    log job (1) main process (1) killed by TERM signal
    answer stop job N=1: ok
    removed instance job:1
    removed job
    event stopped JOB=job INSTANCE=1 RESULT=ok
start job N=1
    answer start job N=1: error, Unknown job: job
remove job
