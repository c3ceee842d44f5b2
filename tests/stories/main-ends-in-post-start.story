# post-start is finished first; then the job fails.
job job
  exec serve
  post-start exec announce
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    spawn job post-start
exit job main KILL
    log job main process (1) killed by KILL signal
status job
    job stop/post-start, post-start 2
exit job post-start
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=KILL
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main EXIT_SIGNAL=KILL
