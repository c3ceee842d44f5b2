# Each has its event in the system; HUP reads the files again; TERM executes init anew.
job cad
  task
  start on control-alt-delete
end
signal INT
    event starting JOB=cad INSTANCE=
    event started JOB=cad INSTANCE=
    event stopping JOB=cad INSTANCE= RESULT=ok
    event stopped JOB=cad INSTANCE= RESULT=ok
    event control-alt-delete
signal WINCH
    event keyboard-request
signal PWR
    event power-status-changed
signal HUP
    rescan
signal TERM
    re-execute
    restarted
