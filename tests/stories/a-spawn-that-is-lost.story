# The keeper had not read the request: it is asked again, once.
keeper slow
job job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
crash
come back
    restarted
    spawn job main
status job
    job start/spawning, main 0
spawned job main
    answer start job: job
    event started JOB=job INSTANCE=
