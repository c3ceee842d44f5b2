# They cannot be set from outside; UPSTART_EVENTS is not there when started by hand.
settings session
job dir/job
  task
  instance $N
  start on go
  env UPSTART_INSTANCE=mine
  exec sum
end
start dir/job N=1 UPSTART_JOB=other
    event starting JOB=dir/job INSTANCE=1
    spawn dir/job:1 main
    event started JOB=dir/job INSTANCE=1
env dir/job:1 main N UPSTART_JOB UPSTART_INSTANCE UPSTART_EVENTS UPSTART_SESSION
    UPSTART_INSTANCE=1 N=1 UPSTART_JOB=dir/job UPSTART_SESSION=unix:abstract=/session
exit dir/job:1 main
    event stopping JOB=dir/job INSTANCE=1 RESULT=ok
    answer start dir/job N=1 UPSTART_JOB=other: dir/job:1
    event stopped JOB=dir/job INSTANCE=1 RESULT=ok
emit go N=2
    event starting JOB=dir/job INSTANCE=2
    spawn dir/job:2 main
    event started JOB=dir/job INSTANCE=2
env dir/job:2 main UPSTART_JOB UPSTART_INSTANCE UPSTART_EVENTS UPSTART_SESSION
    UPSTART_INSTANCE=2 UPSTART_EVENTS=go UPSTART_JOB=dir/job UPSTART_SESSION=unix:abstract=/session
