# TERM to the group, after five seconds KILL.
job job
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
tick 4999
tick 1
    signal job main KILL
exit job main KILL
    log job main process (1) killed by KILL signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
