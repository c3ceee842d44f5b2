# A value alone is compared with the variable at its place.
job job
  start on go red b*
  exec serve
end
emit go SIZE=big COLOUR=red
    event go SIZE=big COLOUR=red
    answer emit go SIZE=big COLOUR=red: ok
emit go COLOUR=red
    event go COLOUR=red
    answer emit go COLOUR=red: ok
list
    no instance
emit go COLOUR=red SIZE=big
    event starting JOB=job INSTANCE=
    spawn job main
    event started JOB=job INSTANCE=
    event go COLOUR=red SIZE=big
    answer emit go COLOUR=red SIZE=big: ok
