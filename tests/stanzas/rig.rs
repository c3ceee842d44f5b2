//! What all of these tests ask: how is the job, what is its process, what did init print.

use testkit::{Process, World, until, wait_for};

/// Whether tests run as the real root; in a user namespace there is one user only, and no mounts of the machine's files.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The status line of a job.
pub(crate) fn status(world: &World, job: &str) -> String {
    let answer = world.initctl(&["status", job]);
    if answer.status == 0 { answer.out } else { answer.err }
}

/// Waits until the status line begins with these words behind the job's name.
pub(crate) fn await_status(world: &World, job: &str, state: &str) {
    let wanted = format!("{job} {state}");
    until(&wanted, || status(world, job).starts_with(&wanted));
}

/// Starts a job, which must work.
pub(crate) fn start(world: &World, job: &str) {
    let answer = world.initctl(&["start", job]);
    assert_eq!(answer.status, 0, "{job}: {answer:?}");
}

/// Stops a job, which must work and leave nothing.
pub(crate) fn stop(world: &World, job: &str) {
    let answer = world.initctl(&["stop", job]);
    assert_eq!((answer.status, answer.out), (0, format!("{job} stop/waiting")), "{job}: {}", answer.err);
}

/// The main process of a job.
pub(crate) fn process(world: &World, job: &str) -> Process {
    let line = status(world, job);
    let pid = line.lines().next().and_then(|line| line.rsplit_once("process ")).and_then(|(_, pid)| pid.parse().ok());
    let Some(pid) = pid else { panic!("no process: {line}") };
    wait_for("the process of the job", || world.process(pid))
}

/// A file of a job's main process in /proc.
pub(crate) fn proc(world: &World, job: &str, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{file}", process(world, job).outside)).unwrap()
}

/// Waits until init has printed this.
pub(crate) fn await_printed(world: &World, text: &str) {
    until(text, || world.printed().contains(text));
}

/// Waits for the output of a job, without the carriage returns of its terminal.
pub(crate) fn await_log(world: &World, job: &str, wanted: &str) {
    let path = format!("/var/log/upstart/{job}.log");
    until(&format!("{job} prints {wanted:?}"), || world.read(&path).replace('\r', "").contains(wanted));
}

/// Kills the manager, and waits for another.
pub(crate) fn kill_manager(world: &World) {
    let before = world.manager().outside;
    world.signal(before, nix::sys::signal::Signal::SIGKILL);
    until("another manager", || world.manager().outside != before);
    world.await_init();
}
