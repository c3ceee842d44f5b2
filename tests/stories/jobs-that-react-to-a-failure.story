# start on stopped JOB RESULT=failed, and by status.
job job
  task
  instance $S
  exec sum
end
job any
  start on stopped job RESULT=failed
  exec sleep 600
end
job some
  start on stopped JOB=job EXIT_STATUS=[12]
  exec sleep 600
end
job ok
  start on stopped job RESULT=ok
  exec sleep 600
end
start job S=0
    event starting JOB=job INSTANCE=0
    spawn job:0 main
    event started JOB=job INSTANCE=0
exit job:0 main
    event stopping JOB=job INSTANCE=0 RESULT=ok
    answer start job S=0: job:0
    event starting JOB=ok INSTANCE=
    spawn ok main
    event started JOB=ok INSTANCE=
    event stopped JOB=job INSTANCE=0 RESULT=ok
list
    ok start/running, main 2
start job S=3
    event starting JOB=job INSTANCE=3
    spawn job:3 main
    event started JOB=job INSTANCE=3
exit job:3 main 3
    log job (3) main process (3) terminated with status 3
    event stopping JOB=job INSTANCE=3 RESULT=failed PROCESS=main EXIT_STATUS=3
    answer start job S=3: error, Job failed to start
    event starting JOB=any INSTANCE=
    spawn any main
    event started JOB=any INSTANCE=
    event stopped JOB=job INSTANCE=3 RESULT=failed PROCESS=main EXIT_STATUS=3
list
    any start/running, main 4
    ok start/running, main 2
start job S=2
    event starting JOB=job INSTANCE=2
    spawn job:2 main
    event started JOB=job INSTANCE=2
exit job:2 main 2
    log job (2) main process (5) terminated with status 2
    event stopping JOB=job INSTANCE=2 RESULT=failed PROCESS=main EXIT_STATUS=2
    answer start job S=2: error, Job failed to start
    event starting JOB=some INSTANCE=
    spawn some main
    event started JOB=some INSTANCE=
    event stopped JOB=job INSTANCE=2 RESULT=failed PROCESS=main EXIT_STATUS=2
list
    any start/running, main 4
    ok start/running, main 2
    some start/running, main 6
