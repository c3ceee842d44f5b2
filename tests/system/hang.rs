//! A manager that hangs, and things that make others hang: it is found and replaced, or not impressed.

use crate::ladder::{JOURNAL, Recovery};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write as _;
use std::process::Child;
use std::time::{Duration, Instant};
use testkit::{Setup, World, until};

/// Where a file system is that never answers.
const HUNG: &str = "/run/hung";

fn replaced(world: &World, strike: impl FnOnce(i32)) {
    let manager = world.manager().outside;
    strike(manager);
    until("another manager", || world.manager_of(world.init()).is_some_and(|found| found.outside != manager));
    world.await_init();
}

#[test]
fn a_manager_that_sleeps_is_found_and_replaced() {
    let setup =
        Setup::new().argument("--heartbeat").argument("0.6").job("job", "start on startup\nexec sleep infinity\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    until("the job runs", || world.initctl(&["status", "job"]).out.starts_with("job start/running"));
    let before = world.initctl(&["status", "job"]).out;
    for _ in 0..2 {
        let begin = Instant::now();
        replaced(&world, |manager| world.signal(manager, Signal::SIGSTOP));
        // The heartbeat and what it takes to make another; it is on a busy machine that this is told.
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
    assert_eq!(world.initctl(&["status", "job"]).out, before);
    let printed = world.printed();
    assert!(printed.contains("init: the manager does not answer: killing it; state T, waits in "), "{printed}");
    Recovery::of(&world).says("Reason", "a manager that did not answer");
}

#[test]
fn a_manager_that_is_asked_says_where_it_is() {
    let Some(world) = Setup::new().start_or_skip() else { return };
    world.await_init();
    replaced(&world, |manager| world.signal(manager, Signal::SIGUSR2));
    let printed = world.printed();
    assert!(printed.contains("the manager did not answer; it was in the middle of this:"), "{printed}");
    assert!(printed.contains("manager::"), "functions are named: {printed}");
}

/// Mounts a file system that nobody serves, in the machine; none where that is not allowed.
fn hang(world: &World) -> Option<Child> {
    let script = format!(
        "exec 9<>/dev/fuse && mount -i -n -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hung {HUNG} && exec sleep 1000"
    );
    let mut child = world.begin("/bin/sh", &["-c", &script]);
    let mounts = format!("/proc/{}/mountinfo", world.init());
    let mut has_ended = false;
    until("the file system hangs", || {
        has_ended = child.try_wait().unwrap().is_some();
        has_ended || fs::read_to_string(&mounts).unwrap().contains(HUNG)
    });
    if has_ended {
        let _ = writeln!(std::io::stderr(), "skipped: no file system of ours can be mounted here (FUSE)");
        return None;
    }
    Some(child)
}

fn supervises(world: &World) {
    assert_eq!(world.initctl(&["start", "other"]).status, 0);
    assert_eq!(world.initctl(&["stop", "other"]).out, "other stop/waiting");
    let pid = |world: &World| -> Option<i32> {
        world.initctl(&["status", "job"]).out.rsplit_once("start/running, process ")?.1.parse().ok()
    };
    let before = pid(world).unwrap();
    world.signal(world.process(before).unwrap().outside, Signal::SIGKILL);
    until("the job is respawned", || pid(world).is_some_and(|now| now != before));
}

#[test]
fn a_log_directory_that_hangs_stalls_nothing() {
    let setup = Setup::new()
        .directory(HUNG)
        .argument("--logdir")
        .argument(HUNG)
        .argument("--heartbeat")
        .argument("2")
        .job("talker", "start on startup\nconsole log\nscript\n  while :; do echo word; sleep 0.01; done\nend script\n")
        .job("job", "start on startup\nrespawn\nrespawn limit unlimited\nconsole none\nexec sleep infinity\n")
        .job("other", "console log\nscript\n  echo word\n  exec sleep infinity\nend script\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    until("there is a log", || !world.read(&format!("{HUNG}/talker.log")).is_empty());
    let Some(mut hung) = hang(&world) else { return };
    supervises(&world);
    for _ in 0..3 {
        replaced(&world, |manager| world.signal(manager, Signal::SIGKILL));
        supervises(&world);
    }
    assert!(!world.printed().contains("does not answer"), "{}", world.printed());
    let _ = hung.kill();
    let _ = hung.wait();
}

#[test]
fn a_job_directory_that_hangs_stalls_nothing() {
    let setup = Setup::new()
        .directory(HUNG)
        .argument("--append-confdir")
        .argument(HUNG)
        .job("job", "start on startup\nrespawn\nrespawn limit unlimited\nexec sleep infinity\n")
        .job("other", "exec sleep infinity\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    until("the job runs", || world.initctl(&["status", "job"]).out.starts_with("job start/running"));
    let Some(mut hung) = hang(&world) else { return };
    supervises(&world);
    replaced(&world, |manager| world.signal(manager, Signal::SIGKILL));
    supervises(&world);
    // Nor where the job files are all that is left of the past.
    let before = world.initctl(&["status", "job"]).out;
    replaced(&world, |manager| {
        world.signal(manager, Signal::SIGSTOP);
        fs::remove_dir_all(world.path(JOURNAL)).unwrap();
        world.signal(manager, Signal::SIGKILL);
    });
    assert_eq!(world.initctl(&["status", "job"]).out, before);
    assert!(world.printed().contains("/run/hung: does not answer"), "{}", world.printed());
    let _ = hung.kill();
    let _ = hung.wait();
}
