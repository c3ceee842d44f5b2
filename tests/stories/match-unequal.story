# KEY!=VALUE wants another value, and a value. Globs are globs there too.
job job
  start on go IF!=lo
  stop on reset
  instance job
end
job glob
  start on go IF!=eth*
  stop on reset
end
emit go IF=lo
    event starting JOB=glob INSTANCE=
    event started JOB=glob INSTANCE=
    event go IF=lo
    answer emit go IF=lo: ok
list
    glob start/running
emit reset
    event stopping JOB=glob INSTANCE= RESULT=ok
    event stopped JOB=glob INSTANCE= RESULT=ok
    event reset
    answer emit reset: ok
emit go IF=eth0
    event starting JOB=job INSTANCE=job
    event started JOB=job INSTANCE=job
    event go IF=eth0
    answer emit go IF=eth0: ok
list
    job:job start/running
emit reset
    event stopping JOB=job INSTANCE=job RESULT=ok
    event stopped JOB=job INSTANCE=job RESULT=ok
    event reset
    answer emit reset: ok
emit go IF=
    event starting JOB=glob INSTANCE=
    event starting JOB=job INSTANCE=job
    event started JOB=glob INSTANCE=
    event started JOB=job INSTANCE=job
    event go IF=
    answer emit go IF=: ok
list
    glob start/running
    job:job start/running
emit reset
    event stopping JOB=glob INSTANCE= RESULT=ok
    event stopping JOB=job INSTANCE=job RESULT=ok
    event stopped JOB=glob INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE=job RESULT=ok
    event reset
    answer emit reset: ok
emit go
    event go
    answer emit go: ok
list
    no instance
