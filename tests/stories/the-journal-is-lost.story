# Running main processes are taken on again; others are left in peace and forgotten when they end.
startup
    event startup
job job
  start on startup
  instance ${N:-0}
  exec serve
  pre-stop exec warn
end
start job N=1
    event starting JOB=job INSTANCE=1
    spawn job:1 main
    answer start job N=1: job:1
    event started JOB=job INSTANCE=1
reload job:1
    signal job:1 main HUP (alone)
    answer reload job:1: ok
reload job:1
    signal job:1 main HUP (alone)
    answer reload job:1: ok
stop job N=1
    spawn job:1 pre-stop
crash
lose journal
come back
    restarted
    log job (1) was found running as process 1 and is ours again
list
    job:1 start/running, main 1
exit job:1 pre-stop
stop job N=1
    spawn job:1 pre-stop
exit job:1 pre-stop
    event stopping JOB=job INSTANCE=1 RESULT=ok
    signal job:1 main TERM
exit job:1 main TERM
    log job (1) main process (1) killed by TERM signal
    answer stop job N=1: ok
    event stopped JOB=job INSTANCE=1 RESULT=ok
