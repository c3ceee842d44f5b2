# Not permissible for PID 1.
set-env A=1
    answer set-env A=1: error, Not permissible to modify PID 1 job environment
unset-env A
    answer unset-env A: error, Not permissible to modify PID 1 job environment
reset-env
    answer reset-env: error, Not permissible to modify PID 1 job environment
