# No event starts it.
job job
  start on go
  manual
  exec serve
end
emit go
    event go
    answer emit go: ok
list
    no instance
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
