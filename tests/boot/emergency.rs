//! Fear: nobody can get at a machine whose init has no manager, or two shells fight for its console.

use nix::sys::signal::Signal;
use testkit::{PROGRAMS, Process, Setup, World, until, wait_for};

use crate::place::Place;

/// The shells that process 1 has started.
fn shells(world: &World) -> Vec<Process> {
    let is_shell = |process: &Process| process.parent == world.init() && process.name == "sulogin";
    world.processes().into_iter().filter(is_shell).collect()
}

#[test]
fn the_shell_of_a_machine_without_a_manager_is_one_even_if_process_1_crashes() {
    let place = Place::new();
    place.program("bin/sulogin", "while :; do sleep 0.05; done\n");
    place.program("out/init-manager", "exit 1\n");
    let setup = Setup::new().bind(&place.directory("out"), "/run/test").bind(&place.directory("bin"), "/sbin");
    let Some(world) = setup.argument("--manager").argument("/run/test/init-manager").start_or_skip() else { return };
    let before = wait_for("a shell", || shells(&world).pop());
    world.signal(world.init(), Signal::SIGSEGV);
    until("process 1 goes on", || world.printed().contains("crashed with SIGSEGV"));
    // A second one would come when another manager has failed, which is dealt with before the next one after it.
    let failures = || world.printed().matches("the manager ended").count();
    let enough = failures() + 2;
    until("managers have failed since", || failures() >= enough);
    let pids: Vec<i32> = shells(&world).iter().map(|process| process.outside).collect();
    assert_eq!(pids, [before.outside], "{}", world.printed());
    place.program("out/init-manager", &format!("exec {PROGRAMS}/init-manager \"$@\"\n"));
    until("the shell makes room for a manager that works", || shells(&world).is_empty());
    world.await_init();
}
