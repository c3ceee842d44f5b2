# A service that ends by itself is stopped; status 0 is no failure.
job job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main 3
    log job main process (2) terminated with status 3
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=3
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=3
