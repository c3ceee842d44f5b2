# New instances beside old ones have the old definition too.
job job
  instance $N
  exec old
end
start job N=1
    event starting JOB=job INSTANCE=1
    spawn job:1 main
    answer start job N=1: job:1
    event started JOB=job INSTANCE=1
job job
  instance $N
  exec new
end
start job N=2
    event starting JOB=job INSTANCE=2
    spawn job:2 main
    answer start job N=2: job:2
    event started JOB=job INSTANCE=2
program job:2 main
    old
stop job N=1
    event stopping JOB=job INSTANCE=1 RESULT=ok
    signal job:1 main TERM
exit job:1 main TERM
    log job (1) main process (1) killed by TERM signal
    answer stop job N=1: ok
    event stopped JOB=job INSTANCE=1 RESULT=ok
stop job N=2
    event stopping JOB=job INSTANCE=2 RESULT=ok
    signal job:2 main TERM
exit job:2 main TERM
    log job (2) main process (2) killed by TERM signal
    answer stop job N=2: ok
    event stopped JOB=job INSTANCE=2 RESULT=ok
start job N=3
    event starting JOB=job INSTANCE=3
    spawn job:3 main
    answer start job N=3: job:3
    event started JOB=job INSTANCE=3
program job:3 main
    new
