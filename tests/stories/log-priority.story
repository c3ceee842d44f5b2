# It is kept; what is below is not told.
job job
  exec serve
end
log-priority error
    log priority error
    answer log-priority error: ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main 1
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
log-priority warn
    log priority warn
    answer log-priority warn: ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (2) terminated with status 1
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
