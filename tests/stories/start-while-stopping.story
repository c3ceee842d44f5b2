# The way down is finished first, post-stop too; then the job starts anew.
job job
  exec serve
  post-stop exec tidy
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
start job X=2
    answer stop job: ok
status job
    job start/killed, main 1
exit job main TERM
    log job main process (1) killed by TERM signal
    spawn job post-stop
status job
    job start/post-stop, post-stop 2
exit job post-stop
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job X=2: job
    event started JOB=job INSTANCE=
env job main X
    X=2
status job
    job start/running, main 3
