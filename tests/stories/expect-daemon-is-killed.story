# The wedge of legend: one fork, and the child is killed from outside. The job comes to rest, and can be used again.
job job
  expect daemon
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
fork job main
exit job main KILL
    log job main process (2) killed by KILL signal
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=KILL
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=KILL
list
    no instance
start job
    event starting JOB=job INSTANCE=
    spawn job main
fork job main
fork job main
    answer start job: job
    event started JOB=job INSTANCE=
