# Files are made before pre-start, by a process of their own with the rights of init; a failure of that is nobody's.
settings tmpfiles
job job
  tmpfiles /usr/lib/tmpfiles.d/job.conf
  setuid nobody
  pre-start exec prepare
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job security
program job security
    /bin/sh|-c|systemd-tmpfiles --create "$@" || echo "tmpfiles: systemd-tmpfiles failed with status $?" >&2|tmpfiles|/usr/lib/tmpfiles.d/job.conf
exit job security
    spawn job pre-start
exit job pre-start
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 3
