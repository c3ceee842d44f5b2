# A job file that is changed or deleted no longer holds the events of its half condition.
job job
  start on A and B
  exec serve
end
emit A
job job
  start on A and C
  exec serve
end
    event A
    answer emit A: ok
emit A X=2
remove job
    event A X=2
    answer emit A X=2: ok
emit B
    event B
    answer emit B: ok
