//! Announcements of the machine as D-Bus messages.

use machine::effect::{Announcement, Answer, Caller};
use machine::root;

use super::interface::Refusal;
use super::plain::{self, Body, Bytes};
use super::{View, init1, instance, job, path, upstart, wire};

/// The answer to a call; the caller may be inside of a root, where names are other ones.
pub(super) fn answer(caller: &Caller, is_inside: bool, answer: &Answer) -> Option<Bytes> {
    match answer {
        Answer::Done => plain::reply(caller, Body::Nothing),
        Answer::Instance(class, name) => {
            let class = if is_inside { root::bare(class) } else { class };
            plain::reply(caller, Body::Path(&path::instance(class, name)))
        }
        Answer::Error(error) => {
            let refusal = Refusal::from(error);
            refused(caller, &refusal)
        }
    }
}

/// An error, with its text if D-Bus can carry it.
pub(super) fn refused(caller: &Caller, refusal: &Refusal) -> Option<Bytes> {
    wire::error(caller, refusal.name, &refusal.text).or_else(|| wire::error(caller, refusal.name, ""))
}

/// The root that an announcement concerns: none is init's own; nothing if it concerns all.
pub(super) fn root_of(announcement: &Announcement) -> Option<Option<&str>> {
    match announcement {
        Announcement::EventEmitted(name, _) | Announcement::JobAdded(name) | Announcement::JobRemoved(name) => {
            Some(root::of(name))
        }
        Announcement::InstanceAdded(class, _)
        | Announcement::InstanceRemoved(class, _)
        | Announcement::GoalChanged(class, ..)
        | Announcement::StateChanged(class, ..)
        | Announcement::Failed(class, ..) => Some(root::of(class)),
        Announcement::Restarted(_) | Announcement::Reply(..) | Announcement::Log(..) => None,
    }
}

/// The D-Bus signals of an announcement; there are none for replies and log lines.
pub(super) fn signals(announcement: &Announcement, view: &View) -> impl Iterator<Item = Bytes> {
    let of_manager = |member, body| plain::signal(path::MANAGER, upstart::INTERFACE.name, member, body);
    // Who hears of it is in the same root.
    let of_class = |of: &str, member, added: &str| {
        let of = root::bare(of);
        plain::signal(&path::class(of), job::INTERFACE.name, member, Body::Path(&path::instance(of, added)))
    };
    let of_instance = |of: &str, name: &str, member, body| {
        plain::signal(&path::instance(root::bare(of), name), instance::INTERFACE.name, member, body)
    };
    let one = match announcement {
        Announcement::EventEmitted(name, environment) => {
            of_manager("EventEmitted", Body::TextAndList(root::bare(name), environment))
        }
        Announcement::JobAdded(name) => of_manager("JobAdded", Body::Path(&path::class(root::bare(name)))),
        Announcement::JobRemoved(name) => of_manager("JobRemoved", Body::Path(&path::class(root::bare(name)))),
        Announcement::InstanceAdded(of, name) => of_class(of, "InstanceAdded", name),
        Announcement::InstanceRemoved(of, name) => of_class(of, "InstanceRemoved", name),
        Announcement::GoalChanged(of, name, goal) => of_instance(of, name, "GoalChanged", Body::Text(goal.name())),
        Announcement::StateChanged(of, name, state) => of_instance(of, name, "StateChanged", Body::Text(state.name())),
        Announcement::Failed(of, name, status) => of_instance(of, name, "Failed", Body::Number(*status)),
        Announcement::Restarted(_) => of_manager("Restarted", Body::Nothing),
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
