//! Fear: a login leaves a user without a session, or a logout leaves one behind.

use std::fs;

use nix::sys::signal::Signal;
use testkit::{Answer, World, until, wait_for};

use crate::place::{Place, SCRIPTS, debian};

/// What PAM does when a session is opened or closed. Each login is a process of its own, which has ended without a word when
/// the next one comes.
fn pam(world: &World, what: &str) {
    let mut command = world.command("/bin/sh");
    command
        .args(["-c", &format!("{SCRIPTS}/session; true")])
        .env("PAM_TYPE", what)
        .env("PAM_USER", "nobody")
        .env("PAM_SERVICE", "login");
    let answer: Answer = command.output().unwrap().into();
    assert_eq!(answer.status, 0, "{answer:?}");
}

#[test]
fn a_session_lasts_from_the_first_login_to_the_last_logout_and_survives_its_init() {
    if !nix::unistd::geteuid().is_root() {
        // There is one user only in the namespaces of an ordinary one: nobody can log in as another.
        return;
    }
    let place = Place::new();
    let nap = "start on startup\nexec sleep infinity\n";
    let setup = debian(&place).user_directory("/run/home").user_directory("/run/home/.config");
    let setup = setup.user_directory("/run/home/.config/upstart").user_file("/run/home/.config/upstart/nap.conf", nap);
    let Some(world) = setup.argument("--heartbeat").argument("7").start_or_skip() else { return };
    world.await_init();
    until("the machine is up", || world.run("runlevel", &[]).out == "N 2");
    pam(&world, "open_session");
    let keeper = || -> Option<i32> {
        let status = world.initctl(&["status", "user-session", "NAME=nobody"]).out;
        status.strip_prefix("user-session (nobody) start/running, process ")?.parse().ok()
    };
    let first = wait_for("the session runs", keeper);
    let sessions = || {
        let directory = world.path("/run/user/65534/upstart/sessions");
        let entries = fs::read_dir(directory).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
        entries.iter().find_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            Some(text.trim().strip_prefix("UPSTART_SESSION=")?.to_owned())
        })
    };
    let status = || {
        let mut command = world.user_command("initctl");
        let address = sessions()?;
        let answer: Answer = command.args(["status", "nap"]).env("UPSTART_SESSION", address).output().ok()?.into();
        Some(answer.out).filter(|line| line.starts_with("nap start/running"))
    };
    let nap = wait_for("the session's job runs", status);
    world.signal(world.process(first).unwrap().outside, Signal::SIGKILL);
    wait_for("the session's init is back", || keeper().filter(|pid| *pid != first));
    assert_eq!(wait_for("the session answers", status), nap, "its job has noticed nothing");
    // The manager hangs, and it takes a while until another one is there.
    world.signal(world.manager().outside, Signal::SIGSTOP);
    pam(&world, "close_session");
    until("the session has ended", || {
        world.initctl(&["status", "user-session", "NAME=nobody"]).out.is_empty()
            || world.initctl(&["list"]).out.lines().any(|line| line == "user-session stop/waiting")
    });
    until("nothing is left of it", || {
        !world.processes().iter().any(|process| process.name == "init" && process.inside != 1)
    });
}
