# Each starts the other for ever. Init goes on all the same.
# (endless)
hide events
job a
  task
  start on stopped b or go
end
job b
  task
  start on stopped a
end
job web
  exec serve
end
emit go no-wait
    answer emit go no-wait: ok
start web
    spawn web main
    answer start web: web
status web
    web start/running, main 1
remove a
list
    web start/running, main 1
