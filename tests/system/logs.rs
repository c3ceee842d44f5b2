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

#[test]
fn what_a_task_has_printed_is_not_in_its_log_when_start_returns() {
    let job = "instance $N\ntask\nconsole log\nexec echo here\n";
    let Some(world) = Setup::new().job("job", job).start_or_skip() else { return };
    world.await_init();
    for number in 0..30 {
        assert_eq!(world.initctl(&["start", "job", &format!("N={number}")]).status, 0);
        assert_eq!(world.read(&format!("/var/log/upstart/job-{number}.log")), "here\r\n");
    }
}

#[test]
fn who_asks_first_hears_of_no_job() {
    let setup = (0..1000).fold(Setup::new(), |setup, number| setup.job(&format!("job{number}"), "exec sleep 600\n"));
    let Some(world) = setup.start_or_skip() else { return };
    let answer = wait_for("an answer", || {
        let answer = world.initctl(&["status", "job999"]);
        (!answer.err.contains("connect")).then_some(answer)
    });
    assert_eq!((answer.status, answer.out.as_str()), (0, "job999 stop/waiting"), "{}", answer.err);
}
