# Main is not tried; post-stop tidies up.
job job
  pre-start exec prepare
  exec serve
  post-stop exec tidy
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
exit job pre-start 2
    log job pre-start process (1) terminated with status 2
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=pre-start EXIT_STATUS=2
    spawn job post-stop
exit job post-stop
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=pre-start EXIT_STATUS=2
list
    no instance
