//! `initctl boot`: when each job of this boot began to start, ran and was done, from the journal.
//!
//! It tells the first life of each instance; what came later is the business of `initctl history`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use machine::change::Change;
use machine::job::JobState;
use serde::Serialize;

use crate::names::{JobName, Names};
use crate::past::{Past, PastError};

/// The first life of an instance. Times are microseconds since the first turn of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Life {
    /// Name of the job.
    pub job: String,
    /// Name of the instance; empty where there is only one.
    pub instance: String,
    /// When it began to start.
    pub began_us: u64,
    /// When it ran; none if it did not come so far.
    pub running_us: Option<u64>,
    /// When it was at rest again; none if it is not.
    pub stopped_us: Option<u64>,
    /// Whether it, or one of its processes, failed in this life.
    pub failed: bool,
}

/// A boot as far as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// When the first turn of the journal was taken, in microseconds since the kernel's start (CLOCK_BOOTTIME).
    pub from_us: u64,
    /// Whether the journal has forgotten the beginning: jobs that began before are not in here.
    pub is_cut: bool,
    /// In the order in which they began.
    pub lives: Vec<Life>,
}

/// Reads the first lives of all instances from a journal.
///
/// # Errors
/// When a frame cannot be read, or the frames do not say when they were written.
pub fn boot(past: &Past) -> Result<Boot, PastError> {
    let mut names = Names::of(&past.base);
    let mut boot = Boot { from_us: 0, is_cut: past.base_sequence > 0, lives: Vec::new() };
    let mut first = None;
    // Those that were there before the journal begins have no beginning to tell.
    let mut known: BTreeMap<JobName, Option<usize>> =
        past.base.instances().map(|instance| (JobName::new(&instance.class, &instance.name), None)).collect();
    for turn in past.turns() {
        let (_, turn) = turn?;
        names.learn(&turn);
        let at_us = turn.stamp.ok_or(PastError::NoTimes)?.boot_us;
        boot.from_us = *first.get_or_insert(at_us);
        for change in &turn.changes {
            let Some(name) = names.subject(change).and_then(|number| names.instance(number)) else { continue };
            boot.take(change, name, at_us.saturating_sub(boot.from_us), &mut known);
        }
    }
    Ok(boot)
}

impl Boot {
    fn take(&mut self, change: &Change, name: &JobName, at_us: u64, known: &mut BTreeMap<JobName, Option<usize>>) {
        if let Change::StateChanged { state: JobState::Starting, .. } = change
            && !known.contains_key(name)
        {
            known.insert(name.clone(), Some(self.lives.len()));
            self.lives.push(Life {
                job: name.class.to_string(),
                instance: name.instance.to_string(),
                began_us: at_us,
                running_us: None,
                stopped_us: None,
                failed: false,
            });
        }
        let life = known.get(name).copied().flatten().and_then(|index| self.lives.get_mut(index));
        let Some(life) = life.filter(|life| life.stopped_us.is_none()) else { return };
        match change {
            Change::StateChanged { state: JobState::Running, .. } => {
                life.running_us.get_or_insert(at_us);
            }
            Change::StateChanged { state: JobState::Waiting, .. } | Change::InstanceDestroyed { .. } => {
                life.stopped_us = Some(at_us);
            }
            Change::Failed { .. } => life.failed = true,
            _ => {}
        }
    }

    /// A table for people, times in seconds.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        let _ = writeln!(text, "Seconds since init began, {} s after the kernel:", seconds(self.from_us));
        if self.is_cut {
            text.push_str("(the journal has forgotten the beginning; initctl history may know it)\n");
        }
        let _ = writeln!(text, "{:>10} {:>10} {:>10}  JOB", "STARTING", "RUNNING", "STOPPED");
        for life in &self.lives {
            let [running, stopped] =
                [life.running_us, life.stopped_us].map(|time| time.map_or_else(|| "-".to_owned(), seconds));
            let title = JobName::new(&life.job, &life.instance).title();
            let failed = if life.failed { "  failed" } else { "" };
            let _ = writeln!(text, "{:>10} {running:>10} {stopped:>10}  {title}{failed}", seconds(life.began_us));
        }
        text
    }

    /// One JSON object a line.
    #[must_use]
    pub fn json(&self) -> String {
        let line = |life: &Life| format!("{}\n", serde_json::to_string(life).unwrap_or_default());
        self.lives.iter().map(line).collect()
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{:03}", us / 1_000_000, us / 1_000 % 1_000)
}
