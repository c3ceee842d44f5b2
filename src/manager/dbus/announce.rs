//! Announcements of the machine as D-Bus messages.

use machine::effect::{Announcement, Answer, Caller};
use machine::root;

use super::connection::Connection;
use super::interface::{Interface, Refusal};
use super::path::{self, Path};
use super::plain::{self, Body, Bytes};
use super::{Dbus, View, init1, instance, job, socket, upstart, wire};

/// Signals that are on their way to the queues of connections: one after another, for the same listeners.
#[derive(Default)]
pub(super) struct News {
    signals: Vec<u8>,
    /// The root that those live in; none is init's own; nothing if they are for all.
    root: Option<Option<String>>,
}

impl Dbus {
    /// Queues the replies and signals of an announcement; `number` is that of the announcement. Never blocks: they leave
    /// with [`Dbus::push`] or [`Dbus::next`]. Of log lines it knows nothing.
    pub fn announce(&mut self, number: u64, announcement: &Announcement) {
        if let Announcement::Reply(caller, answer) = announcement {
            self.queue_reply(caller, number, |caller, is_inside| reply(caller, is_inside, answer));
            return;
        }
        if !self.connections.values().any(|connection| connection.listens()) {
            return;
        }
        let root = root_of(announcement);
        if self.news.root.as_ref().map(Option::as_deref) != root {
            self.spread_news();
            self.news.root = root.map(|root| root.map(str::to_owned));
        }
        let before = self.news.signals.len();
        signals(&mut self.news.signals, announcement, &self.view);
        if self.news.signals.len() > socket::ATOMIC_BYTES && before > 0 {
            let last = self.news.signals.split_off(before);
            self.spread_news();
            self.news.signals.extend(last);
        }
    }

    /// Queues the signals that were collected, for all that they are for.
    pub(super) fn spread_news(&mut self) {
        if self.news.signals.is_empty() {
            return;
        }
        let message = Bytes::from(&self.news.signals[..]);
        self.news.signals.clear();
        // A crowd of jobs may have made it large.
        self.news.signals.shrink_to(socket::ATOMIC_BYTES);
        let root = self.news.root.as_ref().map(Option::as_deref);
        let hears = |connection: &&mut Box<Connection>| {
            connection.listens() && root.is_none_or(|root| connection.root.as_deref() == root)
        };
        let mut ended = Vec::new();
        for connection in self.connections.values_mut().filter(hears) {
            match connection.queue(0, message.clone()) {
                // Where there was no room before, there is none until the poller says so.
                Ok(()) if connection.awaits_room => {}
                Ok(()) => _ = self.dirty.insert(connection.number),
                Err(end) => ended.push((connection.number, end)),
            }
        }
        for (number, end) in ended {
            if let Some(connection) = self.connections.remove(&number) {
                self.settle(connection, Err(end));
            }
        }
    }
}

/// The answer to a call; the caller may be inside of a root, where names are other ones.
fn reply(caller: &Caller, is_inside: bool, answer: &Answer) -> Option<Bytes> {
    match answer {
        Answer::Done => plain::reply(caller, Body::Nothing),
        Answer::Instance(class, name) => {
            let class = if is_inside { root::bare(class) } else { class };
            plain::reply(caller, Body::Object(Path::Instance(class, name)))
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
fn root_of(announcement: &Announcement) -> Option<Option<&str>> {
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

/// Appends the D-Bus signals of an announcement; there are none for replies and log lines.
fn signals(to: &mut Vec<u8>, announcement: &Announcement, view: &View) {
    let mut signal = |path, interface: &Interface, member, body| plain::signal(to, path, interface.name, member, body);
    // Who hears of it is in the same root.
    let class = |name| Path::Class(root::bare(name));
    let instance = |of, name| Path::Instance(root::bare(of), name);
    match announcement {
        Announcement::EventEmitted(name, environment) => {
            let body = Body::TextAndList(root::bare(name), environment);
            signal(Path::Manager, &upstart::INTERFACE, "EventEmitted", body);
        }
        Announcement::JobAdded(name) => {
            signal(Path::Manager, &upstart::INTERFACE, "JobAdded", Body::Object(class(name)));
        }
        Announcement::JobRemoved(name) => {
            signal(Path::Manager, &upstart::INTERFACE, "JobRemoved", Body::Object(class(name)));
        }
        Announcement::InstanceAdded(of, name) => {
            signal(class(of), &job::INTERFACE, "InstanceAdded", Body::Object(instance(of, name)));
        }
        Announcement::InstanceRemoved(of, name) => {
            signal(class(of), &job::INTERFACE, "InstanceRemoved", Body::Object(instance(of, name)));
        }
        Announcement::GoalChanged(of, name, goal) => {
            signal(instance(of, name), &instance::INTERFACE, "GoalChanged", Body::Text(goal.name()));
        }
        Announcement::StateChanged(of, name, state) => {
            signal(instance(of, name), &instance::INTERFACE, "StateChanged", Body::Text(state.name()));
        }
        Announcement::Failed(of, name, status) => {
            signal(instance(of, name), &instance::INTERFACE, "Failed", Body::Number(*status));
        }
        Announcement::Restarted(generation) => {
            signal(Path::Manager, &upstart::INTERFACE, "Restarted", Body::Nothing);
            let body = (*generation, init1::recovery(view));
            if let Some(recovered) = wire::signal(path::INIT, init1::INTERFACE.name, "Recovered", &body) {
                to.extend_from_slice(&recovered);
            }
        }
        Announcement::Reply(..) | Announcement::Log(..) => {}
    }
}
