# After a start by A, B and C, none of them alone is enough for the next.
job job
  start on A and (B or C)
  stop on X
  exec serve
end
emit B no-wait
    answer emit B no-wait: ok
emit C no-wait
    answer emit C no-wait: ok
emit A no-wait
    answer emit A no-wait: ok
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event A
    event B
    event C
env job main UPSTART_EVENTS
    UPSTART_EVENTS=A B C
emit X
    event stopping JOB=job INSTANCE= RESULT=ok
    signal job main TERM
exit job main TERM
    log job main process (1) killed by TERM signal
    event stopped JOB=job INSTANCE= RESULT=ok
    event X
    answer emit X: ok
emit B no-wait
    answer emit B no-wait: ok
emit C no-wait
    answer emit C no-wait: ok
list
    no instance
emit A
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event A
    answer emit A: ok
    event B
    event C
env job main UPSTART_EVENTS
    UPSTART_EVENTS=A B C
