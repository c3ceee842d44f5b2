# The caller is answered, then init is executed anew; running jobs and waiting callers stay.
job job
  exec serve
  pre-start exec prepare
end
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
restart-init
    answer restart-init: ok
    re-execute
    answer restart-init: ok
    restarted
status job
    job start/pre-start, pre-start 1
exit job pre-start
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 2
start job
    answer start job: error, Job is already running: job
