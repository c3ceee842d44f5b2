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
    event started JOB=nested INSTANCE=
    event C
    answer emit C: ok
    event D
    answer emit D: ok
emit X
    event stopping JOB=nested INSTANCE= RESULT=ok
    signal nested main TERM
exit nested main TERM
    log nested main process (1) killed by TERM signal
    event stopped JOB=nested INSTANCE= RESULT=ok
    event X
    answer emit X: ok
emit B no-wait
    answer emit B no-wait: ok
status nested
    no instance
