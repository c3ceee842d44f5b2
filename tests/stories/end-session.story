# The stop comes before what `stop on session-end` would do; what follows may still do its work.
settings session
job job
  stop on session-end
  exec serve
  post-stop exec tidy
end
job after
  task
  start on stopped job
  exec say
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
end-session
    answer end-session: ok
    event session-end TYPE=logout
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    spawn job post-stop
env job post-stop UPSTART_STOP_EVENTS TYPE
    none of them
exit job post-stop
    event starting JOB=after INSTANCE=
    spawn after main
    event started JOB=after INSTANCE=
exit after main
    event stopping JOB=after INSTANCE= RESULT=ok
    event stopped JOB=after INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
    exit 0
