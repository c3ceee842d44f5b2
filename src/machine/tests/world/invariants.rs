//! What must be true of every state between two turns.

use std::collections::{BTreeMap, BTreeSet};

use machine::job::{Goal, Instance, JobState, ProcessKind};
use machine::state::State;

/// Panics where a state contradicts itself.
pub(crate) fn check(state: &State) {
    let is_idle = state.next_deadline_ms() != Some(0);
    let mut blockers: BTreeMap<u64, u32> = BTreeMap::new();
    let held = state.classes().flat_map(|(_, record)| record.start_on.events());
    let stops = state.instances().flat_map(|instance| instance.stop_on.events());
    let blocks = state.instances().flat_map(|instance| instance.blocks.iter().copied());
    for event in held.chain(stops).chain(blocks) {
        *blockers.entry(event).or_default() += 1;
    }
    for (number, event) in state.events() {
        let counted = blockers.remove(&number).unwrap_or_default();
        assert_eq!(event.blockers, counted, "blockers of event {number}: {event:?}");
        assert!(counted > 0 || !is_idle, "event {number} is over, but not finished: {event:?}");
    }
    assert!(blockers.is_empty(), "events that are gone are waited in: {blockers:?}");
    let mut tickets = BTreeSet::new();
    for instance in state.instances() {
        let event = instance.blocked_by.map(|number| state.events().find(|(other, _)| *other == number));
        assert_ne!(event, Some(None), "{} waits for an event that is gone", instance.title());
        if is_idle {
            assert!(waits_for_something(instance), "nothing will ever move {instance:?}");
        }
        for process in &instance.processes {
            assert!(tickets.insert(process.ticket), "ticket {} is there twice", process.ticket);
        }
    }
}

/// Whether there is something that will move the instance, or need not.
fn waits_for_something(instance: &Instance) -> bool {
    match instance.state {
        JobState::Waiting => false,
        JobState::Running => instance.goal == Goal::Start,
        JobState::Starting | JobState::Stopping => instance.blocked_by.is_some(),
        JobState::Spawned => instance.process(ProcessKind::Main).is_some_and(|main| main.awaits > 0),
        state => state.spawns().or(state.awaits_end_of()).is_some_and(|kind| instance.process(kind).is_some()),
    }
}
