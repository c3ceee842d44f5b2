# EndSession is for sessions.
end-session
    answer end-session: ok
