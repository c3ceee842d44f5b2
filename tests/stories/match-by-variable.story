# $VAR is taken from `env`, for `stop on` also from what started the instance.
job job
  env WANTED=b
  instance $DEV
  start on add KIND=$WANTED
  stop on remove DEV=$DEV
end
emit add KIND=a DEV=0
    event add KIND=a DEV=0
    answer emit add KIND=a DEV=0: ok
emit add KIND=b DEV=1
    event starting JOB=job INSTANCE=1
    event started JOB=job INSTANCE=1
    event add KIND=b DEV=1
    answer emit add KIND=b DEV=1: ok
emit add KIND=b DEV=2
    event starting JOB=job INSTANCE=2
    event started JOB=job INSTANCE=2
    event add KIND=b DEV=2
    answer emit add KIND=b DEV=2: ok
start job DEV=3
    event starting JOB=job INSTANCE=3
    answer start job DEV=3: job:3
    event started JOB=job INSTANCE=3
list
    job:1 start/running
    job:2 start/running
    job:3 start/running
emit remove DEV=2
    event stopping JOB=job INSTANCE=2 RESULT=ok
    event stopped JOB=job INSTANCE=2 RESULT=ok
    event remove DEV=2
    answer emit remove DEV=2: ok
emit remove DEV=3
    event stopping JOB=job INSTANCE=3 RESULT=ok
    event stopped JOB=job INSTANCE=3 RESULT=ok
    event remove DEV=3
    answer emit remove DEV=3: ok
emit remove DEV=4
    event remove DEV=4
    answer emit remove DEV=4: ok
list
    job:1 start/running
