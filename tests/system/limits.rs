//! Room, descriptors, and a journal that is taken away: supervision goes on, and crash safety comes back with what it needs.

use crate::ladder::{JOURNAL, Recovery};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use testkit::{Setup, World, until};

const ROOM: &str = "/run/stayup";

fn setup() -> Setup {
    Setup::new()
        .tmpfs(ROOM, "6m")
        .argument("--heartbeat")
        .argument("1")
        .job("service", "instance $ID\nexport ID\nexec sleep infinity\n")
        .job("told", "instance $ID\nstart on stopped service\ntask\nexec sh -c 'echo $ID >> /run/test/told'\n")
        .job("respawning", "start on startup\nrespawn\nrespawn limit unlimited\nexec sleep infinity\n")
}

fn machine(setup: Setup) -> Option<World> {
    let world = setup.start_or_skip()?;
    world.await_init();
    until("the job runs", || respawning(&world).is_some());
    Some(world)
}

fn respawning(world: &World) -> Option<i32> {
    world.initctl(&["status", "respawning"]).out.rsplit_once("start/running, process ")?.1.parse().ok()
}

fn service(world: &World, verb: &str, id: &str) {
    let answer = world.initctl(&[verb, "service", &format!("ID={id}")]);
    assert_eq!(answer.status, 0, "{verb} {id}: {answer:?}; {}", world.printed());
}

fn is_running(world: &World, id: &str) -> bool {
    world.initctl(&["status", "service", &format!("ID={id}")]).out.contains("start/running")
}

/// A round of all that supervision is; `mark` names what is new.
fn supervises(world: &World, mark: &str) {
    service(world, "start", mark);
    assert!(is_running(world, mark));
    service(world, "stop", mark);
    until("its end is told", || world.lines("/run/test/told").iter().any(|line| line == mark));
    let before = respawning(world).unwrap();
    world.signal(world.process(before).unwrap().outside, Signal::SIGKILL);
    until("the job is respawned", || respawning(world).is_some_and(|now| now != before));
}

fn another_manager(world: &World) {
    let manager = world.manager().outside;
    world.signal(manager, Signal::SIGKILL);
    until("another manager", || world.manager_of(world.init()).is_some_and(|found| found.outside != manager));
    world.await_init();
}

/// Fills the journal's file system to the last page.
fn fill(world: &World) {
    let mut ballast = fs::File::create(world.path(&format!("{ROOM}/ballast"))).unwrap();
    for size in [1 << 16, 4096, 1] {
        while ballast.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

fn make_room(world: &World) {
    fs::remove_file(world.path(&format!("{ROOM}/ballast"))).unwrap();
}

#[test]
fn a_full_tmpfs_while_init_runs() {
    let Some(world) = machine(setup()) else { return };
    service(&world, "start", "kept");
    fill(&world);
    // More than the room that is left in the segment and the next checkpoint.
    let large = format!("LARGE={}", "y".repeat(100_000));
    for number in 0..40 {
        assert_eq!(world.initctl(&["emit", "large", &large]).status, 0);
        if number % 10 == 0 {
            supervises(&world, &format!("full{number}"));
        }
    }
    assert!(is_running(&world, "kept"));
    // A crash now loses at the most what jobs were doing; what runs is known from the keeper.
    another_manager(&world);
    supervises(&world, "after");
    assert!(is_running(&world, "kept"), "{}", world.printed());
    make_room(&world);
    supervises(&world, "room");
    another_manager(&world);
    assert!(is_running(&world, "kept"), "{}", world.printed());
    supervises(&world, "last");
    assert!(world.verify(JOURNAL).is_clean());
}

#[test]
fn a_full_tmpfs_before_init_starts() {
    let ballast = "x".repeat(5_900_000);
    let Some(world) = machine(setup().file(&format!("{ROOM}/ballast"), &ballast)) else { return };
    assert!(world.printed().contains("no-room-for-repair"), "{}", world.printed());
    service(&world, "start", "kept");
    supervises(&world, "first");
    another_manager(&world);
    assert!(is_running(&world, "kept"), "{}", world.printed());
    supervises(&world, "second");
    make_room(&world);
    supervises(&world, "room");
    until("there is a journal again", || world.path(JOURNAL).is_dir() && world.verify(JOURNAL).is_clean());
    another_manager(&world);
    Recovery::of(&world).says("Rung", "uint64 1");
    assert!(is_running(&world, "kept"), "{}", world.printed());
}

#[test]
fn a_journal_that_vanishes_is_begun_anew() {
    let Some(world) = machine(setup()) else { return };
    service(&world, "start", "kept");
    fs::remove_dir_all(world.path(JOURNAL)).unwrap();
    until("it is there again", || world.path(&format!("{JOURNAL}/lock")).exists());
    until("and told", || world.printed().contains("was gone; it is begun anew"));
    supervises(&world, "between");
    another_manager(&world);
    let recovery = Recovery::of(&world);
    recovery.says("Rung", "uint64 1");
    assert!(is_running(&world, "kept"));
    assert!(world.verify(JOURNAL).is_clean());
}

#[test]
fn a_journal_that_is_made_read_only() {
    let Some(world) = machine(setup()) else { return };
    service(&world, "start", "kept");
    let mount = |words: &[&str]| world.run("/bin/mount", words);
    assert_eq!(mount(&["-n", "--bind", JOURNAL, JOURNAL]).status, 0);
    assert_eq!(mount(&["-n", "-o", "remount,bind,ro", JOURNAL]).status, 0);
    // The manager under way has its journal open, and the next one cannot open it.
    supervises(&world, "open");
    another_manager(&world);
    assert!(world.printed().contains("going on without"), "{}", world.printed());
    assert!(is_running(&world, "kept"), "{}", world.printed());
    supervises(&world, "without");
    assert_eq!(world.run("/bin/umount", &["-n", JOURNAL]).status, 0);
    until("it is written again", || world.printed().contains("it is begun anew"));
    another_manager(&world);
    assert!(is_running(&world, "kept"), "{}", world.printed());
    Recovery::of(&world).says("Rung", "uint64 1");
    supervises(&world, "last");
}

/// The soft limit of open files of a process.
fn limit_files(pid: i32, soft: u64) {
    #![allow(unsafe_code)]
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both limits are valid for reading and writing.
    unsafe {
        assert_eq!(libc::prlimit64(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit), 0);
        limit.rlim_cur = soft.min(limit.rlim_max);
        assert_eq!(libc::prlimit64(pid, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()), 0);
    }
}

#[test]
fn without_descriptors_jobs_fail_and_others_run_on() {
    for of_keeper in [false, true] {
        let Some(world) = machine(setup()) else { return };
        service(&world, "start", "kept");
        let pid = if of_keeper { world.init() } else { world.manager().outside };
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
        limit_files(pid, open.saturating_sub(2));
        // Clients may be refused and starts may fail; nothing that runs is harmed, and nobody dies of it.
        for number in 0..5 {
            let mut client = world.command("initctl");
            client.args(["start", "--no-wait", "service", &format!("ID=scarce{number}")]);
            let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
            let _ = client.kill();
            let _ = client.wait();
        }
        limit_files(pid, u64::MAX);
        world.await_init();
        assert!(is_running(&world, "kept"), "{}", world.printed());
        supervises(&world, "enough");
        another_manager(&world);
        assert!(is_running(&world, "kept"), "{}", world.printed());
    }
}

#[test]
fn ten_thousand_events_at_once() {
    const JOBS: usize = 2_500;
    // Each of them emits starting, started, stopping and stopped; the last one is counted.
    let setup = (0..JOBS).fold(Setup::new(), |setup, number| setup.job(&format!("n{number}"), "start on go\ntask\n"));
    let setup = setup.job("count", "instance $JOB\nstart on stopped JOB=n*7\ntask\nconsole none\nexec true\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    until("all files are read", || world.initctl(&["list"]).out.lines().count() >= JOBS);
    // It waits through all signals of all of them, and for an answer from the next manager.
    let emit = world.command("initctl").args(["emit", "go"]).stderr(Stdio::piped()).spawn().unwrap();
    another_manager(&world);
    until("all have ended", || {
        let list = world.initctl(&["list"]).out;
        list.lines().filter(|line| line.starts_with('n')).all(|line| line.ends_with("stop/waiting"))
    });
    let emitted = emit.wait_with_output().unwrap();
    assert!(emitted.status.success(), "{}", String::from_utf8_lossy(&emitted.stderr));
    assert!(world.verify(JOURNAL).is_clean());
}
