//! `initjournal why`: the chain of events and requests that has led to a job's present state, down to who asked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use machine::change::Change;
use machine::job::Goal;
use record::{Origin, Stamp, Turn};

use crate::listing;
use crate::moment::Clock;
use crate::names::{JobName, Names};
use crate::past::{Past, PastError, apply};
use crate::words;

/// Steps that are told from a job to the first cause.
const DEPTH: usize = 16;

/// A change of a job's goal, and what it was for.
#[derive(Debug)]
struct Turning {
    sequence: u64,
    stamp: Option<Stamp>,
    goal: Goal,
    /// Events that wait for it: those that it followed.
    events: Vec<u64>,
    /// What the turn was taken for.
    origin: String,
}

/// An event, and where it came from.
#[derive(Debug)]
struct Occurrence {
    sequence: u64,
    stamp: Option<Stamp>,
    text: String,
    /// The job that it tells of.
    teller: Option<JobName>,
    origin: String,
}

/// Everything that can be the answer to a why.
#[derive(Debug, Default)]
struct Causes {
    turnings: HashMap<JobName, Vec<Turning>>,
    /// The last failure of each.
    failures: HashMap<JobName, (u64, String)>,
    events: BTreeMap<u64, Occurrence>,
}

/// The tree of a job's instances, or of one instance.
///
/// # Errors
/// When the journal knows no such job, or a frame cannot be read.
pub fn why(past: &Past, job: &str, instance: Option<&str>, clock: &Clock) -> Result<String, PastError> {
    let mut names = Names::of(&past.base);
    let mut causes = Causes::default();
    let mut state = past.base.clone();
    for turn in past.turns() {
        let (sequence, turn) = turn?;
        names.learn(&turn);
        causes.learn(sequence, &turn, &names);
        apply(&mut state, &turn);
    }
    let mut wanted: Vec<JobName> = causes.turnings.keys().filter(|name| &*name.class == job).cloned().collect();
    let present = state.instances().filter(|found| &*found.class == job);
    wanted.extend(present.map(|found| JobName::new(&found.class, &found.name)));
    wanted.sort();
    wanted.dedup();
    wanted.retain(|name| instance.is_none_or(|instance| &*name.instance == instance));
    if wanted.is_empty() {
        return match state.class(job) {
            Some(_) => Ok(format!("{job} stop/waiting\n└─ nobody has started it as far as the journal goes back\n")),
            None => Err(PastError::NoJob(job.to_owned())),
        };
    }
    let mut text = String::new();
    for name in wanted {
        let line = match state.find(&name.class, &name.instance) {
            Some(found) => listing::line(found),
            None => format!("{} stop/waiting\n", name.title()),
        };
        text.push_str(&line);
        let mut teller = Teller { causes: &causes, clock, told: HashSet::new() };
        let failure = causes.failures.get(&name);
        let mut nodes: Vec<Node> = failure
            .map(|(sequence, failure)| Node::leaf(format!("failed: {failure} (frame {sequence})")))
            .into_iter()
            .collect();
        nodes.push(teller.job(&name, u64::MAX, 0));
        nodes.extend(teller.start_before(&name));
        write_below(&mut text, &nodes, "");
    }
    Ok(text)
}

/// A cause, and the causes of that.
struct Node {
    text: String,
    below: Vec<Node>,
}

impl Node {
    fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), below: Vec::new() }
    }
}

fn write_below(text: &mut String, nodes: &[Node], indent: &str) {
    for (number, node) in nodes.iter().enumerate() {
        let (mark, line) = if number + 1 == nodes.len() { ("└─", "   ") } else { ("├─", "│  ") };
        // A String takes everything.
        let _ = writeln!(text, "{indent}{mark} {}", node.text);
        write_below(text, &node.below, &format!("{indent}{line}"));
    }
}

impl Causes {
    fn learn(&mut self, sequence: u64, turn: &Turn, names: &Names) {
        let origin = words::origin(&turn.origin, names);
        for change in &turn.changes {
            match change {
                Change::GoalChanged { instance, goal } => {
                    let Some(name) = names.instance(*instance) else { continue };
                    let attached = turn.changes.iter().filter_map(|change| match change {
                        Change::EventAttached { instance: other, event } if other == instance => Some(*event),
                        _ => None,
                    });
                    let turning = Turning {
                        sequence,
                        stamp: turn.stamp,
                        goal: *goal,
                        events: attached.collect(),
                        origin: origin.clone(),
                    };
                    self.turnings.entry(name.clone()).or_default().push(turning);
                }
                Change::Failed { instance, failure } => {
                    if let Some(name) = names.instance(*instance) {
                        self.failures.insert(name.clone(), (sequence, words::failure(failure)));
                    }
                }
                Change::Begun { instance, .. } => {
                    if let Some(name) = names.instance(*instance) {
                        self.failures.remove(name);
                    }
                }
                Change::EventQueued { event, name, environment, .. } => {
                    let is_of_job = matches!(name.as_str(), "starting" | "started" | "stopping" | "stopped");
                    let value = |key: &str| {
                        environment.iter().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
                    };
                    let teller = is_of_job.then(|| JobName::new(value("JOB"), value("INSTANCE")));
                    let text = format!("event {name} {}", environment.join(" "));
                    let text = text.trim_end().to_owned();
                    let occurrence =
                        Occurrence { sequence, stamp: turn.stamp, text, teller, origin: self.source(turn, &origin) };
                    self.events.insert(*event, occurrence);
                }
                _ => {}
            }
        }
    }

    /// A turn that only goes on with what the turn before has left is no answer.
    fn source(&self, turn: &Turn, origin: &str) -> String {
        match turn.origin {
            Origin::Tick | Origin::Performed | Origin::Unknown => String::new(),
            _ => origin.to_owned(),
        }
    }
}

struct Teller<'a> {
    causes: &'a Causes,
    clock: &'a Clock,
    told: HashSet<u64>,
}

impl Teller<'_> {
    fn when(&self, sequence: u64, stamp: Option<Stamp>) -> String {
        match stamp {
            Some(stamp) => format!("{}, frame {sequence}", self.clock.full(stamp.wall_us)),
            None => format!("frame {sequence}"),
        }
    }

    /// The last change of a job's goal up to a frame.
    fn turning(&self, name: &JobName, until: u64) -> Option<&Turning> {
        self.causes.turnings.get(name)?.iter().rfind(|turning| turning.sequence <= until)
    }

    /// Why a job's goal is what it was up to a frame.
    fn job(&mut self, name: &JobName, until: u64, depth: usize) -> Node {
        let Some(last) = self.turning(name, until) else {
            return Node::leaf("so it was already where the journal begins");
        };
        let text = format!("goal {} ({})", last.goal.name(), self.when(last.sequence, last.stamp));
        let events: Vec<u64> =
            last.events.iter().copied().filter(|event| self.causes.events.contains_key(event)).collect();
        let below = if depth >= DEPTH {
            vec![Node::leaf("…")]
        } else if events.is_empty() {
            vec![Node::leaf(last.origin.as_str())]
        } else {
            events.into_iter().filter_map(|event| self.event(event, depth + 1)).collect()
        };
        Node { text, below }
    }

    /// What is at rest was started by something, too.
    fn start_before(&mut self, name: &JobName) -> Option<Node> {
        let turnings = self.causes.turnings.get(name)?;
        turnings.last().filter(|last| last.goal == Goal::Stop)?;
        let start = turnings.iter().rfind(|turning| turning.goal == Goal::Start)?;
        Some(Node { text: "before that".into(), below: vec![self.job(name, start.sequence, 1)] })
    }

    fn event(&mut self, number: u64, depth: usize) -> Option<Node> {
        let event = self.causes.events.get(&number)?;
        let text = format!("{} ({})", event.text, self.when(event.sequence, event.stamp));
        let below = if !self.told.insert(number) {
            vec![Node::leaf("told above")]
        } else if let Some(teller) = &event.teller {
            // What a goal was changed for in the same turn, the goal tells.
            let is_told = self.turning(teller, event.sequence).is_some_and(|last| last.sequence == event.sequence);
            let origin = (!is_told && !event.origin.is_empty()).then(|| Node::leaf(event.origin.as_str()));
            origin.into_iter().chain([self.job(teller, event.sequence, depth + 1)]).collect()
        } else if event.origin.is_empty() {
            vec![Node::leaf("init itself")]
        } else {
            vec![Node::leaf(event.origin.as_str())]
        };
        Some(Node { text, below })
    }
}
