//! Changes: facts that we decided are now true. They are what the journal is made of.
//!
//! The order of the variants and of their fields is part of the journal's format: new ones go to the end, and nothing is
//! ever taken out.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::effect::{Announcement, Caller, Priority};
use crate::environ::Table;
use crate::input::Settings;
use crate::job::{Failure, Goal, JobState, ProcessKind, Wait};

/// One change of the state; see [`crate::state::State::apply`] for what each does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "variants say what is true, fields are named after what they refer to")]
pub enum Change {
    /// The surroundings of init are these.
    Settled(Box<Settings>),
    /// The system has booted; `startup` is emitted only once.
    Booted,
    /// A manager has come back after a re-exec or a crash.
    Restarted {
        generation: u64,
    },
    /// Announcements up to this number are out.
    Performed {
        through: u64,
    },
    /// A class is defined, in place of an older one of that name.
    ClassDefined(Box<Class>),
    /// A class has a new definition that waits until the last instance of the old one is gone.
    ClassReplaced(Box<Class>),
    /// A class is gone.
    ClassRemoved {
        class: String,
    },
    /// A class goes with its last instance.
    ClassDoomed {
        class: String,
    },
    /// The class is as it was defined; an earlier `ClassReplaced` or `ClassDoomed` is taken back.
    ClassKept {
        class: String,
    },
    /// The global table.
    EnvironmentSet {
        table: Table,
    },
    /// The table of one instance.
    InstanceEnvironmentSet {
        instance: u64,
        table: Table,
    },
    LogPrioritySet(Priority),
    /// This is the last call that was taken from its connection.
    CallTaken(Caller),
    ConnectionEnded {
        connection: u64,
    },
    /// An event has happened.
    EventQueued {
        event: u64,
        name: String,
        environment: Vec<String>,
        releases: Option<u64>,
        caller: Option<Caller>,
        file: Option<String>,
    },
    EventHandled {
        event: u64,
    },
    EventFailed {
        event: u64,
    },
    /// All that followed from it has settled, and it is forgotten.
    EventFinished {
        event: u64,
    },
    /// A node of a class's `start on` holds an event.
    StartMatched {
        class: String,
        node: u32,
        event: u64,
    },
    /// A node of an instance's `stop on` holds an event.
    StopMatched {
        instance: u64,
        node: u32,
        event: u64,
    },
    /// The class's `start on` begins anew.
    StartReset {
        class: String,
    },
    /// The instance's `stop on` begins anew.
    StopReset {
        instance: u64,
    },
    InstanceCreated {
        instance: u64,
        class: String,
        name: String,
    },
    /// What the instance is given by what starts it (or will be, at its next `starting`).
    StartGiven {
        instance: u64,
        given: Vec<String>,
        files: Vec<String>,
    },
    /// What the instance is given by what stops it.
    StopGiven {
        instance: u64,
        environment: Vec<String>,
    },
    GoalChanged {
        instance: u64,
        goal: Goal,
    },
    StateChanged {
        instance: u64,
        state: JobState,
    },
    /// The instance takes over what it was given, and its environment is this.
    Begun {
        instance: u64,
        environment: Table,
    },
    /// The instance waits for this event.
    Blocked {
        instance: u64,
        event: u64,
    },
    /// The event waits for this instance.
    EventAttached {
        instance: u64,
        event: u64,
    },
    /// No event and no caller waits for this instance any longer.
    Detached {
        instance: u64,
    },
    /// A caller waits for this instance.
    CallerAttached {
        instance: u64,
        caller: Caller,
        wait: Wait,
    },
    Failed {
        instance: u64,
        failure: Failure,
    },
    Respawned {
        instance: u64,
        since_ms: u64,
        count: u32,
    },
    DeadlineSet {
        instance: u64,
        deadline_ms: Option<u64>,
    },
    InstanceDestroyed {
        instance: u64,
    },
    ProcessRequested {
        instance: u64,
        kind: ProcessKind,
        ticket: u64,
        awaits: u8,
    },
    ProcessSpawned {
        ticket: u64,
        pid: i32,
        start_time_ticks: u64,
    },
    ProcessForked {
        ticket: u64,
        pid: i32,
        start_time_ticks: u64,
        awaits: u8,
    },
    /// The process is gone (or never was) and its end is accounted for.
    ProcessEnded {
        ticket: u64,
    },
    SignalRequested {
        ticket: u64,
        request: u64,
        signal: i32,
        whole_group: bool,
    },
    SignalConfirmed {
        ticket: u64,
        request: u64,
    },
    /// Somebody is to be told.
    Announced(Arc<Announcement>),
    /// The session is ending; its deadline for what does not end by itself.
    SessionEnding {
        deadline_ms: u64,
    },
    /// The keeper was asked to execute itself anew.
    ReexecRequested,
    /// A process that no instance knows is left in peace, or forgotten when it has ended.
    StrayNoted {
        ticket: u64,
        pid: i32,
        label: String,
    },
    StrayEnded {
        ticket: u64,
    },
    /// A stray has become the process of an instance.
    StrayAdopted {
        ticket: u64,
    },
    /// The event that an instance waited for is lost; it waits no longer.
    Unblocked {
        instance: u64,
    },
    /// The next piece of work is begun.
    TaskTaken,
    /// The keeper knows this number from a journal that was lost; it must not be handed out again.
    NumberSeen {
        number: u64,
    },
}
