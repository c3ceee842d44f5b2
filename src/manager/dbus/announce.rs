//! Announcements of the machine as D-Bus messages.

use machine::effect::{Announcement, Answer, Caller};
use zbus::ObjectPath;
use zbus::message::Message;

use super::interface::Refusal;
use super::{View, init1, instance, job, path, upstart, wire};

/// The answer to a call.
pub(super) fn answer(caller: &Caller, answer: &Answer) -> Option<Message> {
    match answer {
        Answer::Done => wire::reply(caller, &()),
        Answer::Instance(class, name) => wire::reply(caller, &ObjectPath::try_from(path::instance(class, name)).ok()?),
        Answer::Error(error) => {
            let refusal = Refusal::from(error);
            refused(caller, &refusal)
        }
    }
}

/// An error, with its text if D-Bus can carry it.
pub(super) fn refused(caller: &Caller, refusal: &Refusal) -> Option<Message> {
    wire::error(caller, refusal.name, &refusal.text).or_else(|| wire::error(caller, refusal.name, ""))
}

/// The D-Bus signals of an announcement; there are none for replies and log lines.
pub(super) fn signals(announcement: &Announcement, view: &View) -> impl Iterator<Item = Message> {
    let manager = upstart::INTERFACE.name;
    let (class, instance) = (job::INTERFACE.name, instance::INTERFACE.name);
    let object = |path: String| ObjectPath::try_from(path).ok();
    let one = match announcement {
        Announcement::EventEmitted(name, environment) => {
            wire::signal(path::MANAGER, manager, "EventEmitted", &(name, environment))
        }
        Announcement::JobAdded(name) => {
            object(path::class(name)).and_then(|job| wire::signal(path::MANAGER, manager, "JobAdded", &job))
        }
        Announcement::JobRemoved(name) => {
            object(path::class(name)).and_then(|job| wire::signal(path::MANAGER, manager, "JobRemoved", &job))
        }
        Announcement::InstanceAdded(of, name) => object(path::instance(of, name))
            .and_then(|added| wire::signal(&path::class(of), class, "InstanceAdded", &added)),
        Announcement::InstanceRemoved(of, name) => object(path::instance(of, name))
            .and_then(|removed| wire::signal(&path::class(of), class, "InstanceRemoved", &removed)),
        Announcement::GoalChanged(of, name, goal) => {
            wire::signal(&path::instance(of, name), instance, "GoalChanged", &goal.name())
        }
        Announcement::StateChanged(of, name, state) => {
            wire::signal(&path::instance(of, name), instance, "StateChanged", &state.name())
        }
        Announcement::Failed(of, name, status) => wire::signal(&path::instance(of, name), instance, "Failed", status),
        Announcement::Restarted(_) => wire::signal(path::MANAGER, manager, "Restarted", &()),
        Announcement::Reply(..) | Announcement::Log(..) => None,
    };
    let other = match announcement {
        Announcement::Restarted(generation) => {
            let body = (*generation, init1::recovery(view));
            wire::signal(path::INIT, init1::INTERFACE.name, "Recovered", &body)
        }
        _ => None,
    };
    one.into_iter().chain(other)
}
