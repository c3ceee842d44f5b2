//! What can be derived from the state, kept so that a turn's cost does not grow with the number of classes.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::class::Class;
use crate::condition::Condition;
use crate::job::Instance;
use crate::state::ClassRecord;

/// The indexes of a [`crate::state::State`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Event name to classes with it in their `start on`.
    pub(crate) start: BTreeMap<String, BTreeSet<String>>,
    /// Event name to instances with it in their `stop on`.
    pub(crate) stop: BTreeMap<String, BTreeSet<u64>>,
    /// (Deadline, instance), the next one first.
    pub(crate) deadlines: BTreeSet<(u64, u64)>,
    /// Ticket to instance.
    pub(crate) tickets: BTreeMap<u64, u64>,
}

impl Index {
    pub(crate) fn of(classes: &BTreeMap<String, ClassRecord>, instances: &BTreeMap<u64, Box<Instance>>) -> Self {
        let mut index = Self::default();
        for record in classes.values() {
            index.add_class(&record.definition);
        }
        for (number, instance) in instances {
            if let Some(record) = classes.get(&*instance.class) {
                index.add_instance(*number, &record.definition);
            }
            index.tickets.extend(instance.processes.iter().map(|process| (process.ticket, *number)));
            index.deadlines.extend(instance.deadline_ms.map(|deadline| (deadline, *number)));
        }
        index
    }

    pub(crate) fn add_class(&mut self, class: &Class) {
        for event in names(class.start_on.as_ref()) {
            self.start.entry(event.into()).or_default().insert(class.name.clone());
        }
    }

    pub(crate) fn remove_class(&mut self, class: &Class) {
        for event in names(class.start_on.as_ref()) {
            remove(&mut self.start, event, &class.name);
        }
    }

    pub(crate) fn add_instance(&mut self, number: u64, class: &Class) {
        for event in names(class.stop_on.as_ref()) {
            self.stop.entry(event.into()).or_default().insert(number);
        }
    }

    pub(crate) fn remove_instance(&mut self, number: u64, class: &Class) {
        for event in names(class.stop_on.as_ref()) {
            remove(&mut self.stop, event, &number);
        }
    }
}

fn names(condition: Option<&Condition>) -> impl Iterator<Item = &str> {
    condition.into_iter().flat_map(Condition::patterns).map(|(_, pattern)| pattern.event.as_str())
}

fn remove<T: Ord>(map: &mut BTreeMap<String, BTreeSet<T>>, event: &str, member: &T) {
    if let Some(members) = map.get_mut(event) {
        members.remove(member);
        if members.is_empty() {
            map.remove(event);
        }
    }
}
