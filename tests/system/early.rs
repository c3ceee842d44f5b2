//! A boot in which nothing is there yet: what process 1 needs it makes, and what cannot be made yet is waited for.

use nix::sys::signal::Signal;
use std::fs;
use testkit::{Setup, World, until, wait_for};

/// None, with a line, where only root of the real machine can do it.
fn start(setup: Setup) -> Option<World> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root may mount what this needs");
        return None;
    }
    let world = setup.start_or_skip()?;
    world.await_init();
    Some(world)
}

#[test]
fn a_missing_proc_is_mounted_before_it_is_needed() {
    let Some(world) = start(Setup::new().job("job", "exec sleep 600\n").hide("/proc")) else { return };
    assert!(!world.read("/proc/1/stat").is_empty(), "{}", world.printed());
    // A keeper that faults needs it to execute itself anew.
    let started = world.initctl(&["start", "job"]);
    assert_eq!(started.status, 0, "{started:?}");
    world.signal(world.init(), Signal::SIGSEGV);
    until("it has come back", || world.printed().contains("crashed with SIGSEGV"));
    until("it answers", || world.initctl(&["status", "job"]) == started);
}

#[test]
fn the_journal_waits_in_other_memory_for_run_and_moves_without_a_gap() {
    let early = "/dev/.stayup/journal/lock";
    let home = "/run/stayup/journal/lock";
    let setup = Setup::new().job("job", "instance $N\nexec sleep 600\n").variable("STAYUP_HEARTBEAT_MS", "400");
    // A file where the directory should be: nothing can be made below it, not even by root.
    let Some(world) = start(setup.tmpfs("/dev/.stayup", "8m").file("/run/stayup", "")) else { return };
    let is_there = |path: &str| world.path(path).exists();
    assert!(is_there(early), "{}", world.printed());
    assert!(world.printed().contains("the journal is in /dev/.stayup/journal meanwhile"), "{}", world.printed());
    let start = |number: &str| world.initctl(&["start", "job", &format!("N={number}")]);
    let mut started = vec![start("1")];
    let kill_manager = || {
        let manager = wait_for("a manager", || world.manager_of(world.init()));
        world.signal(manager.outside, Signal::SIGKILL);
        until("another manager", || world.manager_of(world.init()).is_some_and(|next| next.outside != manager.outside));
        world.await_init();
    };
    kill_manager();
    started.push(start("2"));
    assert!(is_there(early));
    fs::remove_file(world.path("/run/stayup")).unwrap();
    until("it moves", || is_there(home) && !is_there(early));
    started.push(start("3"));
    kill_manager();
    for (number, before) in ["1", "2", "3"].into_iter().zip(&started) {
        assert_eq!(world.initctl(&["status", "job", &format!("N={number}")]).out, before.out);
    }
    assert!(!world.printed().contains("recovery by rung"), "{}", world.printed());
}
