# An exit that nobody heard is in the roll call.
job job
  respawn
  exec serve
end
job task
  task
  exec sum
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
start task
    event starting JOB=task INSTANCE=
    spawn task main
    event started JOB=task INSTANCE=
crash
exit job main KILL
exit task main 3
come back
    restarted
    log job main process (1) killed by KILL signal
    log job main process ended, respawning
    log task main process (2) terminated with status 3
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopping JOB=task INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=3
    answer start task: error, Job failed to start
    event starting JOB=job INSTANCE=
    event stopped JOB=task INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=3
    spawn job main
    event started JOB=job INSTANCE=
status job
    job start/running, main 3
