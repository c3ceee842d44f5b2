# The profile is loaded before pre-start.
settings apparmor
job job
  apparmor load /etc/apparmor.d/job
  pre-start exec prepare
  exec serve
end
show states
start job
    goal job start
    state job starting
    event starting JOB=job INSTANCE=
    state job security-spawning
    spawn job security
    state job security
program job security
    apparmor_parser|-r|-W|/etc/apparmor.d/job
exit job security
    state job pre-starting
    spawn job pre-start
    state job pre-start
exit job pre-start
    state job spawning
    spawn job main
    state job spawned
    state job post-starting
    state job post-start
    state job running
    answer start job: job
    event started JOB=job INSTANCE=
stop job
    goal job stop
    state job stopping
    event stopping JOB=job INSTANCE= RESULT=ok
    state job killed
    signal job main TERM
exit job main TERM
    log job main process (3) killed by TERM signal
    state job post-stopping
    state job post-stop
    state job waiting
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
