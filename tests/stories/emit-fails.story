# An event fails with a task that it started, after all others are done.
job good
  task
  start on go
  exec await end
end
job bad
  task
  start on go
  exec false
end
emit go
    event starting JOB=bad INSTANCE=
    event starting JOB=good INSTANCE=
    spawn bad main
    spawn good main
    event started JOB=bad INSTANCE=
    event started JOB=good INSTANCE=
exit bad main 1
    log bad main process (1) terminated with status 1
    event stopping JOB=bad INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    event stopped JOB=bad INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
exit good main
    event stopping JOB=good INSTANCE= RESULT=ok
    event stopped JOB=good INSTANCE= RESULT=ok
    event go
    answer emit go: error, Event failed
emit go no-wait
    answer emit go no-wait: ok
    event starting JOB=bad INSTANCE=
    event starting JOB=good INSTANCE=
    spawn bad main
    spawn good main
    event started JOB=bad INSTANCE=
    event started JOB=good INSTANCE=
exit bad main 1
    log bad main process (3) terminated with status 1
    event stopping JOB=bad INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
    event stopped JOB=bad INSTANCE= RESULT=failed PROCESS=main EXIT_STATUS=1
exit good main
    event stopping JOB=good INSTANCE= RESULT=ok
    event stopped JOB=good INSTANCE= RESULT=ok
    event go
