//! A state as `initctl list` would have shown it.

use std::fmt::Write as _;

use control::remote::InstanceState;
use control::status::describe;
use machine::job::{Instance, ProcessKind};
use machine::state::State;

/// The lines for all jobs.
#[must_use]
pub fn list(state: &State) -> String {
    let mut text = String::new();
    for (name, record) in state.classes() {
        let instances: Vec<_> = record.instances.values().filter_map(|number| state.instance(*number)).collect();
        if instances.is_empty() {
            text.push_str(&describe(name, None));
        }
        for instance in instances {
            text.push_str(&line(instance));
        }
    }
    text
}

/// The line of one instance.
#[must_use]
pub fn line(instance: &Instance) -> String {
    let processes = ProcessKind::ALL
        .iter()
        .filter_map(|kind| instance.process(*kind))
        .filter(|process| process.pid > 0)
        .map(|process| (process.kind.name().to_owned(), process.pid))
        .collect();
    let shown = InstanceState {
        name: instance.name.as_ref().into(),
        goal: instance.goal.name().to_owned(),
        state: instance.state.name().to_owned(),
        processes,
    };
    describe(&instance.class, Some(&shown))
}

/// Everything about a state that people compare, a line each, in order.
#[must_use]
pub fn facts(state: &State) -> Vec<String> {
    let mut facts: Vec<String> = Vec::new();
    for line in list(state).lines() {
        match (line.strip_prefix('\t'), facts.last_mut()) {
            // Further processes belong to the line before.
            (Some(more), Some(last)) => drop(write!(last, ", {more}")),
            _ => facts.push(format!("job {line}")),
        }
    }
    facts.extend(state.environment().iter().map(|entry| format!("environment {entry}")));
    facts.extend(state.events().map(|(number, event)| {
        let failed = if event.failed { ", failed" } else { "" };
        format!("event {} ({number}) under way{failed}", event.name)
    }));
    facts.extend(state.strays().map(|(ticket, stray)| format!("stray process {} (ticket {ticket})", stray.pid)));
    facts.push(format!("log priority {}", state.log_priority().name()));
    facts.push(format!("restart generation {}", state.generation()));
    facts
}
