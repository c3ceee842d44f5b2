# Files first, then the profile.
settings tmpfiles apparmor
job job
  tmpfiles /usr/lib/tmpfiles.d/job.conf
  apparmor load /etc/apparmor.d/job
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    spawn job security
program job security
    /bin/sh|-c|systemd-tmpfiles --create "$@" || echo "tmpfiles: systemd-tmpfiles failed with status $?" >&2; exec apparmor_parser -r -W "$0"|/etc/apparmor.d/job|/usr/lib/tmpfiles.d/job.conf
exit job security
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
status job
    job start/running, main 2
