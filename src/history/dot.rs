//! `initjournal dot`: who has started whom, as a graph for Graphviz (dot(1)).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use machine::change::Change;
use machine::condition::{Condition, Pattern};
use machine::state::State;
use record::Origin;

use crate::names::Names;
use crate::past::{Past, PastError};

/// An arrow: from, to, and what it says. Jobs and events are told apart by their first letter.
type Arrows = BTreeMap<(String, String, &'static str), u64>;

/// What has really started and stopped what, with how often.
///
/// # Errors
/// When a frame cannot be read.
pub fn of_past(past: &Past) -> Result<String, PastError> {
    let mut names = Names::of(&past.base);
    let mut arrows = Arrows::new();
    // What an event comes from: a job whose state it tells, or a person.
    let mut sources: BTreeMap<u64, String> = BTreeMap::new();
    for turn in past.turns() {
        let (_, turn) = turn?;
        names.learn(&turn);
        let asker = match &turn.origin {
            Origin::Call { who: Some(who), .. } => Some(format!("p{} (user {})", who.program, who.uid)),
            Origin::Call { .. } => Some("psomebody on the bus".into()),
            _ => None,
        };
        for change in &turn.changes {
            if let Change::EventQueued { event, name, environment, .. } = change {
                let job = environment.iter().find_map(|entry| entry.strip_prefix("JOB="));
                let is_of_job = matches!(name.as_str(), "starting" | "started" | "stopping" | "stopped");
                match job.filter(|_| is_of_job) {
                    Some(job) => drop(sources.insert(*event, format!("j{job}"))),
                    None => {
                        sources.insert(*event, format!("e{name}"));
                        if let Some(asker) = &asker {
                            *arrows.entry((asker.clone(), format!("e{name}"), "emits")).or_default() += 1;
                        }
                    }
                }
            }
        }
        for change in &turn.changes {
            let Change::GoalChanged { instance, goal } = change else { continue };
            let Some(name) = names.instance(*instance) else { continue };
            let verb = if *goal == machine::job::Goal::Stop { "stops" } else { "starts" };
            let job = format!("j{}", name.class);
            let mut is_by_event = false;
            for change in &turn.changes {
                if let Change::EventAttached { instance: other, event } = change
                    && other == instance
                    && let Some(source) = sources.get(event)
                {
                    is_by_event = true;
                    *arrows.entry((source.clone(), job.clone(), verb)).or_default() += 1;
                }
            }
            if let (false, Some(asker)) = (is_by_event, &asker) {
                *arrows.entry((asker.clone(), job.clone(), verb)).or_default() += 1;
            }
        }
    }
    Ok(write(&arrows, true))
}

/// What the job files of a state say may start and stop what.
#[must_use]
pub fn of_job_files(state: &State) -> String {
    let mut arrows = Arrows::new();
    for (name, record) in state.classes() {
        let definition = &record.definition;
        for (condition, verb) in [(&definition.start_on, "starts"), (&definition.stop_on, "stops")] {
            for (event, job) in condition.iter().flat_map(events_of) {
                let source = job.map_or_else(|| format!("e{event}"), |job| format!("j{job}"));
                *arrows.entry((source, format!("j{name}"), verb)).or_default() += 1;
            }
        }
        for event in &definition.emits {
            *arrows.entry((format!("j{name}"), format!("e{event}"), "emits")).or_default() += 1;
        }
    }
    write(&arrows, false)
}

/// The events of a condition; of those that tell of a job, that job too.
fn events_of(condition: &Condition) -> Vec<(String, Option<String>)> {
    let of = |pattern: &Pattern| {
        let is_of_job = matches!(pattern.event.as_str(), "starting" | "started" | "stopping" | "stopped");
        let mut jobs = pattern.matches.iter().enumerate().filter(|(_, found)| !found.negated);
        let job = jobs.find(|(at, found)| found.key.as_deref().map_or(*at == 0, |key| key == "JOB"));
        (pattern.event.clone(), job.filter(|_| is_of_job).map(|(_, found)| found.value.clone()))
    };
    condition.patterns().map(|(_, pattern)| of(pattern)).collect()
}

fn write(arrows: &Arrows, counted: bool) -> String {
    let mut text = String::from(
        "digraph init {\n  rankdir=LR; bgcolor=white; nodesep=0.2; ranksep=0.7;\n  node [fontname=\"Helvetica\" fontsize=11 \
         style=filled penwidth=0];\n  edge [fontname=\"Helvetica\" fontsize=9 arrowsize=0.7];\n",
    );
    let mut nodes: Vec<&String> = arrows.keys().flat_map(|(from, to, _)| [from, to]).collect();
    nodes.sort();
    nodes.dedup();
    for node in nodes {
        let (shape, colour) = match node.as_bytes()[0] {
            b'j' => ("box", "#cfe8da"),
            b'e' => ("ellipse", "#dbe4f0"),
            _ => ("note", "#fbe7bf"),
        };
        // A String takes everything.
        let _ = writeln!(text, "  {} [label={} shape={shape} fillcolor=\"{colour}\"];", quote(node), quote(&node[1..]));
    }
    for ((from, to, verb), count) in arrows {
        let style = match *verb {
            "stops" => "color=\"#d1495b\" style=dashed",
            "emits" => "color=\"#3d5a80\"",
            _ => "color=\"#3f9c6b\"",
        };
        let label = if counted && *count > 1 { format!("{verb} ×{count}") } else { (*verb).to_owned() };
        let _ = writeln!(text, "  {} -> {} [label=\"{label}\" {style}];", quote(from), quote(to));
    }
    text.push_str("}\n");
    text
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\0'], " "))
}
