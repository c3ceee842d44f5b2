//! No more processes to be had.

use crate::world::{Start, World, children, exists, own_path, request};
use keeper::protocol::{Reason, Stage};
use nix::libc;
use nix::sys::signal::Signal;

crate::tests!(
    a_start_without_processes_is_tried_again,
    a_start_that_never_succeeds_fails_and_harms_nothing,
    a_crash_between_two_attempts_starts_once,
);

/// A keeper of an ordinary user, since limits do not hold for root, who may have three processes: the keeper, the manager, and
/// one more.
fn world() -> Option<World> {
    if !nix::unistd::geteuid().is_root() || !std::path::Path::new("/usr/bin/prlimit").exists() {
        println!("  skipped: needs root, to be another user, and prlimit(1)");
        return None;
    }
    let own = own_path().to_str().expect("utf-8").to_owned();
    let words = ["/usr/bin/prlimit", "--nproc=3:3", crate::world::INIT, "--user", "--manager", &own];
    let instead = Some(words.map(str::to_owned).to_vec());
    Some(World::start(Start { uid: Some(64_123), instead, ..Default::default() }))
}

fn a_start_without_processes_is_tried_again() {
    let Some(world) = world() else { return };
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    manager.spawned(1);
    manager.spawn(request(2, &["sleep", "600"]));
    // Answered after the request has been dealt with, which has come to nothing yet. The signal reaches nobody else.
    assert_eq!(manager.signal(2, 15, true), libc::ESRCH);
    assert!(exists(world.keeper) && exists(manager.pid));
    assert_eq!(manager.signal(1, 9, true), 0);
    manager.exited(1);
    assert!(exists(manager.spawned(2)));
}

fn a_start_that_never_succeeds_fails_and_harms_nothing() {
    let Some(world) = world() else { return };
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    manager.spawn(request(2, &["sleep", "600"]));
    assert_eq!(manager.failed(2), (Stage::Clone, libc::EAGAIN));
    assert!(exists(pid));
    assert_eq!(manager.signal(1, 9, true), 0);
    manager.exited(1);
    manager.spawn(request(3, &["true"]));
    manager.exited(3);
}

fn a_crash_between_two_attempts_starts_once() {
    let Some(world) = world() else { return };
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    manager.spawned(1);
    manager.spawn(request(2, &["sleep", "600"]));
    assert_eq!(manager.signal(2, 15, true), libc::ESRCH);
    world.signal_keeper(Signal::SIGSEGV);
    drop(manager);
    let (mut manager, roll_call) = world.ready();
    assert!(matches!(roll_call.occasion.reason, Reason::KeeperCrashed(_)));
    assert_eq!(roll_call.tickets(), [1], "the other one was never made");
    // The numbers of requests go on in the table.
    for _ in 0..2 {
        manager.signal(1, 9, true);
    }
    manager.exited(1);
    manager.spawn(request(2, &["sleep", "600"]));
    let pid = manager.spawned(2);
    let mut expected = [manager.pid, pid];
    let mut found = children(world.keeper);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}
