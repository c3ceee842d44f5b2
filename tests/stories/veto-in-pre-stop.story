# `start` in pre-stop takes the stop back; no event tells of it.
job job
  exec serve
  pre-stop exec may-i
  post-stop exec tidy
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    spawn job pre-stop
instance start job
    answer stop job: ok
status job
    job start/pre-stop, main 1, pre-stop 2
exit job pre-stop
    answer instance start job: ok
status job
    job start/running, main 1
