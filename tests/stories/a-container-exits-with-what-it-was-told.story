# The end of a container is that of a session; the status is known to whichever manager sees it.
job job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit-init 43
    answer exit-init 43: ok
    event session-end TYPE=shutdown
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
signal END
exit job main TERM
    log job main process (1) killed by TERM signal
    event stopped JOB=job INSTANCE= RESULT=ok
    exit 43
