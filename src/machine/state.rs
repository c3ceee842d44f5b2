//! All that init knows. It changes in one way only: [`State::apply`], live and in replay alike.
//!
//! Everything is kept in ordered maps, so that the same changes give the same bytes and the same digest. What can be
//! derived (the indexes) is not stored; see [`crate::index`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::condition::Progress;
use crate::effect::{Announcement, Caller, Priority};
use crate::environ::Table;
use crate::event::Event;
use crate::index::Index;
use crate::input::Settings;
use crate::job::{Instance, Process};

/// The state of an init.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The next number for an event, instance, ticket or signal request.
    pub(crate) next_id: u64,
    pub(crate) settings: Settings,
    pub(crate) has_booted: bool,
    pub(crate) generation: u64,
    /// The global table (`initctl set-env`).
    pub(crate) environment: Table,
    pub(crate) log_priority: Priority,
    pub(crate) classes: BTreeMap<String, ClassRecord>,
    // Boxed, because a node of such a map has room for eleven, and most of the time there is one.
    pub(crate) instances: BTreeMap<u64, Box<Instance>>,
    pub(crate) events: BTreeMap<u64, Box<Event>>,
    /// Connections with the last call that was taken from them.
    pub(crate) connections: BTreeMap<u64, Caller>,
    pub(crate) last_connection: u64,
    /// Announcements that may not be out yet.
    pub(crate) outbox: VecDeque<(u64, Arc<Announcement>)>,
    pub(crate) next_announcement: u64,
    /// Work that the next steps do, in order.
    pub(crate) agenda: VecDeque<Task>,
    /// A session that ends has a time by which it will have ended; milliseconds since boot.
    pub(crate) ending: Option<u64>,
    pub(crate) strays: BTreeMap<u64, Stray>,
    #[serde(skip)]
    pub(crate) index: Index,
}

/// In place of the time by which a session will have ended: it is past.
pub(crate) const SESSION_OVER_MS: u64 = u64::MAX;

/// A class and its instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRecord {
    /// What its file says (or said, when its instances were started).
    pub definition: Class,
    /// What happens to it when its last instance is gone.
    pub pending: Option<Pending>,
    /// How far its `start on` is fulfilled.
    pub start_on: Progress,
    /// Its instances by name.
    pub instances: BTreeMap<String, u64>,
}

/// See [`ClassRecord::pending`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pending {
    /// It becomes this.
    Replacement(Box<Class>),
    /// It goes.
    Removal,
}

/// A process of the keeper's that belongs to no instance, because the journal that knew it was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// Its pid.
    pub pid: i32,
    /// What the keeper's table says of it.
    pub label: String,
}

/// A piece of work on the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Show an event to the conditions.
    Handle(u64),
    /// End an event that nobody holds or waits in any longer.
    Finish(u64),
    /// Let an instance go on whose event has settled.
    Advance(u64),
}

impl Default for State {
    fn default() -> Self {
        Self {
            next_id: 1,
            settings: Settings::default(),
            has_booted: false,
            generation: 0,
            environment: Vec::new(),
            log_priority: Priority::Message,
            classes: BTreeMap::new(),
            instances: BTreeMap::new(),
            events: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
            outbox: VecDeque::new(),
            next_announcement: 1,
            agenda: VecDeque::new(),
            ending: None,
            strays: BTreeMap::new(),
            index: Index::default(),
        }
    }
}

impl State {
    /// Makes the indexes anew; to be called once after a state was read from a checkpoint.
    pub fn reindex(&mut self) {
        self.index = Index::of(&self.classes, &self.instances);
    }

    /// The classes, by name.
    pub fn classes(&self) -> impl Iterator<Item = (&str, &ClassRecord)> {
        self.classes.iter().map(|(name, record)| (name.as_str(), record))
    }

    /// One class.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&ClassRecord> {
        self.classes.get(name)
    }

    /// One instance, by its number.
    #[must_use]
    pub fn instance(&self, number: u64) -> Option<&Instance> {
        self.instances.get(&number).map(|found| &**found)
    }

    /// One instance, by class and name.
    #[must_use]
    pub fn find(&self, class: &str, name: &str) -> Option<&Instance> {
        self.instances.get(self.classes.get(class)?.instances.get(name)?).map(|found| &**found)
    }

    /// All instances.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().map(|instance| &**instance)
    }

    /// The instance and process of a ticket.
    #[must_use]
    pub fn process(&self, ticket: u64) -> Option<(u64, &Instance, &Process)> {
        let number = *self.index.tickets.get(&ticket)?;
        let instance = self.instances.get(&number)?;
        Some((number, instance, instance.processes.iter().find(|process| process.ticket == ticket)?))
    }

    /// Events that are not finished.
    pub fn events(&self) -> impl Iterator<Item = (u64, &Event)> {
        self.events.iter().map(|(number, event)| (*number, &**event))
    }

    /// Processes that no instance knows.
    pub fn strays(&self) -> impl Iterator<Item = (u64, &Stray)> {
        self.strays.iter().map(|(ticket, stray)| (*ticket, stray))
    }

    /// How often this init has come back, after re-execs and crashes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the first start is over.
    #[must_use]
    pub fn has_booted(&self) -> bool {
        self.has_booted
    }

    /// Log from this priority on.
    #[must_use]
    pub fn log_priority(&self) -> Priority {
        self.log_priority
    }

    /// What init was told when it was started.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The global environment table.
    #[must_use]
    pub fn environment(&self) -> &[Arc<str>] {
        &self.environment
    }

    /// Whether this call is the last one that was taken from its connection. A manager that died between taking a call
    /// and removing it from the socket leaves it there for the next one, which must not take it again.
    #[must_use]
    pub fn was_taken(&self, caller: &Caller) -> bool {
        self.connections.get(&caller.connection) == Some(caller)
    }

    /// The highest connection number that the state has seen; new ones must be above it.
    #[must_use]
    pub fn last_connection(&self) -> u64 {
        self.last_connection
    }

    /// When the machine next wants an [`crate::input::Input::Tick`], in milliseconds since boot; now (0) if its agenda is
    /// not empty.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if !self.agenda.is_empty() {
            return Some(0);
        }
        let instance = self.index.deadlines.first().map(|(deadline, _)| *deadline);
        match (instance, self.ending.filter(|at| *at != SESSION_OVER_MS)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Announcements that the manager has not reported as performed, with their numbers.
    pub fn outbox(&self) -> impl Iterator<Item = (u64, &Arc<Announcement>)> {
        self.outbox.iter().map(|(number, announcement)| (*number, announcement))
    }

    /// Whether there are announcements that the manager has not reported as performed.
    #[must_use]
    pub fn has_outbox(&self) -> bool {
        !self.outbox.is_empty()
    }
}
