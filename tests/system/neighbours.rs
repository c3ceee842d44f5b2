//! More than one init where there can be only one.

use nix::sys::signal::Signal;
use std::process::Stdio;
use testkit::{Machine, Scope, Setup, until};

#[test]
fn a_second_system_init_in_the_same_network_says_so() {
    let Some(world) = Setup::new().start_or_skip() else { return };
    world.await_init();
    // A manager without a keeper of its own cannot be started by hand, so this is a second machine in the network of the first.
    let second = Setup::new().network_of(&world).start_or_skip().unwrap();
    until("the second init complains", || {
        second
            .printed()
            .contains("the socket @/com/ubuntu/upstart is taken: another init runs in this network namespace")
    });
    assert_eq!(world.initctl(&["version"]).status, 0);
    drop(second);
    assert_eq!(world.initctl(&["version"]).status, 0);
}

#[test]
fn a_user_may_have_many_sessions() {
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    let mut second = machine.user_command("init");
    second.env_remove("UPSTART_SESSION").args(["--user", "--append-confdir", "/run/sessions"]);
    let mut second = second.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let list = || machine.user_command("initctl").arg("list-sessions").output().unwrap();
    let sessions = || String::from_utf8(list().stdout).unwrap().lines().count();
    until("both sessions are listed", || sessions() == 2);
    let keeper = machine
        .world
        .processes()
        .into_iter()
        .find(|process| {
            process.name == "init" && process.inside != 1 && process.outside != machine.keeper(Scope::Session)
        })
        .unwrap();
    until("the second session has its manager", || machine.world.manager_of(keeper.outside).is_some());
    machine.world.signal(keeper.outside, Signal::SIGTERM);
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert_eq!(sessions(), 1);
    assert_eq!(machine.initctl(Scope::Session, &["version"]).status, 0);
}
