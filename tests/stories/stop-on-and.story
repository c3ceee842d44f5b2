# Both are needed; they wait until the job has stopped. A new life begins with neither.
job job
  stop on A and B
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
emit A
emit B
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    event stopped JOB=job INSTANCE= RESULT=ok
    event A
    answer emit A: ok
    event B
    answer emit B: ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
emit A
restart job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (2) killed by TERM signal
    event A
    answer emit A: ok
    event starting JOB=job INSTANCE=
    spawn job main
    answer restart job: job
    event started JOB=job INSTANCE=
emit B no-wait
    answer emit B no-wait: ok
status job
    job start/running, main 3
