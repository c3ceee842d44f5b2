//! Pictures of a journal: a bar for each instance, time to the right.
//!
//! [`Chart`] is what is drawn; `svg` draws it for print, `html` for a screen, with zoom and grouping. Both are files that
//! need no others.

mod html;
mod svg;

pub use html::html;
pub use svg::svg;

use std::collections::BTreeMap;

use machine::change::Change;
use machine::job::{Goal, JobState};
use record::{Origin, Turn};
use serde::Serialize;

use crate::names::{JobName, Names};
use crate::past::{Past, PastError};
use crate::select::Selection;
use crate::words;

/// What the colour of a piece of a bar tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// On its way up.
    Up,
    /// Running, or done with what it was started for but not with being there.
    Running,
    /// On its way down.
    Down,
}

/// A piece of a bar. Times are microseconds since boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// From here
    pub from: u64,
    /// to here.
    pub to: u64,
    /// What it is in.
    pub phase: Phase,
    /// Goal and state as in status lines.
    pub state: String,
}

/// Something at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When, in microseconds since boot.
    pub at: u64,
    /// In words.
    pub text: String,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Name of the job.
    pub job: String,
    /// Name of the instance.
    pub instance: String,
    /// Its life.
    pub pieces: Vec<Piece>,
    /// Failures and bad ends.
    pub failures: Vec<Mark>,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// The first moment, in microseconds since boot.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// What to add to get microseconds since 1970.
    pub wall_offset: i64,
    /// Instances by job, in the order in which jobs appear.
    pub bars: Vec<Bar>,
    /// Events that no job's state has emitted: what came from outside.
    pub events: Vec<Mark>,
    /// Moments at which the init came back.
    pub recoveries: Vec<Mark>,
}

/// Draws a picture of the journal's turns within the selection.
///
/// # Errors
/// When a frame cannot be read, or the frames do not say when they were written.
pub fn chart(past: &Past, selection: &Selection) -> Result<Chart, PastError> {
    let mut names = Names::of(&past.base);
    let mut draft = Draft::default();
    for instance in past.base.instances() {
        let name = JobName::new(&instance.class, &instance.name);
        draft.goals.insert(name.clone(), instance.goal);
        draft.enter(&name, 0, instance.state);
    }
    for turn in past.turns() {
        let (sequence, turn) = turn?;
        names.learn(&turn);
        let stamp = turn.stamp.ok_or(PastError::NoTimes)?;
        // A life that began before is drawn from the first moment on.
        draft.take(&turn, stamp.boot_us, &names);
        if selection.is_within(sequence, &turn) {
            draft.from.get_or_insert(stamp.boot_us);
            draft.to = stamp.boot_us;
            draft.wall_offset = stamp.wall_us.cast_signed() - stamp.boot_us.cast_signed();
        }
    }
    Ok(draft.finish(selection))
}

#[derive(Default)]
struct Draft {
    from: Option<u64>,
    to: u64,
    wall_offset: i64,
    order: Vec<JobName>,
    pieces: BTreeMap<JobName, Vec<Piece>>,
    open: BTreeMap<JobName, (u64, JobState)>,
    goals: BTreeMap<JobName, Goal>,
    failures: BTreeMap<JobName, Vec<Mark>>,
    events: Vec<Mark>,
    recoveries: Vec<Mark>,
}

impl Draft {
    fn take(&mut self, turn: &Turn, at: u64, names: &Names) {
        if let Origin::RollCall { is_restart: true, reason } = &turn.origin {
            self.recoveries.push(Mark { at, text: format!("init is back after {reason}") });
        }
        if let (Origin::Exited { cause, .. }, Some(name)) = (&turn.origin, names.job_of_origin(&turn.origin))
            && *cause != machine::job::Cause::Status(0)
            && turn.changes.iter().any(|change| matches!(change, Change::Respawned { .. }))
        {
            let text = format!("{} and is respawned", words::cause(*cause));
            self.failures.entry(name.clone()).or_default().push(Mark { at, text });
        }
        for change in &turn.changes {
            let name = names.subject(change).and_then(|number| names.instance(number));
            match (change, name) {
                (Change::GoalChanged { goal, .. }, Some(name)) => {
                    self.goals.insert(name.clone(), *goal);
                }
                (Change::StateChanged { state, .. }, Some(name)) => self.enter(name, at, *state),
                (Change::InstanceDestroyed { .. }, Some(name)) => self.enter(name, at, JobState::Waiting),
                (Change::Failed { failure, .. }, Some(name)) => {
                    let text = words::failure(failure);
                    self.failures.entry(name.clone()).or_default().push(Mark { at, text });
                }
                (Change::EventQueued { name, environment, .. }, _) => {
                    let is_of_job = matches!(name.as_str(), "starting" | "started" | "stopping" | "stopped");
                    if !is_of_job {
                        let text = format!("{name} {}", environment.join(" "));
                        self.events.push(Mark { at, text: text.trim_end().to_owned() });
                    }
                }
                _ => {}
            }
        }
    }

    fn enter(&mut self, name: &JobName, at: u64, state: JobState) {
        if !self.order.contains(name) {
            self.order.push(name.clone());
        }
        if let Some((from, state)) = self.open.remove(name) {
            self.close(name, from, at, state);
        }
        if state != JobState::Waiting {
            self.open.insert(name.clone(), (at, state));
        }
    }

    fn close(&mut self, name: &JobName, from: u64, to: u64, state: JobState) {
        let goal = self.goals.get(name).copied().unwrap_or(Goal::Start);
        let phase = match state {
            JobState::Running => Phase::Running,
            JobState::PreStopping
            | JobState::PreStop
            | JobState::Stopping
            | JobState::Killed
            | JobState::PostStopping
            | JobState::PostStop
            | JobState::Waiting => Phase::Down,
            _ => Phase::Up,
        };
        let pieces = self.pieces.entry(name.clone()).or_default();
        let state = format!("{}/{}", goal.name(), state.name());
        match pieces.last_mut() {
            // Steps that take no time at all would only hide each other.
            Some(last) if last.phase == phase && last.to == from && to == from => last.to = to,
            _ => pieces.push(Piece { from, to, phase, state }),
        }
    }

    fn finish(mut self, selection: &Selection) -> Chart {
        let from = self.from.unwrap_or(self.to);
        let to = self.to.max(from + 1);
        for (name, (begin, state)) in std::mem::take(&mut self.open) {
            self.close(&name, begin, to, state);
        }
        let is_within = |mark: &Mark| (from..=to).contains(&mark.at);
        let mut bars: Vec<Bar> = Vec::new();
        let mut classes: Vec<String> = Vec::new();
        for name in &self.order {
            if !selection.jobs.is_empty() && !selection.jobs.iter().any(|pattern| name.is(pattern)) {
                continue;
            }
            let mut pieces = self.pieces.remove(name).unwrap_or_default();
            pieces.retain(|piece| piece.to >= from && piece.from <= to);
            for piece in &mut pieces {
                (piece.from, piece.to) = (piece.from.max(from), piece.to.min(to));
            }
            let mut failures = self.failures.remove(name).unwrap_or_default();
            failures.retain(is_within);
            if pieces.is_empty() && failures.is_empty() {
                continue;
            }
            if !classes.iter().any(|class| **class == *name.class) {
                classes.push(name.class.to_string());
            }
            bars.push(Bar { job: name.class.to_string(), instance: name.instance.to_string(), pieces, failures });
        }
        bars.sort_by_key(|bar| classes.iter().position(|class| *class == bar.job));
        self.events.retain(is_within);
        self.recoveries.retain(is_within);
        let (events, recoveries) = (self.events, self.recoveries);
        Chart { from, to, wall_offset: self.wall_offset, bars, events, recoveries }
    }
}

/// A distance between marks of the axis, in microseconds, such that about `count` of them are in `span`.
fn tick_step(span: u64, count: u64) -> u64 {
    const NICE: [u64; 9] = [1, 2, 5, 10, 15, 30, 60, 120, 300];
    let wanted = (span / count.max(1)).max(1);
    let mut unit = 1;
    while unit < 1_000_000 {
        for step in [1, 2, 5] {
            if unit * step >= wanted {
                return unit * step;
            }
        }
        unit *= 10;
    }
    let seconds = wanted.div_ceil(1_000_000);
    let longer = [600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
    let found = NICE.into_iter().chain(longer).find(|step| *step >= seconds);
    found.unwrap_or_else(|| seconds.next_multiple_of(86_400)) * 1_000_000
}
