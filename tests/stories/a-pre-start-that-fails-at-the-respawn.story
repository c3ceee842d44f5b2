# The respawn ends there.
job job
  respawn
  pre-start exec test
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
exit job pre-start
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main KILL
    log job main process (2) killed by KILL signal
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job pre-start
exit job pre-start 1
    log job pre-start process (3) terminated with status 1
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=pre-start EXIT_STATUS=1
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=pre-start EXIT_STATUS=1
