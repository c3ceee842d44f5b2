# The second one takes the place of the first.
job job
  exec serve
  post-stop exec tidy
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
restart job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
restart job A=2
    answer restart job: job
exit job main TERM
    log job main process (1) killed by TERM signal
    spawn job post-stop
exit job post-stop
    event starting JOB=job INSTANCE=
    spawn job main
    answer restart job A=2: job
    event started JOB=job INSTANCE=
env job main A
    A=2
