# Exported variables follow in all four events of the job.
job job
  export COLOUR NONE
  env COLOUR=red
  exec serve
end
job other
  start on started job COLOUR=blue
end
start job COLOUR=blue
    event starting JOB=job INSTANCE= COLOUR=blue
    spawn job main
    answer start job COLOUR=blue: job
    event starting JOB=other INSTANCE=
    event started JOB=other INSTANCE=
    event started JOB=job INSTANCE= COLOUR=blue
status other
    other start/running
exit job main 1
    log job main process (1) terminated with status 1
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1 COLOUR=blue
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1 COLOUR=blue
