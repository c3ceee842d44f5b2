# A fork, a stop and a notification are not lost either.
job forks
  expect fork
  exec serve
end
job stops
  expect stop
  exec serve
end
job says
  expect notify
  exec serve
end
start forks
    event starting JOB=forks INSTANCE=
    spawn forks main
start stops
    event starting JOB=stops INSTANCE=
    spawn stops main
start says
    event starting JOB=says INSTANCE=
    spawn says main
crash
fork forks main
stop-itself stops main
ready says main
come back
    restarted
    answer start forks: forks
    answer start stops: stops
    signal stops main CONT (alone)
    event started JOB=forks INSTANCE=
    event started JOB=stops INSTANCE=
    answer start says: says
    event started JOB=says INSTANCE=
list
    forks start/running, main 4
    says start/running, main 3
    stops start/running, main 2
