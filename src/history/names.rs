//! Who is meant by the numbers in changes: instances, tickets and events have names that were told earlier. What a single
//! change says of that, [`Telling`] says.

use std::collections::HashMap;
use std::sync::Arc;

use machine::change::Change;
use machine::job::ProcessKind;
use machine::state::State;
use record::{Origin, Turn};

use crate::telling::{About, Telling, Told};

/// A job's instance by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobName {
    /// Name of the class.
    pub class: Arc<str>,
    /// Name of the instance; empty where there is only one.
    pub instance: Arc<str>,
}

impl JobName {
    /// From two names.
    #[must_use]
    pub fn new(class: &str, instance: &str) -> Self {
        Self { class: class.into(), instance: instance.into() }
    }

    /// `job`, or `job (instance)`.
    #[must_use]
    pub fn title(&self) -> String {
        if self.instance.is_empty() { self.class.to_string() } else { format!("{} ({})", self.class, self.instance) }
    }

    /// Whether `pattern` means this one: a class, an instance as `class/instance` or `class (instance)`.
    #[must_use]
    pub fn is(&self, pattern: &str) -> bool {
        pattern == &*self.class
            || pattern == self.title()
            || pattern.strip_prefix(&*self.class).and_then(|rest| rest.strip_prefix('/')) == Some(&self.instance)
    }
}

/// What is known at some point of a journal.
#[derive(Clone, Debug, Default)]
pub struct Names {
    instances: HashMap<u64, JobName>,
    tickets: HashMap<u64, (u64, ProcessKind)>,
    events: HashMap<u64, Arc<str>>,
    /// Of the turn before: what went is still asked for until the turn is over.
    gone_instances: Vec<u64>,
    gone_tickets: Vec<u64>,
    gone_events: Vec<u64>,
}

impl Names {
    /// As a checkpoint knows them.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let mut names = Self::default();
        for (_, record) in state.classes() {
            for (name, number) in &record.instances {
                names.instances.insert(*number, JobName::new(&record.definition.name, name));
                for process in state.instance(*number).into_iter().flat_map(|instance| &instance.processes) {
                    names.tickets.insert(process.ticket, (*number, process.kind));
                }
            }
        }
        names.events = state.events().map(|(number, event)| (number, event.name.as_str().into())).collect();
        names
    }

    /// Takes up what a turn tells, and lets go what the turn before has ended.
    pub fn learn(&mut self, turn: &Turn) {
        self.learn_from(&turn.changes);
    }

    /// What the turn before has ended.
    fn forget(&mut self) {
        for gone in self.gone_instances.drain(..) {
            self.instances.remove(&gone);
        }
        for gone in self.gone_tickets.drain(..) {
            self.tickets.remove(&gone);
        }
        for gone in self.gone_events.drain(..) {
            self.events.remove(&gone);
        }
    }

    /// As [`Names::learn`], of the changes of a turn.
    pub fn learn_from<C: Telling>(&mut self, changes: &[C]) {
        self.forget();
        changes.iter().for_each(|change| self.take_up(change));
    }

    fn take_up(&mut self, change: &impl Telling) {
        match change.told() {
            Told::Created(instance, class, name) => {
                self.instances.insert(instance, JobName::new(class, name));
            }
            Told::Destroyed(instance) => self.gone_instances.push(instance),
            Told::Requested(ticket, instance, kind) => {
                self.tickets.insert(ticket, (instance, kind));
            }
            Told::Ended(ticket) => self.gone_tickets.push(ticket),
            Told::Queued(event, name) => {
                self.events.insert(event, name.into());
            }
            Told::Finished(event) => self.gone_events.push(event),
            Told::Nothing => {}
        }
    }

    /// The instance of this number.
    #[must_use]
    pub fn instance(&self, number: u64) -> Option<&JobName> {
        self.instances.get(&number)
    }

    /// The process of a ticket: number of its instance, and its kind.
    #[must_use]
    pub fn ticket(&self, ticket: u64) -> Option<(u64, ProcessKind)> {
        self.tickets.get(&ticket).copied()
    }

    /// The name of an event.
    #[must_use]
    pub fn event(&self, number: u64) -> Option<&str> {
        self.events.get(&number).map(|name| &**name)
    }

    /// The instance whose process the ticket is.
    #[must_use]
    pub fn job_of_ticket(&self, ticket: u64) -> Option<&JobName> {
        self.ticket(ticket).and_then(|(number, _)| self.instance(number))
    }

    /// Number of the instance that a change is about.
    #[must_use]
    pub fn subject(&self, change: &impl Telling) -> Option<u64> {
        match change.about() {
            About::Instance(instance) => Some(instance),
            About::Ticket(ticket) => self.ticket(ticket).map(|(instance, _)| instance),
            About::Class(_) | About::Named(..) | About::Nothing => None,
        }
    }

    /// The job that a change is about: an instance of it, or the job as such (then the instance is none).
    #[must_use]
    pub fn job<'a>(&'a self, change: &'a Change) -> Option<(&'a str, Option<&'a str>)> {
        match change.about() {
            About::Class(class) => Some((class, None)),
            About::Named(class, instance) => Some((class, Some(instance))),
            About::Instance(_) | About::Ticket(_) => {
                let name = self.subject(change).and_then(|number| self.instance(number))?;
                Some((&name.class, Some(&name.instance)))
            }
            About::Nothing => None,
        }
    }

    /// The event that a change is about.
    #[must_use]
    pub fn event_of<'a>(&'a self, change: &'a Change) -> Option<&'a str> {
        match change {
            Change::EventQueued { name, .. } => Some(name),
            Change::EventHandled { event }
            | Change::EventFailed { event }
            | Change::EventFinished { event }
            | Change::StartMatched { event, .. }
            | Change::StopMatched { event, .. }
            | Change::Blocked { event, .. }
            | Change::EventAttached { event, .. } => self.event(*event),
            Change::Announced(announcement) => match announcement.as_ref() {
                machine::effect::Announcement::EventEmitted(name, _) => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// The job that a turn was taken for, where it was for one.
    #[must_use]
    pub fn job_of_origin(&self, origin: &Origin) -> Option<&JobName> {
        origin.ticket().and_then(|ticket| self.job_of_ticket(ticket))
    }
}
