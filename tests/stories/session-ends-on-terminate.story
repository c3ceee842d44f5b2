# session-end TYPE=shutdown, all jobs are stopped, then the session is over.
settings session
job one
  exec serve
  post-stop exec tidy
end
job two
  exec serve
  pre-stop exec warn
end
job end
  task
  start on session-end
  exec say
end
start one
    event starting JOB=one INSTANCE=
    spawn one main
    answer start one: one
    event started JOB=one INSTANCE=
start two
    event starting JOB=two INSTANCE=
    spawn two main
    answer start two: two
    event started JOB=two INSTANCE=
signal TERM
    spawn two pre-stop
    event stopping JOB=one INSTANCE= RESULT=ok
    event starting JOB=end INSTANCE=
    signal one main TERM
    spawn end main
    event started JOB=end INSTANCE=
env end main TYPE
    TYPE=shutdown
exit one main TERM
    log one main process (1) killed by TERM signal
    spawn one post-stop
exit two pre-stop
    event stopping JOB=two INSTANCE= RESULT=ok
    signal two main TERM
exit one post-stop
    event stopped JOB=one INSTANCE= RESULT=ok
exit end main
    event stopping JOB=end INSTANCE= RESULT=ok
    event stopped JOB=end INSTANCE= RESULT=ok
    event session-end TYPE=shutdown
exit two main TERM
    log two main process (2) killed by TERM signal
    event stopped JOB=two INSTANCE= RESULT=ok
    exit 0
