# Variables given to restart take the place of those given to start; a later start knows neither.
job job
  env A=0
  exec serve
end
start job A=1 B=1
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job A=1 B=1: job
    event started JOB=job INSTANCE=
env job main A B
    A=1 B=1
restart job A=2
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    event starting JOB=job INSTANCE=
    spawn job main
    answer restart job A=2: job
    event started JOB=job INSTANCE=
env job main A B
    A=2
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
env job main A B
    A=0
