# pre-stop goes on; then the job stops.
job job
  exec serve
  pre-stop exec warn
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    spawn job pre-stop
exit job main
status job
    job stop/pre-stop, pre-stop 2
exit job pre-stop
    event stopping JOB=job INSTANCE= RESULT=ok
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
