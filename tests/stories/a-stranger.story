# A process without a job file is left in peace; a new life is not mistaken for it.
job job
  exec serve
end
crash
stranger gone main 900
stranger job post-start 901
come back
    restarted
list
    no instance
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
exit gone main
exit job post-start
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (3) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
