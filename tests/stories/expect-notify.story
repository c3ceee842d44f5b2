# It says READY=1.
job job
  expect notify
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
status job
    job start/spawned, main 1
ready job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 1
ready job main
