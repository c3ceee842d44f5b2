//! Frames read without taking their texts out of them: what a tool needs that looks at millions of changes.
//!
//! These types mirror [`machine::change::Change`] and what is in it, variant by variant and field by field, and become the same
//! bytes and the same JSON. What is large and rare is owned here, too. A test holds each variant against the original.

use machine::class::Class;
use machine::effect::Priority;
use machine::input::Settings;
use machine::job::{Cause, Failure, Goal, JobState, ProcessKind, Wait};
use serde::{Deserialize, Serialize};

use crate::Stamp;

/// As [`crate::Turn`], without its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadView<'a> {
    /// When.
    pub stamp: Option<Stamp>,
    /// What happened.
    pub origin: OriginView<'a>,
}

/// As [`machine::effect::Caller`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as the original")]
pub struct CallerView<'a> {
    pub connection: u64,
    pub serial: u32,
    #[serde(borrow)]
    pub sender: Option<&'a str>,
}

/// As [`crate::Who`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as the original")]
pub struct WhoView<'a> {
    pub uid: u32,
    pub pid: i32,
    pub program: &'a str,
}

/// As [`crate::Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Origin")]
#[allow(missing_docs, reason = "as the original")]
pub enum OriginView<'a> {
    Unknown,
    Settings,
    RollCall {
        is_restart: bool,
        reason: &'a str,
    },
    Startup,
    JobFile {
        class: &'a str,
    },
    JobFileGone {
        class: &'a str,
    },
    Call {
        #[serde(borrow)]
        caller: CallerView<'a>,
        method: &'a str,
        subject: &'a str,
        #[serde(borrow)]
        who: Option<WhoView<'a>>,
    },
    Disconnected {
        connection: u64,
    },
    Spawned {
        ticket: u64,
    },
    SpawnFailed {
        ticket: u64,
        reason: &'a str,
    },
    Forked {
        ticket: u64,
    },
    Stopped {
        ticket: u64,
    },
    Ready {
        ticket: u64,
    },
    Exited {
        ticket: u64,
        cause: Cause,
    },
    Signalled {
        ticket: u64,
    },
    Signal {
        name: &'a str,
    },
    LogPriority,
    Performed,
    Tick,
}

/// As [`machine::effect::Announcement`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Announcement")]
#[allow(missing_docs, reason = "as the original")]
pub enum AnnouncementView<'a> {
    Reply(#[serde(borrow)] CallerView<'a>, machine::effect::Answer),
    EventEmitted(&'a str, #[serde(borrow)] Vec<&'a str>),
    JobAdded(&'a str),
    JobRemoved(&'a str),
    InstanceAdded(&'a str, &'a str),
    InstanceRemoved(&'a str, &'a str),
    GoalChanged(&'a str, &'a str, Goal),
    StateChanged(&'a str, &'a str, JobState),
    Failed(&'a str, &'a str, i32),
    Restarted(u64),
    Log(Priority, &'a str),
}

/// As [`machine::change::Change`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Change")]
#[allow(missing_docs, reason = "as the original")]
pub enum ChangeView<'a> {
    Settled(Box<Settings>),
    Booted,
    Restarted {
        generation: u64,
    },
    Performed {
        through: u64,
    },
    ClassDefined(Box<Class>),
    ClassReplaced(Box<Class>),
    ClassRemoved {
        class: &'a str,
    },
    ClassDoomed {
        class: &'a str,
    },
    ClassKept {
        class: &'a str,
    },
    EnvironmentSet {
        #[serde(borrow)]
        table: Vec<&'a str>,
    },
    InstanceEnvironmentSet {
        instance: u64,
        #[serde(borrow)]
        table: Vec<&'a str>,
    },
    LogPrioritySet(Priority),
    CallTaken(#[serde(borrow)] CallerView<'a>),
    ConnectionEnded {
        connection: u64,
    },
    EventQueued {
        event: u64,
        name: &'a str,
        #[serde(borrow)]
        environment: Vec<&'a str>,
        releases: Option<u64>,
        #[serde(borrow)]
        caller: Option<CallerView<'a>>,
        #[serde(borrow)]
        file: Option<&'a str>,
    },
    EventHandled {
        event: u64,
    },
    EventFailed {
        event: u64,
    },
    EventFinished {
        event: u64,
    },
    StartMatched {
        class: &'a str,
        node: u32,
        event: u64,
    },
    StopMatched {
        instance: u64,
        node: u32,
        event: u64,
    },
    StartReset {
        class: &'a str,
    },
    StopReset {
        instance: u64,
    },
    InstanceCreated {
        instance: u64,
        class: &'a str,
        name: &'a str,
    },
    StartGiven {
        instance: u64,
        #[serde(borrow)]
        given: Vec<&'a str>,
        #[serde(borrow)]
        files: Vec<&'a str>,
    },
    StopGiven {
        instance: u64,
        #[serde(borrow)]
        environment: Vec<&'a str>,
    },
    GoalChanged {
        instance: u64,
        goal: Goal,
    },
    StateChanged {
        instance: u64,
        state: JobState,
    },
    Begun {
        instance: u64,
        #[serde(borrow)]
        environment: Vec<&'a str>,
    },
    Blocked {
        instance: u64,
        event: u64,
    },
    EventAttached {
        instance: u64,
        event: u64,
    },
    Detached {
        instance: u64,
    },
    CallerAttached {
        instance: u64,
        #[serde(borrow)]
        caller: CallerView<'a>,
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
    Announced(#[serde(borrow)] AnnouncementView<'a>),
    SessionEnding {
        deadline_ms: u64,
    },
    ReexecRequested,
    StrayNoted {
        ticket: u64,
        pid: i32,
        label: &'a str,
    },
    StrayEnded {
        ticket: u64,
    },
    StrayAdopted {
        ticket: u64,
    },
    Unblocked {
        instance: u64,
    },
    TaskTaken,
    NumberSeen {
        number: u64,
    },
}

#[cfg(test)]
mod tests {
    use crate::{Turn, decode_turn, encode_turn, view_turn};

    fn assert_same(bytes: &[u8], owned: &Turn) {
        let mut changes = Vec::new();
        let head = view_turn(bytes, &mut changes).unwrap_or_else(|error| panic!("{owned:?}: {error}"));
        let mut again = Vec::new();
        let all = (head.stamp.unwrap(), &head.origin, &changes);
        bincode::serde::encode_into_std_write(all, &mut again, bincode::config::standard()).unwrap();
        let mut original = Vec::new();
        encode_turn(owned.stamp.unwrap(), &owned.origin, &owned.changes, &mut original).unwrap();
        assert_eq!(again, original[1..], "{owned:?}");
        // `Debug` has the names of all variants and fields.
        let plain = |text: String| text.replace("View", "");
        assert_eq!(plain(format!("{changes:?}")), format!("{:?}", owned.changes));
        assert_eq!(plain(format!("{:?}", head.origin)), format!("{:?}", owned.origin));
        let changes: Vec<_> = changes.into_iter().map(crate::ChangeView::into_change).collect();
        assert_eq!(changes, owned.changes);
    }

    /// Whether there is something that begins like this, with all that follows being zeros, ones or twos.
    fn is_one(begin: &[u8]) -> bool {
        let mut is_found = false;
        for fill in [0, 1, 2] {
            for length in 0..300 {
                let bytes: Vec<u8> = begin.iter().copied().chain(std::iter::repeat_n(fill, length)).collect();
                match decode_turn(&bytes) {
                    Ok(owned) => {
                        assert_same(&bytes, &owned);
                        is_found = true;
                    }
                    Err(_) => assert!(view_turn(&bytes, &mut Vec::new()).is_err(), "{bytes:?}"),
                }
            }
        }
        is_found
    }

    /// Fear: a view says something else than the change, because one of them was changed alone.
    #[test]
    fn every_change_and_origin_is_seen_as_it_is() {
        const TICK: u8 = 18;
        const ANNOUNCED: u8 = 42;
        let count = |begin: &[u8]| (0..=60).filter(|number| is_one(&[begin, &[*number]].concat())).count();
        assert_eq!(count(&[2, 0, 0]), 19, "origins");
        assert_eq!(count(&[2, 0, 0, TICK, 1]), 51, "changes");
        assert_eq!(count(&[2, 0, 0, TICK, 1, ANNOUNCED]), 11, "announcements");
    }
}
