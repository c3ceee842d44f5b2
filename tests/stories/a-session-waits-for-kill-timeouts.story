# TERM, KILL; what is left after that does not keep the session.
settings session
job job
  kill timeout 2
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
signal TERM
    event session-end TYPE=shutdown
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
tick 2000
    signal job main KILL
tick 5000
    log The session did not end in time; killing 1 processes that are left
    signal job main KILL
    exit 0
