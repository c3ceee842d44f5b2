# No job, no delay.
settings session
signal INT
signal TERM
    event session-end TYPE=shutdown
    exit 0
