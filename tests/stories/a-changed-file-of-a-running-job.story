# The instance keeps its definition until it is gone, also in a restart.
job job
  exec old
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
job job
  stop on halt
  exec new
end
emit halt
    event halt
    answer emit halt: ok
restart job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    event starting JOB=job INSTANCE=
    spawn job main
    answer restart job: job
    event started JOB=job INSTANCE=
program job main
    old
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (2) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
program job main
    new
emit halt
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (3) killed by TERM signal
    event stopped JOB=job INSTANCE= RESULT=ok
    event halt
    answer emit halt: ok
