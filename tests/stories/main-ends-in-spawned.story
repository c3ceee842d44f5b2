# It never became ready: the caller hears of a failure.
job job
  expect daemon
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
exit job main 1
    log job main process (1) terminated with status 1
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
