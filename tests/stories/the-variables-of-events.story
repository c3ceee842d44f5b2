# Later wins: env stanzas, then the events in the order of the condition.
job job
  start on A and B
  stop on C
  env X=default
  env Y=default
  env Z=default
  exec serve
  post-stop exec tidy
end
emit B X=b Y=b no-wait
    answer emit B X=b Y=b no-wait: ok
emit A X=a W=a
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event A X=a W=a
    answer emit A X=a W=a: ok
    event B X=b Y=b
env job main W X Y Z UPSTART_EVENTS UPSTART_JOB UPSTART_INSTANCE
    X=b Y=b Z=default W=a UPSTART_EVENTS=A B UPSTART_JOB=job UPSTART_INSTANCE=
emit C W=c
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    spawn job post-stop
env job post-stop W X UPSTART_EVENTS UPSTART_STOP_EVENTS
    X=b W=c UPSTART_EVENTS=A B UPSTART_STOP_EVENTS=C
