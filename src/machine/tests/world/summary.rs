//! What must be the same in the end, whoever crashed on the way: everything but numbers, log lines and restarts.

use std::collections::BTreeMap;

use machine::condition::Progress;
use machine::effect::Announcement;
use machine::state::State;

use super::World;
use super::print::{caller_name, telling, title};

/// The world at its end, in lines that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub instances: Vec<String>,
    pub classes: Vec<String>,
    pub events: Vec<String>,
    pub others: Vec<String>,
    /// What the keeper did and has left.
    pub keeper: Vec<String>,
    /// What was told, each thing once.
    pub told: Vec<String>,
    /// What each caller was answered.
    pub answers: BTreeMap<String, Vec<String>>,
}

impl Summary {
    pub(crate) fn of(world: &World) -> Self {
        let state = &world.state;
        let mut keeper = world.keeper.deeds.clone();
        keeper.extend(world.keeper.left());
        keeper.sort();
        let mut told: Vec<String> = Vec::new();
        let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for announcement in world.told.values() {
            match announcement.as_ref() {
                Announcement::Log(..) | Announcement::Restarted(_) => {}
                Announcement::Reply(caller, answer) => {
                    let name = format!("{} {}", caller.connection, caller_name(caller));
                    answers.entry(name).or_default().push(format!("{answer:?}"));
                }
                other => told.extend(telling(other)),
            }
        }
        told.sort();
        Self {
            instances: instances(state),
            classes: classes(state),
            events: events(state),
            others: vec![
                format!("{:?}", state.settings()),
                format!("{:?}", state.environment()),
                format!("{:?}", state.log_priority()),
                format!("{:?}", state.strays().collect::<Vec<_>>()),
                format!("ended: {}, held: {:?}", world.has_ended, world.files_held),
            ],
            keeper,
            told,
            answers,
        }
    }
}

fn event_name(state: &State, number: u64) -> String {
    state.events().find(|(other, _)| *other == number).map_or_else(|| "gone".into(), |(_, event)| event.name.clone())
}

fn held(state: &State, progress: &Progress) -> Vec<Option<String>> {
    progress.held.iter().map(|held| held.map(|event| event_name(state, event))).collect()
}

fn instances(state: &State) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for found in state.instances() {
        let mut found = found.clone();
        let stop_on = held(state, &found.stop_on);
        let blocks: Vec<String> = found.blocks.iter().map(|event| event_name(state, *event)).collect();
        let blocked_by = found.blocked_by.map(|event| event_name(state, event));
        found.stop_on = Progress::default();
        found.blocks.clear();
        found.blocked_by = None;
        for process in &mut found.processes {
            (process.ticket, process.pid, process.start_time_ticks) = (0, process.pid.min(1), 0);
            process.signals.iter_mut().for_each(|signal| signal.request = 0);
        }
        lines.push(format!("{found:?} stop on {stop_on:?} blocks {blocks:?} blocked by {blocked_by:?}"));
    }
    lines.sort();
    lines
}

fn classes(state: &State) -> Vec<String> {
    state
        .classes()
        .map(|(name, record)| {
            let instances: Vec<&String> = record.instances.keys().collect();
            let start_on = held(state, &record.start_on);
            format!("{name} {instances:?} {start_on:?} {:?} {:?}", record.pending, record.definition)
        })
        .collect()
}

fn events(state: &State) -> Vec<String> {
    let owner = |number| state.instance(number).map(|instance| title(&instance.class, &instance.name));
    let mut lines: Vec<String> = state
        .events()
        .map(|(_, event)| {
            let mut event = event.clone();
            let releases = event.releases.take().and_then(owner);
            format!("{event:?} for {releases:?}")
        })
        .collect();
    lines.sort();
    lines
}
