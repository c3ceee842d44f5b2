# The descriptor goes to what the event starts, and is closed with the event.
job job
  start on socket
  exec serve
end
emit socket PORT=80 file=s1 no-wait
    answer emit socket PORT=80 file=s1 no-wait: ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    release s1
    event socket PORT=80
env job main PORT
    PORT=80
emit socket PORT=81 file=s2
    release s2
    event socket PORT=81
    answer emit socket PORT=81 file=s2: ok
status job
    job start/running, main 1
