# It comes once, and never again.
job job
  start on startup
  task
  exec sum
end
startup
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
exit job main
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
    event startup
startup
crash
come back
    restarted
