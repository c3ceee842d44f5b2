# The keeper takes its time; the goal turns before main runs.
keeper slow
job job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
stop job
    answer start job: job
status job
    job stop/spawning, main 0
spawned job main
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
