# A service that is started while the session ends is stopped again; calls are answered.
settings session
job job
  exec serve
end
job late
  start on session-end
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
end-session
    answer end-session: ok
    event stopping JOB=job INSTANCE= RESULT=ok
    event starting JOB=late INSTANCE=
    signal job main TERM
    spawn late main
    event started JOB=late INSTANCE=
    event session-end TYPE=logout
    event stopping JOB=late INSTANCE= RESULT=ok
    signal late main TERM
exit late main TERM
    log late main process (2) killed by TERM signal
    event stopped JOB=late INSTANCE= RESULT=ok
exit job main TERM
    log job main process (1) killed by TERM signal
    event stopped JOB=job INSTANCE= RESULT=ok
    exit 0
