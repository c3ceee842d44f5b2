# Between two lives of a respawned service post-stop runs.
job job
  respawn
  exec serve
  post-stop exec tidy
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit job main 1
    log job main process (1) terminated with status 1
    log job main process ended, respawning
    event stopping JOB=job INSTANCE= RESULT=ok
    spawn job post-stop
status job
    job respawn/post-stop, post-stop 2
exit job post-stop
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
status job
    job start/running, main 3
