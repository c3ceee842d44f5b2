//! Logs of jobs, and the file systems that they are on.

use std::fs;
use std::path::PathBuf;
use testkit::{Setup, until, wait_for};

#[test]
fn a_job_that_has_ended_keeps_no_file_system_busy() {
    let job = "console log\nscript\n  echo here\n  while [ ! -e /run/test/go ]; do sleep 0.01; done\nend script\n";
    let Some(world) = Setup::new().job("job", job).start_or_skip() else { return };
    world.await_init();
    assert_eq!(world.initctl(&["start", "job"]).status, 0);
    let log = "/var/log/upstart/job.log";
    until("it is in the log", || world.read(log).contains("here"));
    let open = || -> Vec<PathBuf> {
        let manager = wait_for("a manager", || world.manager_of(world.init()));
        let descriptors = fs::read_dir(format!("/proc/{}/fd", manager.outside)).unwrap().flatten();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.ends_with("var/log/upstart/job.log")).collect()
    };
    assert_eq!(open().len(), 1);
    world.write("/run/test/go", "");
    until("it is closed", || open().is_empty());
}
