//! The keeper as process 1 of a pid namespace.

use crate::world::{Start, World, children, exists, own_path, request, stat, until};
use keeper::protocol::{Condition, ExitStatus, Finish, Reason, SpawnRequest, ToKeeper};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

crate::tests!(
    process_one_survives_its_faults,
    process_one_does_not_exit,
    process_one_reboots,
    process_one_drops_wrong_options,
    process_one_has_a_shell_when_no_manager_can_be_started
);

/// None, with a line, where namespaces are not to be had.
fn world(arguments: &[&str]) -> Option<World> {
    let own = own_path().to_str().expect("utf-8").to_owned();
    let probe = std::process::Command::new(&own).args(["act", "first-process", "true"]).status().expect("runs");
    if probe.code() == Some(77) {
        println!("  skipped: no user and pid namespaces here");
        return None;
    }
    let mut words = vec![own.clone(), "act".to_owned(), "first-process".to_owned(), crate::world::INIT.to_owned()];
    words.extend(["--manager".to_owned(), own]);
    words.extend(arguments.iter().map(|&word| word.to_owned()));
    Some(World::start(Start { instead: Some(words), ..Default::default() }))
}

/// The keeper, as seen from outside.
fn process_one(world: &World) -> i32 {
    until("process 1 is there", || !children(world.keeper).is_empty());
    children(world.keeper)[0]
}

fn process_one_survives_its_faults() {
    let Some(world) = world(&[]) else { return };
    let (mut manager, _) = world.ready();
    let keeper = process_one(&world);
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    assert!(pid > 1 && pid < 100, "{pid} is of the namespace");
    manager.spawn(SpawnRequest { follow_forks: 1, ..request(2, &["sh", "-c", "sleep 600 &"]) });
    manager.spawned(2);
    let (daemon, _) = manager.forked(2);
    manager.spawn(request(3, &["sh", "-c", "exit 4"]));
    manager.exited(3);
    for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGSEGV] {
        kill(Pid::from_raw(keeper), signal).expect("kill");
        drop(manager);
        let (next, roll_call) = world.ready();
        manager = next;
        assert_eq!(roll_call.occasion.reason, Reason::KeeperCrashed(signal as i32));
        let pids: Vec<i32> = roll_call.entries.iter().map(|entry| entry.pid).take(2).collect();
        assert_eq!(pids, [pid, daemon]);
        assert_eq!(roll_call.entries[2].condition, Condition::Exited(ExitStatus::Code(4)));
    }
    manager.send(ToKeeper::Reexecute);
    let (mut manager, roll_call) = world.ready();
    assert_eq!((roll_call.occasion.reason, roll_call.tickets()), (Reason::Reexecuted, vec![1, 2, 3]));
    assert_eq!(manager.signal(1, 15, true), 0);
    assert_eq!(manager.exited(1), ExitStatus::Signal { signal: 15, core_dumped: false });
}

fn process_one_does_not_exit() {
    let Some(world) = world(&[]) else { return };
    let (mut manager, _) = world.ready();
    manager.send(ToKeeper::Finish(Finish::Exit(0)));
    until("it is refused", || world.printed().contains("process 1 cannot exit"));
    manager.spawn(request(1, &["true"]));
    assert_eq!(manager.exited(1), ExitStatus::Code(0));
    // Nor do signals from outside, save SIGKILL, end it.
    let keeper = process_one(&world);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGQUIT] {
        kill(Pid::from_raw(keeper), signal).expect("kill");
    }
    manager.spawn(request(2, &["true"]));
    assert_eq!(manager.exited(2), ExitStatus::Code(0));
    assert!(exists(keeper) && stat(keeper).is_some_and(|stat| stat[0] != "Z"));
}

fn process_one_reboots() {
    // reboot(2) in a pid namespace: SIGHUP for a restart, SIGINT for power off.
    for (command, signal) in [(nix::libc::RB_AUTOBOOT, 1), (nix::libc::RB_POWER_OFF, 2)] {
        let Some(mut world) = world(&[]) else { return };
        let (manager, _) = world.ready();
        manager.send(ToKeeper::Finish(Finish::Reboot(command)));
        assert_eq!(world.ended(), Some(128 + signal));
    }
}

fn process_one_drops_wrong_options() {
    let Some(world) = world(&["--wibble"]) else { return };
    world.manager().exit(keeper::protocol::EXIT_USAGE);
    let (manager, _) = world.ready();
    let text = std::fs::read(format!("/proc/{}/cmdline", manager.pid)).expect("cmdline");
    assert_eq!(text.iter().filter(|&&byte| byte == 0).count(), 1);
    assert!(world.printed().contains("starting the manager without"), "{}", world.printed());
}

fn process_one_has_a_shell_when_no_manager_can_be_started() {
    let Some(world) = world(&[]) else { return };
    for _ in 0..5 {
        assert!(!world.printed().contains("no manager can be started"), "{}", world.printed());
        world.manager().exit(1);
    }
    until("there is a shell", || world.printed().contains("on the console; the manager is tried again meanwhile"));
    // In nobody's way: the next one that works has everything.
    let (mut manager, roll_call) = world.ready();
    assert_eq!((roll_call.occasion.failed_starts, roll_call.tickets()), (5, Vec::new()));
    manager.spawn(request(1, &["true"]));
    assert_eq!(manager.exited(1), ExitStatus::Code(0));
    let keeper = process_one(&world);
    until("the shell has gone", || children(keeper) == [manager.pid]);
}
