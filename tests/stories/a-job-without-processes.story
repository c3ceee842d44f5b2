# It runs until it is stopped; its events come out before the one that caused them.
job idle
  start on go
  stop on halt
end
emit go
    event starting JOB=idle INSTANCE=
    event started JOB=idle INSTANCE=
    event go
    answer emit go: ok
status idle
    idle start/running
emit halt
    event stopping JOB=idle INSTANCE= RESULT=ok
    event stopped JOB=idle INSTANCE= RESULT=ok
    event halt
    answer emit halt: ok
status idle
    no instance
