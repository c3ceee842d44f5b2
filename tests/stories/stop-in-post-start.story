# post-start is finished first.
job job
  exec serve
  post-start exec announce
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    spawn job post-start
stop job
    answer start job: job
status job
    job stop/post-start, main 1, post-start 2
exit job post-start
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
