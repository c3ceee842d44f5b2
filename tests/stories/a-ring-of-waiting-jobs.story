# a waits for the task that it starts, that one for a: the last to ask is not waited for.
job a
  stop on starting task
  exec serve
end
job task
  task
  start on starting a
  exec sum
end
start a
    answer start a: a
    event starting JOB=task INSTANCE=
    spawn task main
    event started JOB=task INSTANCE=
list
    a stop/starting
    task start/running, main 1
exit task main
    event stopping JOB=task INSTANCE= RESULT=ok
    event stopped JOB=task INSTANCE= RESULT=ok
    event starting JOB=a INSTANCE=
    event stopping JOB=a INSTANCE= RESULT=ok
    event stopped JOB=a INSTANCE= RESULT=ok
list
    no instance
