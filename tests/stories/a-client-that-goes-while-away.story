# Nobody is left to be answered; the job goes on.
job job
  pre-start exec prepare
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
crash
disconnect start job
come back
    restarted
exit job pre-start
    spawn job main
    event started JOB=job INSTANCE=
status job
    job start/running, main 2
