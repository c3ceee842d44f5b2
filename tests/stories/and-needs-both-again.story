# After a stop, both events are needed anew. The first one waits for the second.
job both
  start on A and B
  stop on C
  exec serve
end
emit A
emit B
    event starting JOB=both INSTANCE=
    spawn both main
    event started JOB=both INSTANCE=
    event A
    answer emit A: ok
    event B
    answer emit B: ok
emit C
    event stopping JOB=both INSTANCE= RESULT=ok
    signal both main TERM
exit both main TERM
    log both main process (1) killed by TERM signal
    event stopped JOB=both INSTANCE= RESULT=ok
    event C
    answer emit C: ok
emit B
status both
    no instance
emit A
    event starting JOB=both INSTANCE=
    spawn both main
    event started JOB=both INSTANCE=
    event A
    answer emit A: ok
    event B
    answer emit B: ok
status both
    both start/running, main 2
