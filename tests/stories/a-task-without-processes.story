# It runs for a moment only.
job moment
  task
  start on go
end
emit go
    event starting JOB=moment INSTANCE=
    event started JOB=moment INSTANCE=
    event stopping JOB=moment INSTANCE= RESULT=ok
    event stopped JOB=moment INSTANCE= RESULT=ok
    event go
    answer emit go: ok
list
    no instance
