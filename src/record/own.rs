//! What a view says, on its own: for the few changes of many that somebody wants to keep.

use std::sync::Arc;

use machine::change::Change;
use machine::effect::{Announcement, Answer, Caller, Priority};
use machine::job::{Failure, Goal, JobState, ProcessKind, Wait};

use crate::{AnnouncementView, CallerView, ChangeView};

/// From what is borrowed to what is owned; which of them, the original's field says.
trait Own<T> {
    fn own(self) -> T;
}

macro_rules! plain {
    ($($kind:ty),*) => {
        $(impl Own<$kind> for $kind {
            fn own(self) -> $kind {
                self
            }
        })*
    };
}

plain!(u8, u32, u64, i32, bool, Goal, JobState, ProcessKind, Wait, Failure, Priority, Answer);

impl Own<String> for &str {
    fn own(self) -> String {
        self.into()
    }
}

impl Own<Arc<str>> for &str {
    fn own(self) -> Arc<str> {
        self.into()
    }
}

impl<T, U: Own<T>> Own<Vec<T>> for Vec<U> {
    fn own(self) -> Vec<T> {
        self.into_iter().map(Own::own).collect()
    }
}

impl<T, U: Own<T>> Own<Option<T>> for Option<U> {
    fn own(self) -> Option<T> {
        self.map(Own::own)
    }
}

impl Own<Caller> for CallerView<'_> {
    fn own(self) -> Caller {
        Caller { connection: self.connection, serial: self.serial, sender: self.sender.own() }
    }
}

/// The variants with names of fields, all alike.
macro_rules! owned {
    ($change:expr, { $($variant:ident { $($field:ident),* })* } { $($rest:tt)* }) => {
        match $change {
            $(ChangeView::$variant { $($field),* } => Change::$variant { $($field: $field.own()),* },)*
            $($rest)*
        }
    };
}

impl ChangeView<'_> {
    /// The change, with texts of its own.
    #[must_use]
    pub fn into_change(self) -> Change {
        owned!(self, {
            Restarted { generation }
            Performed { through }
            ClassRemoved { class }
            ClassDoomed { class }
            ClassKept { class }
            EnvironmentSet { table }
            InstanceEnvironmentSet { instance, table }
            ConnectionEnded { connection }
            EventQueued { event, name, environment, releases, caller, file }
            EventHandled { event }
            EventFailed { event }
            EventFinished { event }
            StartMatched { class, node, event }
            StopMatched { instance, node, event }
            StartReset { class }
            StopReset { instance }
            InstanceCreated { instance, class, name }
            StartGiven { instance, given, files }
            StopGiven { instance, environment }
            GoalChanged { instance, goal }
            StateChanged { instance, state }
            Begun { instance, environment }
            Blocked { instance, event }
            EventAttached { instance, event }
            Detached { instance }
            CallerAttached { instance, caller, wait }
            Failed { instance, failure }
            Respawned { instance, since_ms, count }
            DeadlineSet { instance, deadline_ms }
            InstanceDestroyed { instance }
            ProcessRequested { instance, kind, ticket, awaits }
            ProcessSpawned { ticket, pid, start_time_ticks }
            ProcessForked { ticket, pid, start_time_ticks, awaits }
            ProcessEnded { ticket }
            SignalRequested { ticket, request, signal, whole_group }
            SignalConfirmed { ticket, request }
            SessionEnding { deadline_ms }
            StrayNoted { ticket, pid, label }
            StrayEnded { ticket }
            StrayAdopted { ticket }
            Unblocked { instance }
            NumberSeen { number }
        } {
            ChangeView::Settled(settings) => Change::Settled(settings),
            ChangeView::Booted => Change::Booted,
            ChangeView::ClassDefined(class) => Change::ClassDefined(class),
            ChangeView::ClassReplaced(class) => Change::ClassReplaced(class),
            ChangeView::LogPrioritySet(priority) => Change::LogPrioritySet(priority),
            ChangeView::CallTaken(caller) => Change::CallTaken(caller.own()),
            ChangeView::Announced(announcement) => Change::Announced(Arc::new(announcement.into_announcement())),
            ChangeView::ReexecRequested => Change::ReexecRequested,
            ChangeView::TaskTaken => Change::TaskTaken,
        })
    }
}

impl AnnouncementView<'_> {
    /// The announcement, with texts of its own.
    #[must_use]
    pub fn into_announcement(self) -> Announcement {
        match self {
            Self::Reply(caller, answer) => Announcement::Reply(caller.own(), answer),
            Self::EventEmitted(name, environment) => Announcement::EventEmitted(name.own(), environment.own()),
            Self::JobAdded(class) => Announcement::JobAdded(class.own()),
            Self::JobRemoved(class) => Announcement::JobRemoved(class.own()),
            Self::InstanceAdded(class, name) => Announcement::InstanceAdded(class.own(), name.own()),
            Self::InstanceRemoved(class, name) => Announcement::InstanceRemoved(class.own(), name.own()),
            Self::GoalChanged(class, name, goal) => Announcement::GoalChanged(class.own(), name.own(), goal),
            Self::StateChanged(class, name, state) => Announcement::StateChanged(class.own(), name.own(), state),
            Self::Failed(class, name, status) => Announcement::Failed(class.own(), name.own(), status),
            Self::Restarted(generation) => Announcement::Restarted(generation),
            Self::Log(priority, text) => Announcement::Log(priority, text.own()),
        }
    }
}
