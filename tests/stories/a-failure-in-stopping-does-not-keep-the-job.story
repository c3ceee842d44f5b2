# What `stopping` starts may fail.
job base
  exec serve
end
job last
  task
  start on stopping base
  exec false
end
start base
    event starting JOB=base INSTANCE=
    spawn base main
    answer start base: base
    event started JOB=base INSTANCE=
stop base
    event starting JOB=last INSTANCE=
    spawn last main
    event started JOB=last INSTANCE=
exit last main 1
    log last main process (2) terminated with status 1
    event stopping JOB=last INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    event stopped JOB=last INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    event stopping JOB=base INSTANCE= RESULT=ok
    signal base main TERM
exit base main TERM
    log base main process (1) killed by TERM signal
    answer stop base: ok
    event stopped JOB=base INSTANCE= RESULT=ok
