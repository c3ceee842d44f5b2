# Each instance has its own; reset-env gives back what it began with.
settings session
job job
  instance $N
  exec serve
  post-stop exec tidy
end
start job N=1
    event starting JOB=job INSTANCE=1
    spawn job:1 main
    answer start job N=1: job:1
    event started JOB=job INSTANCE=1
start job N=2
    event starting JOB=job INSTANCE=2
    spawn job:2 main
    answer start job N=2: job:2
    event started JOB=job INSTANCE=2
set-env of=job:1 MARK=one N=other
    answer set-env of=job:1 MARK=one N=other: ok
set-env of=job:3 MARK=three
    answer set-env of=job:3 MARK=three: error, Unknown instance: 3 of job job
set-env of=nojob MARK=none
    answer set-env of=nojob MARK=none: error, Unknown job: nojob
stop job N=1
    event stopping JOB=job INSTANCE=1 RESULT=ok
    signal job:1 main TERM
exit job:1 main TERM
    log job (1) main process (1) killed by TERM signal
    spawn job:1 post-stop
env job:1 post-stop MARK N
    N=1 MARK=one
reset-env of=job:2
    answer reset-env of=job:2: ok
set-env of=job:2 MARK=two
    answer set-env of=job:2 MARK=two: ok
reset-env of=job:2
    answer reset-env of=job:2: ok
stop job N=2
    event stopping JOB=job INSTANCE=2 RESULT=ok
    signal job:2 main TERM
exit job:2 main TERM
    log job (2) main process (2) killed by TERM signal
    spawn job:2 post-stop
env job:2 post-stop MARK N
    N=2
