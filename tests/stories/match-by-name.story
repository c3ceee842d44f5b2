# KEY=VALUE must be in the event, wherever.
job job
  start on go COLOUR=red SIZE=big
  exec serve
end
emit go
    event go
    answer emit go: ok
emit go COLOUR=red
    event go COLOUR=red
    answer emit go COLOUR=red: ok
emit go COLOUR=blue SIZE=big
    event go COLOUR=blue SIZE=big
    answer emit go COLOUR=blue SIZE=big: ok
emit go SIZE=big COLOUR=reddish
    event go SIZE=big COLOUR=reddish
    answer emit go SIZE=big COLOUR=reddish: ok
list
    no instance
emit go SIZE=big OTHER=1 COLOUR=red
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event go SIZE=big OTHER=1 COLOUR=red
    answer emit go SIZE=big OTHER=1 COLOUR=red: ok
