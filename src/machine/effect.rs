//! What must be done about changes, and who it is done for. Nothing here has happened yet.
//!
//! There are two kinds. A *confirmed* effect (spawn, signal) is done by the keeper, which answers; until the answer is in
//! the journal the effect can be derived from the state again, and the keeper ignores what it has done already. An
//! *announcement* (reply, D-Bus signal, log line) has nobody who answers; it stays in the state's outbox until the manager
//! has said that it is out ([`crate::change::Change::Performed`]).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::job::{Goal, JobState};
use crate::root;

/// Who made a method call: enough to answer it, from this manager or the next one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Caller {
    /// Number of the connection; never used again.
    pub connection: u64,
    /// Serial number of the call.
    pub serial: u32,
    /// Unique name of the caller if the connection is one to a bus.
    pub sender: Option<String>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have the keeper start the process of this ticket; [`crate::spawn::describe`] tells how.
    Spawn(u64),
    /// Have the keeper signal the process of a ticket.
    Signal {
        /// Whose.
        ticket: u64,
        /// Number of the request, growing.
        request: u64,
        /// Which signal.
        signal: i32,
        /// Whether the whole process group is meant.
        whole_group: bool,
    },
    /// Have the keeper follow no more forks of this ticket: the process it has is the one. Asked for again at the roll
    /// call until the keeper's table says so.
    Settle(u64),
    /// Tell the keeper that the end of this ticket is recorded.
    Acknowledge(u64),
    /// Have the keeper close a descriptor held under this name.
    Release(String),
    /// Tell somebody; the number is the one to give back in [`crate::change::Change::Performed`].
    Announce(u64, Arc<Announcement>),
    /// Have the keeper execute itself anew; nothing further is to be performed by this manager.
    Reexecute,
    /// The session is over: have the keeper exit with this status.
    Exit(u8),
    /// Read the job directories again.
    Rescan,
    /// Log from this priority on.
    LogPriority(Priority),
}

/// Where effects go.
pub trait Effects {
    /// Takes one; where nobody is interested, it is not even made.
    fn add(&mut self, make: impl FnOnce() -> Effect);
}

impl Effects for Vec<Effect> {
    fn add(&mut self, make: impl FnOnce() -> Effect) {
        self.push(make());
    }
}

/// In replay, nobody wants effects: they were performed, or follow from the state that comes out.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Effects for Nobody {
    fn add(&mut self, _make: impl FnOnce() -> Effect) {}
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Announcement {
    /// The answer to a call.
    Reply(Caller, Answer),
    /// D-Bus signal EventEmitted.
    EventEmitted(String, Vec<String>),
    /// D-Bus signal JobAdded, of a class.
    JobAdded(String),
    /// D-Bus signal JobRemoved, of a class.
    JobRemoved(String),
    /// D-Bus signal InstanceAdded: class and instance.
    InstanceAdded(Arc<str>, Arc<str>),
    /// D-Bus signal InstanceRemoved: class and instance.
    InstanceRemoved(Arc<str>, Arc<str>),
    /// D-Bus signal GoalChanged: class, instance, goal.
    GoalChanged(Arc<str>, Arc<str>, Goal),
    /// D-Bus signal StateChanged: class, instance, state.
    StateChanged(Arc<str>, Arc<str>, JobState),
    /// D-Bus signal Failed: class, instance, status.
    Failed(Arc<str>, Arc<str>, i32),
    /// D-Bus signal Restarted, and `stayup.Init1.Recovered`, with the new restart generation.
    Restarted(u64),
    /// A line for the log.
    Log(Priority, String),
}

/// Log priorities, in growing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as in initctl log-priority")]
pub enum Priority {
    Debug,
    Info,
    Message,
    Warn,
    Error,
    Fatal,
}

impl Priority {
    /// All, in growing order.
    pub const ALL: [Self; 6] = [Self::Debug, Self::Info, Self::Message, Self::Warn, Self::Error, Self::Fatal];

    /// As in `initctl log-priority`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Message => "message",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// The reverse of [`Priority::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.name() == name)
    }
}

/// What a call is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// No value.
    Done,
    /// The path of an instance: class and instance name.
    Instance(Arc<str>, Arc<str>),
    /// An error.
    Error(CallError),
}

/// Why a call was refused or did not succeed. `Display` is the message of the D-Bus contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallError {
    /// There is no such class.
    UnknownJob(String),
    /// There is no such instance.
    UnknownInstance(String),
    /// There is no such instance (environment methods): instance, class.
    UnknownJobInstance(Box<(String, String)>),
    /// Its goal is start already.
    AlreadyStarted(String),
    /// Its goal is stop already.
    AlreadyStopped(String),
    /// It has no main process.
    NotRunning(String),
    /// It failed before it ran.
    StartFailed,
    /// It failed on its way down.
    StopFailed,
    /// It failed on its way down or up.
    RestartFailed,
    /// A job that the event started or stopped failed.
    EventFailed,
    /// Variables that are not KEY=VALUE.
    MalformedEnvironment,
    /// An event without name.
    EmptyName,
    /// A variable without name.
    EmptyVariable,
    /// A variable that is not set.
    NoSuchVariable(String),
    /// The instance's name could not be made; the text says why.
    Expansion(String),
    /// The system init has no variables that can be set.
    EnvironmentOfSystem,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownJob(name) => write!(f, "Unknown job: {}", root::bare(name)),
            Self::UnknownInstance(name) => write!(f, "Unknown instance: {name}"),
            Self::UnknownJobInstance(both) => write!(f, "Unknown instance: {} of job {}", both.0, root::bare(&both.1)),
            Self::AlreadyStarted(name) => write!(f, "Job is already running: {}", root::bare(name)),
            Self::AlreadyStopped(name) => write!(f, "Job has already been stopped: {}", root::bare(name)),
            Self::NotRunning(name) => write!(f, "Job is not running: {}", root::bare(name)),
            Self::StartFailed => f.write_str("Job failed to start"),
            Self::StopFailed => f.write_str("Job failed while stopping"),
            Self::RestartFailed => f.write_str("Job failed to restart"),
            Self::EventFailed => f.write_str("Event failed"),
            Self::MalformedEnvironment => f.write_str("Env must be KEY=VALUE pairs"),
            Self::EmptyName => f.write_str("Name may not be empty string"),
            Self::EmptyVariable => f.write_str("Variable may not be empty string"),
            Self::NoSuchVariable(name) => write!(f, "No such variable: {name}"),
            Self::Expansion(text) => f.write_str(text),
            Self::EnvironmentOfSystem => f.write_str("Not permissible to modify PID 1 job environment"),
        }
    }
}
