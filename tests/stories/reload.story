# reload sends HUP, or the reload signal, to the main process alone.
job job
  exec serve
end
job other
  reload signal USR1
  exec serve
end
job state
end
reload job
    answer reload job: error, Unknown instance: 
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
start other
    event starting JOB=other INSTANCE=
    spawn other main
    answer start other: other
    event started JOB=other INSTANCE=
start state
    event starting JOB=state INSTANCE=
    answer start state: state
    event started JOB=state INSTANCE=
reload job
    signal job main HUP (alone)
    answer reload job: ok
reload other
    signal other main USR1 (alone)
    answer reload other: ok
reload state
    answer reload state: error, Job is not running: state
reload unknown
    answer reload unknown: error, Unknown job: unknown
