# The same event in both: it starts a stopped job, and restarts a running one.
job job
  start on flip
  stop on flip
  exec serve
end
emit flip
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event flip
    answer emit flip: ok
emit flip
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event flip
    answer emit flip: ok
status job
    job start/running, main 2
