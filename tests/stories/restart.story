# restart goes down, pre-stop included, and up again.
job job
  exec serve
  pre-stop exec warn
  post-stop exec tidy
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
show states
restart job
    goal job respawn
    state job pre-stopping
    spawn job pre-stop
    state job pre-stop
exit job pre-stop
    state job stopping
    event stopping JOB=job INSTANCE= RESULT=ok
    state job killed
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    state job post-stopping
    spawn job post-stop
    state job post-stop
exit job post-stop
    state job starting
    goal job start
    event starting JOB=job INSTANCE=
    state job security-spawning
    state job security
    state job pre-starting
    state job pre-start
    state job spawning
    spawn job main
    state job spawned
    state job post-starting
    state job post-start
    state job running
    answer restart job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 4
