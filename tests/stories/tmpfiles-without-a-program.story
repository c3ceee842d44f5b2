# Without systemd-tmpfiles the log says so, and the start goes on.
job job
  tmpfiles /usr/lib/tmpfiles.d/job.conf /usr/lib/tmpfiles.d/more.conf
  exec serve
end
start job
    event starting JOB=job INSTANCE=
    log job: tmpfiles /usr/lib/tmpfiles.d/job.conf /usr/lib/tmpfiles.d/more.conf: there is no systemd-tmpfiles to apply them with; starting without
    spawn job main
    answer start job: job
    event started JOB=job INSTANCE=
