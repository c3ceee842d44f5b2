//! The life of an instance: goals, states, and the one table of where to go next.
//!
//! # The essay
//!
//! An instance is pulled by its *goal* and moves through its *state*. People, events and failures only ever change the
//! goal; the state follows by itself, one step at a time, and each step may have to wait for something: an event that
//! others must settle, a process that must be spawned, a process that must end. What is waited for is always visible
//! in the state:
//!
//! | state | entered by doing | left when |
//! |---|---|---|
//! | `waiting` | `stopped` is emitted, callers are answered, the instance is removed | (start) a new life begins |
//! | `starting` | `starting` is emitted | all that it started or stopped has settled |
//! | `security-spawning`, `security` | the AppArmor profile is loaded, if there is one | it is loaded |
//! | `pre-starting`, `pre-start` | pre-start is spawned, if there is one | it has ended |
//! | `spawning`, `spawned` | main is spawned, if there is one | it runs, and what `expect` asks for was seen |
//! | `post-starting`, `post-start` | post-start is spawned, if there is one | it has ended |
//! | `running` | `started` is emitted, callers and events are let go (unless a task) | the goal or main ends |
//! | `pre-stopping`, `pre-stop` | pre-stop is spawned, if there is one | it has ended |
//! | `stopping` | `stopping` is emitted | all that it started or stopped has settled |
//! | `killed` | the kill signal is sent to main, if it lives | main has ended (SIGKILL after the kill timeout) |
//! | `post-stopping`, `post-stop` | post-stop is spawned, if there is one | it has ended |
//!
//! The states in `-ing` that belong to a process last until the keeper has answered the spawn.
//!
//! **Interrupted transitions.** The goal may turn at any time; this is what then happens:
//! - *stop while starting*: the instance stays where it is until what it waits for has come, then goes to `stopping`:
//!   a pre-start that has begun is never cut off half-way. There is one exception: in `spawned`, main itself is what is
//!   waited for (`expect`), and it may never do what is expected; so it goes to `stopping` at once and is killed as usual.
//! - *start while stopping*: the way down is finished first (`post-stop` too), then `post-stop` leads to `starting`.
//! - *start in `pre-stop`*: that is how pre-stop vetoes a stop. When pre-stop has ended the instance is `running` again
//!   as if nothing had happened; no event tells of it.
//! - *restart*: the goal `respawn` goes the way down like `stop`, pre-stop included, but `post-stop` leads to `starting`,
//!   where the goal turns to `start`. A restart on the way up goes down from the next place where a stop would.
//! - *main ends in `running`*: with `respawn`, and within its limit, the goal turns to `respawn`, otherwise to `stop`.
//!   Both go to `stopping`: pre-stop does not run for a process that is gone.
//! - *main ends in `spawned`*: the same, it never became ready.
//! - *main ends in `post-start` or `pre-stop`*: these are finished first.
//! - *main ends in `stopping` or `killed`*: as was wanted; it is no failure.
//!
//! A failure (main or pre-start or post-stop ended badly, could not be spawned, or respawned too often) is remembered
//! from where it happened until the next `starting`; it is the RESULT of `stopping` and `stopped`, and what callers and
//! events that wait are told. Failures of post-start and pre-stop are only reported.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::condition::Progress;
use crate::effect::Caller;
use crate::environ::Table;

/// Where an instance is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Goal {
    /// Down.
    Stop,
    /// Up.
    Start,
    /// Down and up again; turns into `Start` at `starting`.
    Respawn,
}

/// Where an instance is; see the module's essay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the module's table describes them")]
pub enum JobState {
    Waiting,
    Starting,
    SecuritySpawning,
    Security,
    PreStarting,
    PreStart,
    Spawning,
    Spawned,
    PostStarting,
    PostStart,
    Running,
    PreStopping,
    PreStop,
    Stopping,
    Killed,
    PostStopping,
    PostStop,
}

/// The processes an instance may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as in job files")]
pub enum ProcessKind {
    Main,
    PreStart,
    PostStart,
    PreStop,
    PostStop,
    Security,
}

impl Goal {
    /// As it is written in status lines and D-Bus properties.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Respawn => "respawn",
        }
    }
}

impl JobState {
    /// As it is written in status lines and D-Bus properties.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::SecuritySpawning => "security-spawning",
            Self::Security => "security",
            Self::PreStarting => "pre-starting",
            Self::PreStart => "pre-start",
            Self::Spawning => "spawning",
            Self::Spawned => "spawned",
            Self::PostStarting => "post-starting",
            Self::PostStart => "post-start",
            Self::Running => "running",
            Self::PreStopping => "pre-stopping",
            Self::PreStop => "pre-stop",
            Self::Stopping => "stopping",
            Self::Killed => "killed",
            Self::PostStopping => "post-stopping",
            Self::PostStop => "post-stop",
        }
    }

    /// The table: where a state leads, by goal. `main_runs` and `has_pre_stop` decide whether pre-stop is worth a visit.
    #[must_use]
    pub const fn next(self, goal: Goal, main_runs: bool, has_pre_stop: bool) -> Self {
        use Goal::{Respawn, Start, Stop};
        match (self, goal) {
            (Self::Waiting, Start | Respawn) => Self::Starting,
            (Self::Waiting, Stop) => Self::Waiting,
            (
                Self::Starting | Self::Security | Self::PreStart | Self::Spawned | Self::PostStart | Self::PreStop,
                Stop | Respawn,
            ) => Self::Stopping,
            (Self::Starting, Start) => Self::SecuritySpawning,
            (Self::SecuritySpawning, _) => Self::Security,
            (Self::Security, Start) => Self::PreStarting,
            (Self::PreStarting, _) => Self::PreStart,
            (Self::PreStart, Start) => Self::Spawning,
            (Self::Spawning, _) => Self::Spawned,
            (Self::Spawned, Start) => Self::PostStarting,
            (Self::PostStarting, _) => Self::PostStart,
            (Self::PostStart | Self::PreStop, Start) => Self::Running,
            (Self::Running, Stop | Respawn) if main_runs && has_pre_stop => Self::PreStopping,
            (Self::Running, _) => Self::Stopping,
            (Self::PreStopping, _) => Self::PreStop,
            (Self::Stopping, _) => Self::Killed,
            (Self::Killed, _) => Self::PostStopping,
            (Self::PostStopping, _) => Self::PostStop,
            (Self::PostStop, Start | Respawn) => Self::Starting,
            (Self::PostStop, Stop) => Self::Waiting,
        }
    }

    /// The process that is spawned when this state is entered.
    #[must_use]
    pub const fn spawns(self) -> Option<ProcessKind> {
        match self {
            Self::SecuritySpawning => Some(ProcessKind::Security),
            Self::PreStarting => Some(ProcessKind::PreStart),
            Self::Spawning => Some(ProcessKind::Main),
            Self::PostStarting => Some(ProcessKind::PostStart),
            Self::PreStopping => Some(ProcessKind::PreStop),
            Self::PostStopping => Some(ProcessKind::PostStop),
            _ => None,
        }
    }

    /// The process whose end is waited for in this state (main in `spawned` is another matter).
    #[must_use]
    pub const fn awaits_end_of(self) -> Option<ProcessKind> {
        match self {
            Self::Security => Some(ProcessKind::Security),
            Self::PreStart => Some(ProcessKind::PreStart),
            Self::PostStart => Some(ProcessKind::PostStart),
            Self::PreStop => Some(ProcessKind::PreStop),
            Self::Killed => Some(ProcessKind::Main),
            Self::PostStop => Some(ProcessKind::PostStop),
            _ => None,
        }
    }
}

impl ProcessKind {
    /// All of them, in the order in which status lines show them.
    pub const ALL: [Self; 6] =
        [Self::Main, Self::PreStart, Self::PostStart, Self::PreStop, Self::PostStop, Self::Security];

    /// As it is written in status lines, events and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::PreStart => "pre-start",
            Self::PostStart => "post-start",
            Self::PreStop => "pre-stop",
            Self::PostStop => "post-stop",
            Self::Security => "security",
        }
    }

    /// The reverse of [`ProcessKind::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One running (or starting, or stopping) life of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Name of its class.
    pub class: Arc<str>,
    /// Its name within the class; empty for a job with a single instance.
    pub name: Arc<str>,
    /// Where it is to go.
    pub goal: Goal,
    /// Where it is.
    pub state: JobState,
    /// What started it gave these variables; kept for reset-env.
    pub given: Vec<String>,
    /// What will be `given` when it starts the next time; none to start as before.
    pub next_given: Option<Vec<String>>,
    /// The environment of its processes, but for what the process kind adds.
    pub environment: Table,
    /// What stopped it gave these variables.
    pub stop_environment: Vec<String>,
    /// How far its `stop on` is fulfilled.
    pub stop_on: Progress,
    /// Events that wait for it.
    pub blocks: Vec<u64>,
    /// Its own event (`starting`, `stopping`) that it waits for.
    pub blocked_by: Option<u64>,
    /// Callers that wait for it.
    pub callers: Vec<(Caller, Wait)>,
    /// Its processes.
    pub processes: Vec<Process>,
    /// What went wrong, since `starting`.
    pub failure: Option<Failure>,
    /// Recent respawns: since when (milliseconds) and how many.
    pub respawns: (u64, u32),
    /// When something is to happen: the kill timeout, or the patience with `expect daemon`. Milliseconds since boot.
    pub deadline_ms: Option<u64>,
    /// Held descriptors (by name) that its event brought along.
    pub files: Vec<String>,
}

/// What a blocked caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named after the method")]
pub enum Wait {
    Start,
    StartInstance,
    Stop,
    Restart,
    RestartInstance,
}

/// One process of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What it is for.
    pub kind: ProcessKind,
    /// Its name towards the keeper.
    pub ticket: u64,
    /// Its pid; 0 until the keeper has answered.
    pub pid: i32,
    /// Start time of that pid, in clock ticks; 0 if unknown.
    pub start_time_ticks: u64,
    /// What `expect` still waits for: forks, or 1 for a stop or a notification; 0 when the process counts as ready.
    pub awaits: u8,
    /// Signals that the keeper has not confirmed, oldest first, or the latest one that it has. (A checkpoint has had room for
    /// one of them once, and that has the same bytes.)
    pub signals: Vec<SignalRequest>,
}

/// A signal on its way to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalRequest {
    /// Its number, unique and growing.
    pub request: u64,
    /// The signal.
    pub signal: i32,
    /// Whether the whole process group is meant.
    pub whole_group: bool,
    /// Whether the keeper has said that it is done.
    pub confirmed: bool,
}

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which process; none for a respawn limit.
    pub process: Option<ProcessKind>,
    /// How it ended; none if it never ran.
    pub cause: Option<Cause>,
}

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It exited with this status.
    Status(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is gone and nobody knows how: the keeper's table was damaged.
    Unknown,
}

impl Instance {
    /// The process of a kind, if there is one.
    #[must_use]
    pub fn process(&self, kind: ProcessKind) -> Option<&Process> {
        self.processes.iter().find(|process| process.kind == kind)
    }

    /// The job's name for people: `job` or `job (instance)`.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.is_empty() { self.class.as_ref().into() } else { alloc::format!("{} ({})", self.class, self.name) }
    }
}
