# The goal of a respawn can be turned to stop.
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
stop job
exit job post-stop
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
list
    no instance
