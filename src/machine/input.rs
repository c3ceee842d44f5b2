//! What has happened outside: the only things the machine is ever told.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::class::{Class, ConsoleKind};
use crate::effect::{Caller, Priority};
use crate::environ::Table;
use crate::job::Cause;

/// One input. Time comes beside it, see [`crate::turn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A manager has started; what it was given on its command line. Comes before all else in its life.
    Settings(Box<Settings>),
    /// What the keeper knows, after the settings. The first one of a journal is the boot.
    RollCall(RollCall),
    /// This is the first start: emit this event (`startup`), if any.
    Startup(Option<String>),
    /// A job file was read; new, changed or the same.
    Define(Box<Class>),
    /// A job file is gone, or its directory.
    Remove(String),
    /// A method call that changes something.
    Call(Caller, Call),
    /// A connection has ended; nobody is left to answer.
    Disconnected(u64),
    /// The keeper has started the process of a ticket.
    Spawned {
        /// Which.
        ticket: u64,
        /// Its pid.
        pid: i32,
        /// Its start time, in clock ticks since boot.
        start_time_ticks: u64,
    },
    /// The keeper could not.
    SpawnFailed {
        /// Which.
        ticket: u64,
        /// The step that failed and why, for people, such as `unable to execute: Permission denied`.
        reason: String,
    },
    /// A followed process has handed over to a descendant.
    Forked {
        /// Which.
        ticket: u64,
        /// Its new pid.
        pid: i32,
        /// Start time of that.
        start_time_ticks: u64,
        /// Forks still expected.
        forks_left: u8,
    },
    /// The process of a ticket has stopped itself (`expect stop`).
    Stopped(u64),
    /// The process of a ticket says that it is ready (`expect notify`).
    Ready(u64),
    /// The process of a ticket has ended.
    Exited {
        /// Which.
        ticket: u64,
        /// How.
        cause: Cause,
    },
    /// The keeper has carried out a signal request.
    Signalled {
        /// Whose.
        ticket: u64,
        /// Which request.
        request: u64,
    },
    /// A signal has reached the keeper.
    Signal(InitSignal),
    /// Log from this priority on.
    LogPriority(crate::effect::Priority),
    /// The announcements up to this number are out.
    Performed(u64),
    /// Time has passed, or a turn ended before its agenda did.
    Tick,
}

/// Signals to init itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after what the contract makes of them")]
pub enum InitSignal {
    ControlAltDelete,
    KeyboardRequest,
    PowerStatusChanged,
    Reload,
    Terminate,
    /// The container is to end.
    End,
}

/// Method calls that change something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the D-Bus contract describes them")]
pub enum Call {
    Start { class: String, environment: Vec<String>, wait: bool },
    Stop { class: String, environment: Vec<String>, wait: bool },
    Restart { class: String, environment: Vec<String>, wait: bool },
    StartInstance { class: String, instance: String, wait: bool },
    StopInstance { class: String, instance: String, wait: bool },
    RestartInstance { class: String, instance: String, wait: bool },
    ReloadInstance { class: String, instance: String },
    Emit { name: String, environment: Vec<String>, wait: bool, file: Option<String> },
    SetEnvironment { job: Option<(String, String)>, entries: Vec<String>, replace: bool },
    UnsetEnvironment { job: Option<(String, String)>, names: Vec<String> },
    ResetEnvironment { job: Option<(String, String)> },
    RestartInit,
    EndSession,
    Exit(u8),
    SetLogPriority(Priority),
}

/// What a manager is told on its command line and by its surroundings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether this is a session's init.
    pub is_session: bool,
    /// Init's own environment, where `env KEY` takes its values.
    pub origin: Vec<String>,
    /// What the global table begins with.
    pub base: Table,
    /// Address of the private socket, for `UPSTART_SESSION`; none for the system.
    pub session_address: Option<String>,
    /// Whether the kernel has AppArmor; without it, its stanzas mean nothing.
    pub has_apparmor: bool,
    /// Whether there is a systemd-tmpfiles to apply `tmpfiles` with.
    pub has_tmpfiles: bool,
    /// `--default-console`.
    pub default_console: ConsoleKind,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_session: false,
            origin: Vec::new(),
            base: Vec::new(),
            session_address: None,
            has_apparmor: false,
            has_tmpfiles: false,
            default_console: ConsoleKind::Log,
        }
    }
}

/// The keeper's table, and why it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollCall {
    /// Whether this is a restart of any kind, to be announced; false at boot.
    pub is_restart: bool,
    /// What happened, for the log.
    pub reason: String,
    /// All tickets.
    pub entries: Vec<RollCallEntry>,
    /// The highest number that the keeper has ever been given for a ticket or a signal request.
    pub highest_number: u64,
    /// Connections that are still there.
    pub connections: Vec<u64>,
    /// Descriptors still held that came with events ([`Call::Emit`]), by name.
    pub files: Vec<String>,
    /// What the job files say, where a part of the journal is lost: to recognize what runs. They come with the roll call, because
    /// before it nothing is decided.
    pub classes: Vec<Class>,
}

/// One line of the keeper's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollCallEntry {
    /// Which process.
    pub ticket: u64,
    /// `class`, `instance`, process kind, as [`crate::spawn::label`] wrote them.
    pub label: String,
    /// Its pid, 0 if it never ran.
    pub pid: i32,
    /// Start time of that.
    pub start_time_ticks: u64,
    /// The last signal request that was carried out.
    pub last_signal_request: u64,
    /// How it is.
    pub condition: RollCallCondition,
}

/// See [`RollCallEntry::condition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollCallCondition {
    /// It runs.
    Running {
        /// Forks still expected.
        forks_left: u8,
        /// Whether it stopped itself.
        has_stopped: bool,
    },
    /// It has ended.
    Exited(Cause),
    /// It never ran; the reason as in [`Input::SpawnFailed`].
    Failed(String),
    /// It is being started: [`Input::Spawned`] or [`Input::SpawnFailed`] follows.
    Starting,
}
