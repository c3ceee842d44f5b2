# A before, B after.
job job
  task
  start on A and B
  exec sum
end
emit A X=1
crash
come back
    restarted
list
    no instance
emit B Y=2
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
env job main X Y UPSTART_EVENTS
    X=1 Y=2 UPSTART_EVENTS=A B
exit job main
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
    event A X=1
    answer emit A X=1: ok
    event B Y=2
    answer emit B Y=2: ok
