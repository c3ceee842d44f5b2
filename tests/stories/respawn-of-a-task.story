# A task that fails is tried again; one that ends well is finished, and its caller is answered then.
job job
  task
  respawn
  exec sum
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (1) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
status job
    job start/running, main 2
exit job main
    event stopping JOB=job INSTANCE= RESULT=ok
    answer start job: job
    event stopped JOB=job INSTANCE= RESULT=ok
