# It does not hear of events of the past.
startup
    event startup
emit go
    event go
    answer emit go: ok
job job
  start on startup or go
  exec serve
end
list
    no instance
emit go
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event go
    answer emit go: ok
