# As was wanted: no failure, and no signal.
job job
  respawn
  exec serve
end
job last
  task
  start on stopping job
  exec say goodbye
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    event starting JOB=last INSTANCE=
    spawn last main
    event started JOB=last INSTANCE=
exit job main KILL
    log job main process (1) killed by KILL signal
exit last main
    event stopping JOB=last INSTANCE= RESULT=ok
    event stopped JOB=last INSTANCE= RESULT=ok
    event stopping JOB=job INSTANCE= RESULT=ok
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
