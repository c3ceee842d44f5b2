# The caller hears of it then.
keeper slow
job job
  exec serve
end
refuse job main unable to execute: No such file or directory
start job
    event starting JOB=job INSTANCE=
    spawn job main
spawned job main
    log Failed to spawn job main process: unable to execute: No such file or directory
    event stopping JOB=job INSTANCE= RESULT=failed PROCESS=main
    answer start job: error, Job failed to start
    event stopped JOB=job INSTANCE= RESULT=failed PROCESS=main
