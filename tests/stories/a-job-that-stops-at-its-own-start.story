# Its own `starting` waits for it, and it for that: it is not waited for.
job job
  stop on starting
  exec serve
end
start job
    answer start job: job
    event starting JOB=job INSTANCE=
    event stopping JOB=job INSTANCE= RESULT=ok
    event stopped JOB=job INSTANCE= RESULT=ok
list
    no instance
