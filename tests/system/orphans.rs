//! The keeper of a session is killed, as the OOM killer would. Its jobs live on, and belong to the next login.

use nix::sys::signal::Signal;
use std::fs;
use std::process::Stdio;
use testkit::{Answer, Machine, Scope, USER_HOME, USER_RUNTIME, until};

fn job_pid(machine: &Machine, job: &str) -> i32 {
    machine.jobs(Scope::Session)[job]
}

#[test]
fn jobs_of_a_killed_session_live_on_and_are_taken_over() {
    let waker = format!(
        "start on wake\ntask\nscript\n  while [ ! -e {}/awake ]; do sleep 0.01; done\nend script\n",
        Scope::Session.notes()
    );
    let setup = Machine::setup().user_file(&format!("{USER_HOME}/.config/upstart/waker.conf"), waker);
    let Some(mut machine) = Machine::start_or_skip(setup) else { return };
    let jobs = machine.jobs(Scope::Session);
    let address = machine.session_address().to_owned();
    machine.start_errand(Scope::Session);
    // Somebody waits for an answer all the while.
    let mut waits = machine.user_command("initctl");
    waits.args(["emit", "wake"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let waits = waits.spawn().unwrap();
    until("the event is taken", || machine.initctl(Scope::Session, &["status", "waker"]).out.contains("start/"));
    machine.kill_session();
    for pid in jobs.values() {
        assert!(machine.world.process(*pid).is_some(), "process {pid} has not survived its keeper");
    }
    machine.start_session();
    assert_eq!(machine.session_address(), address, "what jobs were told is still true");
    assert_eq!(machine.jobs(Scope::Session), jobs);
    // An adopted process ends, and its status is known.
    machine.let_errand_end(Scope::Session);
    until("the errand's end is told", || !machine.told(Scope::Session).is_empty());
    assert_eq!(machine.told(Scope::Session), ["failed main 7"]);
    machine.world.write(&format!("{}/awake", Scope::Session.notes()), "");
    let answer: Answer = waits.wait_with_output().unwrap().into();
    assert_eq!((answer.status, answer.err.as_str()), (0, ""), "the answer comes from the next init");
    // What a job says goes on arriving, each line once.
    let count = machine.counted(Scope::Session).unwrap();
    until("output goes on", || machine.counted(Scope::Session).unwrap() > count);
    // Another is signalled.
    let quiet = machine.world.process(job_pid(&machine, "quiet")).unwrap();
    assert_eq!(machine.initctl(Scope::Session, &["stop", "quiet"]).out, "quiet stop/waiting");
    assert!(machine.world.process(quiet.inside).is_none_or(|found| found.state == 'Z'));
    // A third is killed by somebody else, and is respawned.
    let notes = Scope::Session.notes();
    assert_eq!(machine.world.lines(&format!("{notes}/respawned")).len(), 1, "nothing was started a second time");
    let respawning = machine.world.process(job_pid(&machine, "respawning")).unwrap();
    machine.world.signal(respawning.outside, Signal::SIGKILL);
    until("it is respawned", || machine.world.lines(&format!("{notes}/respawned")).len() == 2);
    assert!(machine.world.verify(&machine.journal(Scope::Session)).is_clean());
    let sessions = fs::read_dir(machine.world.path(&format!("{USER_RUNTIME}/upstart/sessions"))).unwrap();
    assert_eq!(sessions.count(), 1, "the file of the dead keeper is gone");
    // The session ends as any other, and leaves nothing.
    assert_eq!(machine.initctl(Scope::System, &["stop", "session"]).status, 0);
    until("its directory is gone", || !machine.world.path(&format!("{USER_RUNTIME}/stayup")).join("table").exists());
    until("all its processes are gone", || {
        jobs.values().all(|&pid| machine.world.process(pid).is_none_or(|found| found.state == 'Z'))
    });
}
