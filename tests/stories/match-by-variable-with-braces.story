# ${VAR} and defaults.
job one
  stop on halt X=${KEY}
end
job two
  stop on halt X=${KEY:-none}
end
job three
  stop on halt X=a${KEY}b
end
start one KEY=1
    event starting JOB=one INSTANCE=
    answer start one KEY=1: one
    event started JOB=one INSTANCE=
start two
    event starting JOB=two INSTANCE=
    answer start two: two
    event started JOB=two INSTANCE=
start three KEY=-
    event starting JOB=three INSTANCE=
    answer start three KEY=-: three
    event started JOB=three INSTANCE=
emit halt X=1
    event stopping JOB=one INSTANCE= RESULT=ok
    event stopped JOB=one INSTANCE= RESULT=ok
    event halt X=1
    answer emit halt X=1: ok
list
    three start/running
    two start/running
emit halt X=none
    event stopping JOB=two INSTANCE= RESULT=ok
    event stopped JOB=two INSTANCE= RESULT=ok
    event halt X=none
    answer emit halt X=none: ok
list
    three start/running
emit halt X=a-b
    event stopping JOB=three INSTANCE= RESULT=ok
    event stopped JOB=three INSTANCE= RESULT=ok
    event halt X=a-b
    answer emit halt X=a-b: ok
list
    no instance
