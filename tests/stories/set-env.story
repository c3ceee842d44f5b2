# The global table is for what starts later; the tables of running instances change with it.
settings session HOME=/root
job job
  exec serve
  post-stop exec tidy
end
set-env A=1
    answer set-env A=1: ok
set-env B=two=2 EMPTY
    answer set-env B=two=2 EMPTY: ok
set-env A=kept keep
    answer set-env A=kept keep: ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
env job main A B EMPTY HOME
    HOME=/root A=1 B=two=2 EMPTY=
set-env A=new
    answer set-env A=new: ok
stop job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    spawn job post-stop
env job post-stop A
    A=new
exit job post-stop
    answer stop job: ok
    event stopped JOB=job INSTANCE= RESULT=ok
unset-env B HOME
    answer unset-env B HOME: ok
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
env job main A B HOME
    A=new
reset-env
    answer reset-env: ok
restart job
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (3) killed by TERM signal
    spawn job post-stop
exit job post-stop
    event starting JOB=job INSTANCE=
    spawn job main
    answer restart job: job
    event started JOB=job INSTANCE=
env job main A B HOME
    HOME=/root
