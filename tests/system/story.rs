//! The story: the system init restarts, every session follows, and no job notices.

use nix::sys::signal::Signal;
use testkit::{CONDITIONS, Machine, Scope, until};

/// Does something to a machine after which the system init comes back, and checks that all is as it must be.
pub(crate) fn survives(machine: &Machine, what: &str, strike: impl FnOnce(&Machine)) {
    let jobs = Scope::BOTH.map(|scope| machine.jobs(scope));
    let managers = Scope::BOTH.map(|scope| machine.manager(scope).outside);
    let fired = CONDITIONS.map(|(job, _)| machine.fired(job));
    let told = Scope::BOTH.map(|scope| machine.told(scope).len());
    Scope::BOTH.iter().for_each(|scope| machine.start_errand(*scope));
    strike(machine);
    Scope::BOTH.iter().for_each(|scope| machine.let_errand_end(*scope));
    for (index, (job, condition)) in CONDITIONS.iter().enumerate() {
        until(&format!("{what}: {condition}"), || machine.fired(job) > fired[index]);
    }
    for (index, scope) in Scope::BOTH.into_iter().enumerate() {
        until("the errand's end is told", || machine.told(scope).len() > told[index]);
        until("re-exec has finished", || {
            machine.initctl(Scope::Session, &["status", "re-exec"]).out == "re-exec stop/waiting"
        });
        assert_eq!(machine.initctl(scope, &["emit", "settled"]).status, 0, "{what}");
        assert_ne!(machine.manager(scope).outside, managers[index], "{what}: the {scope}'s manager is the old one");
        assert_eq!(machine.jobs(scope), jobs[index], "{what}");
        assert_eq!(machine.told(scope).split_off(told[index]), ["failed main 7"], "{what}");
        let count = machine.counted(scope).unwrap();
        until("output goes on", || machine.counted(scope).unwrap() > count);
        assert!(machine.world.verify(&machine.journal(scope)).is_clean(), "{what}");
    }
    for (index, (job, _)) in CONDITIONS.iter().enumerate() {
        assert_eq!(machine.fired(job), fired[index] + 1, "{what}: {job}");
    }
}

pub(crate) fn telinit(machine: &Machine) {
    let answer = machine.world.run("telinit", &["u"]);
    assert_eq!(answer.status, 0, "{answer:?}");
}

#[test]
fn a_restart_reaches_the_session_and_no_job_notices() {
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    for _ in 0..3 {
        survives(&machine, "telinit u", telinit);
    }
}

#[test]
fn a_crash_of_the_system_is_told_like_a_restart() {
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    for signal in [Signal::SIGKILL, Signal::SIGABRT, Signal::SIGSEGV] {
        survives(&machine, "a manager's death", |machine| {
            machine.world.kill(machine.manager(Scope::System).outside, signal);
        });
    }
    for _ in 0..3 {
        survives(&machine, "a keeper's crash", |machine| machine.world.signal(machine.world.init(), Signal::SIGSEGV));
    }
}

#[test]
fn both_managers_may_die_at_once() {
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    for _ in 0..3 {
        survives(&machine, "two deaths", |machine| {
            let victims = Scope::BOTH.map(|scope| machine.manager(scope).outside);
            victims.iter().for_each(|victim| machine.world.signal(*victim, Signal::SIGKILL));
        });
    }
}

#[test]
fn a_session_that_crashes_alone_tells_nobody_and_loses_nothing() {
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    let jobs = machine.jobs(Scope::Session);
    for round in 0..10 {
        machine.start_errand(Scope::Session);
        let victim = machine.manager(Scope::Session).outside;
        machine.world.signal(victim, Signal::SIGSTOP);
        machine.let_errand_end(Scope::Session);
        machine.world.signal(victim, Signal::SIGKILL);
        until("the errand's end is told", || machine.told(Scope::Session).len() > round);
        assert_ne!(machine.manager(Scope::Session).outside, victim);
        assert_eq!(machine.jobs(Scope::Session), jobs);
    }
    machine.world.signal(machine.keeper(Scope::Session), Signal::SIGSEGV);
    until("the session answers", || machine.initctl(Scope::Session, &["emit", "settled"]).status == 0);
    assert_eq!(machine.jobs(Scope::Session), jobs);
    assert_eq!(machine.told(Scope::Session), vec!["failed main 7"; 10]);
    assert_eq!(CONDITIONS.map(|(job, _)| machine.fired(job)), [0; 5]);
    assert!(machine.world.verify(&machine.journal(Scope::Session)).is_clean());
}

#[test]
fn a_session_ends_and_leaves_nothing() {
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    let session = machine.keeper_inside(Scope::Session);
    let answer = machine.world.initctl(&["stop", "session"]);
    assert_eq!((answer.status, answer.out.as_str()), (0, "session stop/waiting"));
    assert!(machine.world.process(session).is_none());
    assert_eq!(machine.world.processes().iter().filter(|process| process.name == "init-manager").count(), 1);
    let left = std::fs::read_dir(machine.world.path("/run/user/upstart/sessions")).unwrap().count();
    assert_eq!(left, 0, "the session's file is left");
}
