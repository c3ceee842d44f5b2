# How main ended is told in stopping and stopped.
job job
  task
  exec sum
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (1) terminated with status 1
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
start job
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main ABRT
    log job main process (2) killed by ABRT signal
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=ABRT
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=ABRT
