# stop while the `starting` event still waits for another job.
job job
  exec sleep 600
end
job before
  task
  start on starting job
  exec await go
end
start job
    event starting JOB=before INSTANCE=
    spawn before main
    event started JOB=before INSTANCE=
stop job
    answer start job: job
status job
    job stop/starting
exit before main
    event stopping JOB=before INSTANCE= RESULT=ok
    event stopped JOB=before INSTANCE= RESULT=ok
    event starting JOB=job INSTANCE=
    event stopping JOB=job INSTANCE= RESULT=ok
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
list
    no instance
