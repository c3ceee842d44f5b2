# It raises SIGSTOP, is let go on, and counts as ready.
job job
  expect stop
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
status job
    job start/spawned, main 1
stop-itself job main
    answer start job: job
    signal job main CONT (alone)
    event started JOB=job INSTANCE=
status job
    job start/running, main 1
stop-itself job main
