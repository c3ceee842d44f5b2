# `--no-startup-event`.
job job
  start on startup
end
startup none
list
    no instance
