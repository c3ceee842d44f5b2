# A wrong `expect daemon': after two seconds the process it has is taken as the one.
job job
  expect daemon
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
fork job main
tick 2000
    log job main process forked once, not twice as `expect daemon' says; following process 2 (use `expect fork')
    settle job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 2
fork job main
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
status job
    no instance
