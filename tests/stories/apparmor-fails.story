# Without its profile the job does not run.
settings apparmor
job job
  apparmor load /etc/apparmor.d/job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job security
exit job security 1
    log job security process (1) terminated with status 1
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=security EXIT_STATUS=1
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=security EXIT_STATUS=1
