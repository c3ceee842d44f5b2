# A task is finished when its process has ended; only then its caller is answered.
job sum
  task
  exec count
end
show states
start sum
    goal sum start
    state sum starting
    event starting JOB=sum INSTANCE=
    state sum security-spawning
    state sum security
    state sum pre-starting
    state sum pre-start
    state sum spawning
    spawn sum main
    state sum spawned
    state sum post-starting
    state sum post-start
    state sum running
    event started JOB=sum INSTANCE=
status sum
    sum start/running, main 1
exit sum main
    goal sum stop
    state sum stopping
    event stopping JOB=sum INSTANCE= RESULT=ok
    state sum killed
    state sum post-stopping
    state sum post-stop
    state sum waiting
    answer start sum: sum
    event stopped JOB=sum INSTANCE= RESULT=ok
list
    no instance
