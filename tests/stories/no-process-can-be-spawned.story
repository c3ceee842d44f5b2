# Those that matter end the start or the stop, the others are only reported.
job job
  pre-start exec prepare
  exec serve
  post-start exec announce
  pre-stop exec warn
  post-stop exec tidy
end
refuse job pre-start unable to fork: Cannot allocate memory
refuse job post-stop unable to fork: Cannot allocate memory
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
    log Failed to spawn job pre-start process: unable to fork: Cannot allocate memory
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=pre-start
    spawn job post-stop
    log Failed to spawn job post-stop process: unable to fork: Cannot allocate memory
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=pre-start
refuse job post-start unable to fork: Cannot allocate memory
refuse job pre-stop unable to fork: Cannot allocate memory
start job
    event starting JOB=job INSTANCE=
    spawn job pre-start
exit job pre-start
    spawn job main
    spawn job post-start
    log Failed to spawn job post-start process: unable to fork: Cannot allocate memory
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 2
stop job
    spawn job pre-stop
    log Failed to spawn job pre-stop process: unable to fork: Cannot allocate memory
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (2) killed by TERM signal
    spawn job post-stop
exit job post-stop
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
