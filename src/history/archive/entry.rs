//! What people want to know of a turn: a line of `initctl history`.

use std::fmt::Write as _;

use machine::change::Change;
use machine::job::{Cause, Goal, JobState, ProcessKind};
use record::{Origin, Turn};
use serde::{Deserialize, Serialize};

use crate::names::{JobName, Names};
use crate::words;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Its goal became start.
    Start,
    /// It runs.
    Running,
    /// Its main process was started.
    Process,
    /// Its goal became stop.
    Stop,
    /// It is at rest.
    Stopped,
    /// It was started anew after its end.
    Respawn,
    /// It failed, or its process ended badly.
    Failed,
    /// The init has come back.
    Recovered,
    /// An event that came from outside.
    Event,
    /// Changes that the journal forgot before they could be archived.
    Gap,
}

impl Kind {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Running => "running",
            Self::Process => "process",
            Self::Stop => "stop",
            Self::Stopped => "stopped",
            Self::Respawn => "respawn",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Event => "event",
            Self::Gap => "gap",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds since 1970.
    pub time_us: u64,
    /// Number of the frame.
    pub sequence: u64,
    /// Name of the job; empty for what is not about one.
    pub job: String,
    /// Name of the instance.
    pub instance: String,
    /// What.
    pub kind: Kind,
    /// Why, or how.
    pub text: String,
    /// The ticket of the process whose end has led to it, if one has: what that has printed, it has printed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
}

impl Entry {
    /// What two tellings of the same have in common, the archive's and the journal's; in order.
    #[must_use]
    pub fn key(&self) -> (u64, u64, &str, &str, Kind, &str) {
        (self.time_us, self.sequence, &self.job, &self.instance, self.kind, &self.text)
    }
}

/// The lines of a turn; `names` has learned it.
#[must_use]
pub fn entries(sequence: u64, turn: &Turn, names: &Names) -> Vec<Entry> {
    let time_us = turn.stamp.map_or(0, |stamp| stamp.wall_us);
    let ended = match turn.origin {
        Origin::Exited { ticket, .. } => Some(ticket),
        _ => None,
    };
    let mut found = Vec::new();
    let mut add = |name: Option<&JobName>, kind: Kind, text: String| {
        let of = |part: fn(&JobName) -> &str| name.map(part).unwrap_or_default().to_owned();
        let (job, instance) = (of(|name| &name.class), of(|name| &name.instance));
        found.push(Entry { time_us, sequence, job, instance, kind, text, ended });
    };
    if let Origin::Exited { cause, .. } = &turn.origin
        && *cause != Cause::Status(0)
        && turn.changes.iter().any(|change| matches!(change, Change::Respawned { .. }))
    {
        add(names.job_of_origin(&turn.origin), Kind::Failed, format!("its process {}", words::cause(*cause)));
    }
    for change in &turn.changes {
        let name = names.subject(change).and_then(|number| names.instance(number));
        match change {
            Change::GoalChanged { instance, goal } => match goal {
                // That it is to be started anew is what the respawn says.
                Goal::Start if is_respawned(turn, *instance) => {}
                Goal::Start => add(name, Kind::Start, reason(turn, *instance, names)),
                Goal::Stop => add(name, Kind::Stop, reason(turn, *instance, names)),
                Goal::Respawn => {}
            },
            Change::StateChanged { state: JobState::Running, .. } => add(name, Kind::Running, String::new()),
            Change::StateChanged { state: JobState::Waiting, .. } => add(name, Kind::Stopped, String::new()),
            Change::ProcessSpawned { ticket, pid, .. } => {
                if let (Some((_, ProcessKind::Main)), Some(name)) = (names.ticket(*ticket), name) {
                    add(Some(name), Kind::Process, format!("main process {pid}"));
                }
            }
            Change::Failed { failure, .. } => add(name, Kind::Failed, words::failure(failure)),
            Change::Respawned { .. } => add(name, Kind::Respawn, String::new()),
            Change::Restarted { .. } => add(None, Kind::Recovered, words::origin(&turn.origin, names)),
            Change::EventQueued { name, environment, .. }
                if !matches!(name.as_str(), "starting" | "started" | "stopping" | "stopped") =>
            {
                let mut text = name.clone();
                if !environment.is_empty() {
                    // A String takes everything.
                    let _ = write!(text, " {}", environment.join(" "));
                }
                add(None, Kind::Event, format!("{text}: {}", words::origin(&turn.origin, names)));
            }
            _ => {}
        }
    }
    found
}

fn is_respawned(turn: &Turn, instance: u64) -> bool {
    turn.changes.iter().any(|change| matches!(change, Change::Respawned { instance: other, .. } if *other == instance))
}

/// Why a goal has changed: the events that it followed, or else what the turn was taken for.
fn reason(turn: &Turn, instance: u64, names: &Names) -> String {
    let events: Vec<String> = turn
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::EventAttached { instance: other, event } if *other == instance => {
                Some(format!("event {}", names.event(*event).unwrap_or("?")))
            }
            _ => None,
        })
        .collect();
    if events.is_empty() { words::origin(&turn.origin, names) } else { events.join(", ") }
}
