# Two words tell of it: no status.
job job
  exec serve
end
refuse job main unable to execute: Permission denied
start job
    event starting JOB=job INSTANCE=
    spawn job main
    log Failed to spawn job main process: unable to execute: Permission denied
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main
list
    no instance
