# (A and B) or (C and D): what is half held when it starts is given up.
job nested
  start on (A and B) or (C and D)
  stop on X
  exec serve
end
emit A
emit C
emit D
    event A
    answer emit A: ok
    event starting JOB=nested INSTANCE=
    spawn nested main
    event C
    answer emit C: ok
    event D
    answer emit D: ok
    event started JOB=nested INSTANCE=
emit X
    event stopping JOB=nested INSTANCE= RESULT=ok
    signal nested main TERM
exit nested main TERM
    log nested main process (1) killed by TERM signal
    event X
    answer emit X: ok
    event stopped JOB=nested INSTANCE= RESULT=ok
emit B no-wait
    answer emit B no-wait: ok
status nested
    no instance
