# Once the service runs the event is over.
job job
  start on go
  exec serve
end
emit go
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event go
    answer emit go: ok
exit job main KILL
    log job main process (1) killed by KILL signal
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=KILL
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=KILL
