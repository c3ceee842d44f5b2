//! After the faults have stopped, everything settles: no work is left, no message unread, no end unacknowledged, and every
//! instance is where it may stay.

use keeper::table::{State as SlotState, Table};
use machine::class::Expect;
use machine::job::{Goal, Instance, JobState, ProcessKind};
use machine::state::State;

use super::Checker;
use crate::seen::Seen;

/// See the module.
#[derive(Debug)]
pub(super) struct Settles;

impl Checker for Settles {
    fn promise(&self) -> &'static str {
        "after the faults everything settles"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Settled { has_work: Some(work), .. } => Err(format!("there is no end of it: {work}")),
            Seen::Settled { state, table, has_work: None, was_slow } => {
                // An answer that was read late is noted as told with the next announcement.
                if state.has_outbox() && !was_slow {
                    return Err("announcements wait, and nobody tells them".into());
                }
                judge(state, table)
            }
            _ => Ok(()),
        }
    }
}

fn judge(state: &State, table: &Table) -> Result<(), String> {
    let is_over = |slot: SlotState| !matches!(slot, SlotState::Starting | SlotState::Running);
    if let Some((_, slot)) = table.tickets().find(|(_, slot)| slot.state().is_none_or(is_over)) {
        return Err(format!("the end of ticket {} ({}) is not acknowledged", slot.ticket(), slot.text()));
    }
    for instance in state.instances() {
        if let Some(process) = instance.processes.iter().find(|process| process.pid == 0) {
            return Err(format!("{}: ticket {} was never answered", instance.title(), process.ticket));
        }
        if !may_stay(instance) || has_forked_unheard(state, table, instance) {
            let (goal, at) = (instance.goal.name(), instance.state.name());
            return Err(format!("{} is stuck in {goal}/{at}", instance.title()));
        }
    }
    Ok(())
}

fn may_stay(instance: &Instance) -> bool {
    let main = instance.process(ProcessKind::Main);
    match instance.state {
        JobState::Running => instance.goal == Goal::Start,
        // Half-fulfilled conditions hold events, and those who wait for them.
        JobState::Starting | JobState::Stopping => instance.blocked_by.is_some(),
        // It does not do what `expect` says.
        JobState::Spawned => main.is_some_and(|main| main.awaits > 0),
        _ => false,
    }
}

/// `expect` waits for a fork that the keeper has seen.
fn has_forked_unheard(state: &State, table: &Table, instance: &Instance) -> bool {
    let counts_forks = state
        .class(&instance.class)
        .is_some_and(|found| matches!(found.definition.expect, Expect::Fork | Expect::Daemon));
    let main = instance.process(ProcessKind::Main).filter(|_| instance.state == JobState::Spawned && counts_forks);
    let slot = main.and_then(|main| Some((main, table.by_ticket(main.ticket)?)));
    slot.is_some_and(|(main, (_, slot))| slot.forks_left() < main.awaits)
}
