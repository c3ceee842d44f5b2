//! What a turn was taken for: the input, as far as somebody who reads the past wants to know it.

use machine::effect::Caller;
use machine::input::{Call, InitSignal, Input};
use machine::job::Cause;
use serde::{Deserialize, Serialize};

/// What happened. The order of the variants and fields is part of the format: new ones go to the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are named after what they refer to")]
pub enum Origin {
    /// Nobody wrote it down (records of version 1).
    #[default]
    Unknown,
    /// A manager has started.
    Settings,
    /// The keeper has told what it knows; why there is a new manager.
    RollCall { is_restart: bool, reason: String },
    /// The first start of all.
    Startup,
    /// A job file was read.
    JobFile { class: String },
    /// A job file is gone.
    JobFileGone { class: String },
    /// Somebody has asked for something. `who` is none for callers on a bus, who have a name there instead.
    Call { caller: Caller, method: String, subject: String, who: Option<Who> },
    /// A connection has ended.
    Disconnected { connection: u64 },
    /// The keeper has started a process.
    Spawned { ticket: u64 },
    /// The keeper could not.
    SpawnFailed { ticket: u64, reason: String },
    /// A followed process has handed over to a descendant.
    Forked { ticket: u64 },
    /// A process has stopped itself (`expect stop`).
    Stopped { ticket: u64 },
    /// A process says that it is ready (`expect notify`).
    Ready { ticket: u64 },
    /// A process has ended.
    Exited { ticket: u64, cause: Cause },
    /// The keeper has sent a signal.
    Signalled { ticket: u64 },
    /// A signal has reached init.
    Signal { name: String },
    /// The log priority of the command line.
    LogPriority,
    /// What was to be told is out.
    Performed,
    /// Time has passed, or the turn before had more to do.
    Tick,
}

/// The process at the other end of a connection: who connected (SO_PEERCRED, unix(7)), as it was at its first call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its effective user.
    pub uid: u32,
    /// Its pid, as init sees it; 0 for one of another pid namespace.
    pub pid: i32,
    /// Its name (/proc/PID/comm), empty if it was gone by then.
    pub program: String,
}

impl Origin {
    /// What is to be written down of an input; `who` tells of a caller who that is.
    #[must_use]
    pub fn of(input: &Input, who: impl FnOnce(&Caller) -> Option<Who>) -> Self {
        match input {
            Input::Settings(_) => Self::Settings,
            Input::RollCall(call) => Self::RollCall { is_restart: call.is_restart, reason: call.reason.clone() },
            Input::Startup(_) => Self::Startup,
            Input::Define(class) => Self::JobFile { class: class.name.clone() },
            Input::Remove(class) => Self::JobFileGone { class: class.clone() },
            Input::Call(caller, call) => {
                let (method, subject) = describe(call);
                Self::Call { caller: caller.clone(), method: method.into(), subject, who: who(caller) }
            }
            Input::Disconnected(connection) => Self::Disconnected { connection: *connection },
            Input::Spawned { ticket, .. } => Self::Spawned { ticket: *ticket },
            Input::SpawnFailed { ticket, reason } => Self::SpawnFailed { ticket: *ticket, reason: reason.clone() },
            Input::Forked { ticket, .. } => Self::Forked { ticket: *ticket },
            Input::Stopped(ticket) => Self::Stopped { ticket: *ticket },
            Input::Ready(ticket) => Self::Ready { ticket: *ticket },
            Input::Exited { ticket, cause } => Self::Exited { ticket: *ticket, cause: *cause },
            Input::Signalled { ticket, .. } => Self::Signalled { ticket: *ticket },
            Input::Signal(signal) => Self::Signal { name: signal_name(*signal).into() },
            Input::LogPriority(_) => Self::LogPriority,
            Input::Performed(_) => Self::Performed,
            Input::Tick => Self::Tick,
        }
    }

    /// The ticket that it is about, if it is about a process.
    #[must_use]
    pub fn ticket(&self) -> Option<u64> {
        match self {
            Self::Spawned { ticket }
            | Self::SpawnFailed { ticket, .. }
            | Self::Forked { ticket }
            | Self::Stopped { ticket }
            | Self::Ready { ticket }
            | Self::Exited { ticket, .. }
            | Self::Signalled { ticket } => Some(*ticket),
            _ => None,
        }
    }
}

/// The method of a call and what it was about: a job, an instance as `job (instance)`, an event. Values of variables
/// are left to the changes.
fn describe(call: &Call) -> (&'static str, String) {
    let instance = |class: &str, name: &str| {
        if name.is_empty() { class.to_owned() } else { format!("{class} ({name})") }
    };
    match call {
        Call::Start { class, .. } => ("start", class.clone()),
        Call::Stop { class, .. } => ("stop", class.clone()),
        Call::Restart { class, .. } => ("restart", class.clone()),
        Call::StartInstance { class, instance: name, .. } => ("start", instance(class, name)),
        Call::StopInstance { class, instance: name, .. } => ("stop", instance(class, name)),
        Call::RestartInstance { class, instance: name, .. } => ("restart", instance(class, name)),
        Call::ReloadInstance { class, instance: name } => ("reload", instance(class, name)),
        Call::Emit { name, .. } => ("emit", name.clone()),
        Call::SetEnvironment { job, .. } => ("set-env", of_job(job.as_ref())),
        Call::UnsetEnvironment { job, .. } => ("unset-env", of_job(job.as_ref())),
        Call::ResetEnvironment { job } => ("reset-env", of_job(job.as_ref())),
        Call::RestartInit => ("restart-init", String::new()),
        Call::EndSession => ("end-session", String::new()),
        Call::Exit(status) => ("exit", status.to_string()),
        Call::SetLogPriority(priority) => ("log-priority", priority.name().into()),
    }
}

fn of_job(job: Option<&(String, String)>) -> String {
    job.map(|(class, _)| class.clone()).unwrap_or_default()
}

fn signal_name(signal: InitSignal) -> &'static str {
    match signal {
        InitSignal::ControlAltDelete => "control-alt-delete",
        InitSignal::KeyboardRequest => "keyboard-request",
        InitSignal::PowerStatusChanged => "power-status-changed",
        InitSignal::Reload => "reload",
        InitSignal::Terminate => "terminate",
        InitSignal::End => "end",
    }
}
