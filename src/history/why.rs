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
        let mut teller = Teller { causes: &causes, clock, text: &mut text, told: HashSet::new() };
        if let Some((sequence, failure)) = causes.failures.get(&name) {
            let _ = writeln!(teller.text, "├─ failed: {failure} (frame {sequence})");
        }
        teller.tell_job(&name, u64::MAX, "");
        teller.tell_start_before(&name);
    }
    Ok(text)
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
    text: &'a mut String,
    told: HashSet<u64>,
}

impl Teller<'_> {
    fn when(&self, sequence: u64, stamp: Option<Stamp>) -> String {
        match stamp {
            Some(stamp) => format!("{}, frame {sequence}", self.clock.full(stamp.wall_us)),
            None => format!("frame {sequence}"),
        }
    }

    fn put(&mut self, indent: &str, text: &str) {
        // A String takes everything.
        let _ = writeln!(self.text, "{indent}└─ {text}");
    }

    /// Why a job's goal is what it was up to a frame.
    fn tell_job(&mut self, name: &JobName, until: u64, indent: &str) {
        let turnings = self.causes.turnings.get(name).map_or(&[][..], Vec::as_slice);
        let Some(last) = turnings.iter().rfind(|turning| turning.sequence <= until) else {
            self.put(indent, "so it was already where the journal begins");
            return;
        };
        let when = self.when(last.sequence, last.stamp);
        self.put(indent, &format!("goal {} ({when})", last.goal.name()));
        let deeper = format!("{indent}   ");
        if deeper.len() > DEPTH * 3 {
            self.put(&deeper, "…");
            return;
        }
        let events: Vec<u64> =
            last.events.iter().copied().filter(|event| self.causes.events.contains_key(event)).collect();
        if events.is_empty() {
            self.put(&deeper, &last.origin);
        }
        for event in events {
            self.tell_event(event, &deeper);
        }
    }

    /// What is at rest was started by something, too.
    fn tell_start_before(&mut self, name: &JobName) {
        let turnings = self.causes.turnings.get(name).map_or(&[][..], Vec::as_slice);
        let is_stopped = turnings.last().is_some_and(|last| last.goal == Goal::Stop);
        if let Some(start) = turnings.iter().rfind(|turning| turning.goal == Goal::Start).filter(|_| is_stopped) {
            self.put("", "before that");
            self.tell_job(name, start.sequence, "   ");
        }
    }

    fn tell_event(&mut self, number: u64, indent: &str) {
        let Some(event) = self.causes.events.get(&number) else { return };
        let when = self.when(event.sequence, event.stamp);
        self.put(indent, &format!("{} ({when})", event.text));
        let deeper = format!("{indent}   ");
        if !self.told.insert(number) {
            self.put(&deeper, "told above");
        } else if let Some(teller) = &event.teller {
            if !event.origin.is_empty() {
                self.put(&deeper, &event.origin);
            }
            self.tell_job(teller, event.sequence, &deeper);
        } else if event.origin.is_empty() {
            self.put(&deeper, "init itself");
        } else {
            self.put(&deeper, &event.origin);
        }
    }
}
