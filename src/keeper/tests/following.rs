//! Daemons that fork away, in every order of deaths.

use crate::world::{Manager, World, exists, own_path, request, stat, until, zombies};
use keeper::protocol::{ExitStatus, SpawnRequest, Ticket, ToKeeper, ToManager};
use std::path::{Path, PathBuf};

crate::tests!(
    one_fork,
    a_shell_and_its_background_process,
    two_forks_as_daemon_does,
    two_forks_without_a_session_of_their_own,
    two_forks_where_each_parent_waits,
    two_forks_of_a_daemon_that_quits,
    a_helper_is_not_the_daemon,
    fewer_forks_than_expected,
    no_fork_is_an_ordinary_exit,
    many_daemons_at_once,
    a_followed_daemon_survives_the_keepers_crash,
    zombies_are_not_kept_for_ever,
    the_followed_daemon_is_signalled,
);

const ROUNDS: u64 = 200;

fn daemon(ticket: Ticket, expected: u8, forks: u32, how: &str, file: &Path) -> SpawnRequest {
    let (own, forks) = (own_path(), forks.to_string());
    let words = [own.to_str().expect("utf-8"), "act", "daemon", &forks, how, file.to_str().expect("utf-8")];
    SpawnRequest { follow_forks: expected, ..request(ticket, &words) }
}

/// The pid that the daemon itself has written down.
fn own_pid(file: &Path) -> i32 {
    until("the daemon has written its pid", || file.exists());
    std::fs::read_to_string(file).expect("file").trim().parse().expect("a pid")
}

/// Follows until no fork is left: the last process.
fn settled(manager: &mut Manager, ticket: Ticket) -> i32 {
    loop {
        let (pid, forks_left) = manager.forked(ticket);
        if forks_left == 0 {
            return pid;
        }
    }
}

fn in_rounds(expected: u8, forks: u32, how: &str) {
    let world = World::new();
    let (mut manager, _) = world.ready();
    for ticket in 1..=ROUNDS {
        let file = world.directory().join(format!("pid-{ticket}"));
        manager.spawn(daemon(ticket, expected, forks, how, &file));
        manager.spawned(ticket);
        let pid = settled(&mut manager, ticket);
        assert_eq!(pid, own_pid(&file), "round {ticket}");
        assert_eq!(manager.signal(ticket, 15, true), 0);
        assert_eq!(manager.exited(ticket), ExitStatus::Signal { signal: 15, core_dumped: false });
        manager.send(ToKeeper::Acknowledge { ticket });
    }
    until("no zombie is left", || zombies(world.keeper).is_empty());
}

fn one_fork() {
    in_rounds(1, 1, "-");
    in_rounds(1, 1, "s");
}

fn a_shell_and_its_background_process() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    for ticket in 1..=ROUNDS {
        manager.spawn(SpawnRequest { follow_forks: 1, ..request(ticket, &["sh", "-c", "sleep 600 &"]) });
        manager.spawned(ticket);
        let pid = settled(&mut manager, ticket);
        until("it is the sleep", || {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        });
        manager.signal(ticket, 9, false);
        manager.exited(ticket);
    }
}

fn two_forks_as_daemon_does() {
    in_rounds(2, 2, "s");
}

fn two_forks_without_a_session_of_their_own() {
    in_rounds(2, 2, "-");
}

fn two_forks_where_each_parent_waits() {
    in_rounds(2, 2, "sw");
}

/// The daemon's own status counts, whoever died first.
fn two_forks_of_a_daemon_that_quits() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    for (how, ticket) in ["q", "qs", "qw", "qsw"].iter().cycle().zip(1..=ROUNDS) {
        let file = world.directory().join(format!("pid-{ticket}"));
        manager.spawn(daemon(ticket, 2, 2, how, &file));
        manager.spawned(ticket);
        assert_eq!(manager.exited(ticket), ExitStatus::Code(7), "round {ticket}, {how}");
    }
    until("no zombie is left", || zombies(world.keeper).is_empty());
}

fn a_helper_is_not_the_daemon() {
    in_rounds(1, 1, "h");
    in_rounds(2, 2, "sh");
}

fn fewer_forks_than_expected() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let file = world.directory().join("pid");
    manager.spawn(daemon(1, 2, 1, "s", &file));
    manager.spawned(1);
    let (pid, forks_left) = manager.forked(1);
    assert_eq!((pid, forks_left), (own_pid(&file), 1));
    // The manager has lost patience: this is it.
    manager.send(ToKeeper::Settle { ticket: 1 });
    manager.signal(1, 15, true);
    assert_eq!(manager.exited(1), ExitStatus::Signal { signal: 15, core_dumped: false });
}

fn no_fork_is_an_ordinary_exit() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    for ticket in 1..=ROUNDS {
        manager.spawn(SpawnRequest { follow_forks: 2, ..request(ticket, &["sh", "-c", "(true); exit 6"]) });
        manager.spawned(ticket);
        assert_eq!(manager.exited(ticket), ExitStatus::Code(6));
    }
}

fn many_daemons_at_once() {
    const COUNT: u64 = 150;
    let world = World::new();
    let (mut manager, _) = world.ready();
    let file = |ticket: Ticket| -> PathBuf { world.directory().join(format!("pid-{ticket}")) };
    let kinds = [(1, 1, "-"), (1, 1, "s"), (2, 2, "s"), (2, 2, "-"), (2, 2, "sw")];
    for (ticket, (expected, forks, how)) in (1..=COUNT).zip(kinds.into_iter().cycle()) {
        manager.spawn(daemon(ticket, expected, forks, how, &file(ticket)));
        // Others that end meanwhile, and leave orphans of their own.
        manager.spawn(request(1_000 + ticket, &["sh", "-c", "setsid sh -c 'sleep 0.01 & sleep 0.02 &' & exit 0"]));
    }
    for ticket in 1..=COUNT {
        manager.spawned(ticket);
        let pid = settled(&mut manager, ticket);
        assert_eq!(pid, own_pid(&file(ticket)), "ticket {ticket}");
    }
    for ticket in 1..=COUNT {
        manager.signal(ticket, 9, false);
        manager.exited(ticket);
        manager.exited(1_000 + ticket);
    }
    until("only the manager is left", || crate::world::children(world.keeper) == [manager.pid]);
}

fn a_followed_daemon_survives_the_keepers_crash() {
    for round in 0..20 {
        let world = World::new();
        let (mut manager, _) = world.ready();
        let file = world.directory().join("pid");
        manager.spawn(daemon(1, 2, 2, "s", &file));
        // The crash comes at another moment each time: so many questions after the request.
        for request in 0..=round {
            manager.send(ToKeeper::Signal { ticket: 0, request, signal: 0, whole_group: false });
            manager.signalled(request);
        }
        world.signal_keeper(nix::sys::signal::Signal::SIGSEGV);
        drop(manager);
        let (mut manager, roll_call) = world.ready();
        let daemon = own_pid(&file);
        // Found by the image before, or by this one.
        if !roll_call.entries.iter().any(|entry| entry.pid == daemon) {
            assert_eq!(settled(&mut manager, 1), daemon);
        }
        assert_eq!(manager.signal(1, 9, true), 0);
        manager.exited(1);
    }
}

fn zombies_are_not_kept_for_ever() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    // It never forks away, but its children's children die as orphans, in its own session.
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (for j in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.01) & done); done; exec sleep 600";
    manager.spawn(SpawnRequest { follow_forks: 1, ..request(1, &["sh", "-c", script]) });
    let pid = manager.spawned(1);
    until("it has come to rest", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    until("no more than some are kept", || zombies(world.keeper).len() <= 32);
    manager.send(ToKeeper::Settle { ticket: 1 });
    until("none is kept", || zombies(world.keeper).is_empty());
    assert!(exists(pid) && stat(pid).is_some());
}

fn the_followed_daemon_is_signalled() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let file = world.directory().join("pid");
    manager.spawn(daemon(1, 1, 1, "-", &file));
    manager.spawned(1);
    let pid = settled(&mut manager, 1);
    // It leads no group: it alone is meant.
    assert_ne!(stat(pid).expect("runs")[2], pid.to_string());
    assert_eq!(manager.signal(1, 15, true), 0);
    assert_eq!(manager.exited(1), ExitStatus::Signal { signal: 15, core_dumped: false });
    assert!(!manager.backlog().iter().any(|message| matches!(message, ToManager::Exited { .. })));
}
