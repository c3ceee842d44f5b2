//! Somebody waits for an answer while init goes away and comes back: it must come, and it must be true.

use nix::sys::signal::Signal;
use std::process::Child;
use testkit::{Answer, Setup, World, until};

const GATE: &str = "while [ ! -e /run/test/$UPSTART_JOB ]; do sleep 0.01; done";

fn machine() -> Option<World> {
    let world = Setup::new()
        .job("starts", &format!("pre-start script\n{GATE}\nend script\nexec sleep infinity\n"))
        .job("fails", &format!("pre-start script\n{GATE}\nexit 3\nend script\nexec sleep infinity\n"))
        .job("stops", &format!("exec sleep infinity\npost-stop script\n{GATE}\nend script\n"))
        .job("works", &format!("start on work\ntask\nscript\n{GATE}\nend script\n"))
        .job("spoils", &format!("start on spoil\ntask\nscript\n{GATE}\nexit 1\nend script\n"))
        .start_or_skip()?;
    world.await_init();
    Some(world)
}

fn asked(world: &World, state: &str) {
    let (job, _) = state.split_once(' ').unwrap();
    until(state, || world.initctl(&["status", job]).out.starts_with(state));
}

fn answered(client: Child) -> Answer {
    client.wait_with_output().unwrap().into()
}

/// Five clients wait; `strike` happens to init; then, and not before, what they wait for.
fn answers_survive(strike: impl Fn(&World)) {
    let Some(world) = machine() else { return };
    assert_eq!(world.initctl(&["start", "stops"]).status, 0);
    let starts = world.begin("initctl", &["start", "starts"]);
    let fails = world.begin("initctl", &["start", "fails"]);
    let stops = world.begin("initctl", &["stop", "stops"]);
    let works = world.begin("initctl", &["emit", "work"]);
    let spoils = world.begin("initctl", &["emit", "spoil"]);
    asked(&world, "starts start/pre-start");
    asked(&world, "fails start/pre-start");
    asked(&world, "stops stop/post-stop");
    asked(&world, "works start/running");
    asked(&world, "spoils start/running");
    for _ in 0..3 {
        let before = world.manager().outside;
        strike(&world);
        until("another manager", || world.manager().outside != before);
        world.await_init();
    }
    let mut clients = [starts, fails, stops, works, spoils];
    assert!(clients.iter_mut().all(|client| client.try_wait().unwrap().is_none()), "an answer came too soon");
    for job in ["starts", "fails", "stops", "works", "spoils"] {
        world.write(&format!("/run/test/{job}"), "");
    }
    let [starts, fails, stops, works, spoils] = clients.map(answered);
    assert_eq!((starts.status, starts.out.starts_with("starts start/running, process ")), (0, true), "{starts:?}");
    assert_eq!((fails.status, fails.err.as_str()), (1, "initctl: Job failed to start"));
    assert_eq!((stops.status, stops.out.as_str()), (0, "stops stop/waiting"), "{stops:?}");
    assert_eq!(works.status, 0, "{works:?}");
    assert_eq!((spoils.status, spoils.err.as_str()), (1, "initctl: Event failed"));
}

#[test]
fn a_killed_manager_forgets_no_caller() {
    answers_survive(|world| world.signal(world.manager().outside, Signal::SIGKILL));
}

#[test]
fn a_re_exec_forgets_no_caller() {
    answers_survive(|world| assert_eq!(world.run("telinit", &["u"]).status, 0));
}

#[test]
fn a_crashed_keeper_forgets_no_caller() {
    answers_survive(|world| world.signal(world.init(), Signal::SIGSEGV));
}
