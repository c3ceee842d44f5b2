# It is waited for; nothing more can be done.
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
tick 60000
    signal job main KILL
status job
    job stop/killed, main 1
exit job main KILL
    log job main process (1) killed by KILL signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
