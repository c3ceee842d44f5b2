//! What a change says of names and numbers, alike for changes that own their texts and for those that borrow them.

use std::borrow::Borrow;

use machine::change::Change;
use machine::effect::{Announcement, Answer};
use machine::job::ProcessKind;
use record::{AnnouncementView, ChangeView};

/// A number gets a name, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// An instance: its number, class and name.
    Created(u64, &'a str, &'a str),
    /// It is gone.
    Destroyed(u64),
    /// A process: its ticket, instance and kind.
    Requested(u64, u64, ProcessKind),
    /// It is gone.
    Ended(u64),
    /// An event: its number and name.
    Queued(u64, &'a str),
    /// It is over.
    Finished(u64),
    /// Nothing of the kind.
    Nothing,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// The instance of this number.
    Instance(u64),
    /// The process of this ticket.
    Ticket(u64),
    /// This class.
    Class(&'a str),
    /// This class and instance, by their names.
    Named(&'a str, &'a str),
    /// No job.
    Nothing,
}

/// A change, as far as it is about names and numbers.
pub trait Telling {
    /// Which number gets a name, or is over.
    fn told(&self) -> Told<'_>;

    /// What it is about.
    fn about(&self) -> About<'_>;
}

/// The same words for both kinds of changes.
macro_rules! telling {
    ($change:ty, $variant:ident, $announced:ty, $announcement:ident) => {
        impl Telling for $change {
            fn told(&self) -> Told<'_> {
                match self {
                    $variant::InstanceCreated { instance, class, name } => Told::Created(*instance, class, name),
                    $variant::InstanceDestroyed { instance } => Told::Destroyed(*instance),
                    $variant::ProcessRequested { instance, kind, ticket, .. } => {
                        Told::Requested(*ticket, *instance, *kind)
                    }
                    $variant::ProcessEnded { ticket } => Told::Ended(*ticket),
                    $variant::EventQueued { event, name, .. } => Told::Queued(*event, name),
                    $variant::EventFinished { event } => Told::Finished(*event),
                    _ => Told::Nothing,
                }
            }

            fn about(&self) -> About<'_> {
                match self {
                    $variant::InstanceEnvironmentSet { instance, .. }
                    | $variant::StopMatched { instance, .. }
                    | $variant::StopReset { instance }
                    | $variant::InstanceCreated { instance, .. }
                    | $variant::StartGiven { instance, .. }
                    | $variant::StopGiven { instance, .. }
                    | $variant::GoalChanged { instance, .. }
                    | $variant::StateChanged { instance, .. }
                    | $variant::Begun { instance, .. }
                    | $variant::Blocked { instance, .. }
                    | $variant::EventAttached { instance, .. }
                    | $variant::Detached { instance }
                    | $variant::CallerAttached { instance, .. }
                    | $variant::Failed { instance, .. }
                    | $variant::Respawned { instance, .. }
                    | $variant::DeadlineSet { instance, .. }
                    | $variant::InstanceDestroyed { instance }
                    | $variant::ProcessRequested { instance, .. }
                    | $variant::Unblocked { instance } => About::Instance(*instance),
                    $variant::ProcessSpawned { ticket, .. }
                    | $variant::ProcessForked { ticket, .. }
                    | $variant::ProcessEnded { ticket }
                    | $variant::SignalRequested { ticket, .. }
                    | $variant::SignalConfirmed { ticket, .. } => About::Ticket(*ticket),
                    $variant::ClassDefined(class) | $variant::ClassReplaced(class) => About::Class(&class.name),
                    $variant::ClassRemoved { class }
                    | $variant::ClassDoomed { class }
                    | $variant::ClassKept { class }
                    | $variant::StartMatched { class, .. }
                    | $variant::StartReset { class } => About::Class(class),
                    $variant::Announced(announcement) => match Borrow::<$announced>::borrow(announcement) {
                        $announcement::JobAdded(class) | $announcement::JobRemoved(class) => About::Class(class),
                        $announcement::InstanceAdded(class, name)
                        | $announcement::InstanceRemoved(class, name)
                        | $announcement::GoalChanged(class, name, _)
                        | $announcement::StateChanged(class, name, _)
                        | $announcement::Failed(class, name, _) => About::Named(class, name),
                        $announcement::Reply(_, Answer::Instance(class, name)) => About::Named(class, name),
                        _ => About::Nothing,
                    },
                    _ => About::Nothing,
                }
            }
        }
    };
}

telling!(Change, Change, Announcement, Announcement);
telling!(ChangeView<'_>, ChangeView, AnnouncementView<'_>, AnnouncementView);
