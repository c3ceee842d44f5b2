# A pre-start that has begun is not cut off; then the job goes down without a main process.
job job
  pre-start exec prepare
  exec serve
  post-stop exec tidy
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
stop job
    answer start job: job
status job
    job stop/pre-start, pre-start 1
exit job pre-start
    event stopping JOB=job INSTANCE= RESULT=ok
    spawn job post-stop
exit job post-stop
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
list
    no instance
