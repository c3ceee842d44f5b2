# SIGTERM to process 1 of a container, which elsewhere means to execute itself anew.
job job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
signal END
    event session-end TYPE=shutdown
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main
    event stopped JOB=job INSTANCE= RESULT=ok
    exit 0
