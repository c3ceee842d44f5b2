# `debug': main stops before its program is executed. Whoever debugs it is told; nothing waits for that.
log-priority info
    log priority info
    answer log-priority info: ok
job job
  debug
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main KILL
    log job main process (1) killed by KILL signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
