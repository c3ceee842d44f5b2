# Its table was damaged: nobody knows how the process ended.
job job
  exec serve
end
job again
  respawn
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
start again
    event starting JOB=again INSTANCE=
    spawn again main
    answer start again: again
    event started JOB=again INSTANCE=
crash
forget job main
forget again main
come back
    restarted
    log job main process (1) is not in the keeper's table; taken as ended
    log job main process (1) is gone, nobody knows how
    log again main process (2) is not in the keeper's table; taken as ended
    log again main process (2) is gone, nobody knows how
    log again main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main
    event stopping JOB=again INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main
    event starting JOB=again INSTANCE=
    spawn again main
    event started JOB=again INSTANCE=
list
    again start/running, main 3
