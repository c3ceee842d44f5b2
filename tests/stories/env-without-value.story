# `env KEY` takes the value from the environment of init, or is left out.
settings GIVEN=by-init
job job
  env GIVEN
  env MISSING
  exec env
end
start job
    event starting JOB=job INSTANCE=
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
env job main GIVEN MISSING TERM
    TERM=linux GIVEN=by-init
