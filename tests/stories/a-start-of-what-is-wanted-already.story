# A second event does not wait for a job that is up already; one that finds it on its way up does not either.
job job
  start on go
  exec serve
  post-start exec await
end
emit go
    event starting JOB=job INSTANCE=
    spawn job main
    spawn job post-start
emit go A=2
    event go A=2
    answer emit go A=2: ok
exit job post-start
    event started JOB=job INSTANCE=
    event go
    answer emit go: ok
emit go A=3
    event go A=3
    answer emit go A=3: ok
