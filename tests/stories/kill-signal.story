# As the job file says, for two jobs side by side.
job one
  kill signal INT
  kill timeout 1
  stop on halt
  exec serve
end
job two
  kill timeout 2
  stop on halt
  exec serve
end
start one
    event starting JOB=one INSTANCE=
    spawn one main
    answer start one: one
    event started JOB=one INSTANCE=
start two
    event starting JOB=two INSTANCE=
    spawn two main
    answer start two: two
    event started JOB=two INSTANCE=
emit halt
    event stopping JOB=one INSTANCE= RESULT=ok
    event stopping JOB=two INSTANCE= RESULT=ok
    signal one main INT
    signal two main TERM
tick 1000
    signal one main KILL
exit one main KILL
    log one main process (1) killed by KILL signal
    event stopped JOB=one INSTANCE= RESULT=ok
tick 1000
    signal two main KILL
exit two main KILL
    log two main process (2) killed by KILL signal
    event stopped JOB=two INSTANCE= RESULT=ok
    event halt
    answer emit halt: ok
