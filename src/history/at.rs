//! Time travel: the state at a moment, what changed between two, and the way there step by step.

use std::io::{self, Write};

use journal::Reach;
use machine::state::State;

use crate::listing::{facts, list};
use crate::moment::{Clock, Moment};
use crate::past::{Past, PastError, apply, decode};

/// How far back a moment takes a journal to be read.
#[must_use]
pub fn reach(moment: Moment) -> Reach {
    match moment {
        Moment::End => Reach::Present,
        Moment::Sequence(sequence) => Reach::To(sequence),
        Moment::Wall(_) | Moment::Boot(_) => Reach::All,
    }
}

/// A state as text or JSON.
#[must_use]
pub fn write(state: &State, json: bool) -> String {
    if !json {
        return list(state);
    }
    // Everything in a state has a name or a number as its key.
    let mut text = serde_json::to_string_pretty(state).unwrap_or_default();
    text.push('\n');
    text
}

/// What changed from one state to the other: lines with `-` and `+`.
#[must_use]
pub fn diff(before: &State, after: &State) -> String {
    let (before, after) = (with_job_files(before), with_job_files(after));
    let mut text = String::new();
    for fact in before.iter().filter(|fact| !after.contains(fact)) {
        text.push_str(&format!("- {}\n", fact.0));
    }
    for fact in after.iter().filter(|fact| !before.contains(fact)) {
        text.push_str(&format!("+ {}\n", fact.0));
    }
    text
}

/// The facts of a state, and the job files as they are: a changed one differs although it is told in the same words.
fn with_job_files(state: &State) -> std::collections::BTreeSet<(String, String)> {
    let files = state.classes().map(|(name, record)| {
        let definition = serde_json::to_string(&record.definition).unwrap_or_default();
        (format!("job file {name}"), definition)
    });
    facts(state).into_iter().map(|fact| (fact, String::new())).chain(files).collect()
}

/// Replays a journal frame by frame, with the digest of the state after each, up to a moment.
///
/// # Errors
/// When a frame cannot be read, or the journal does not go back so far.
pub fn replay(past: &Past, until: Moment, clock: &Clock, out: &mut dyn Write) -> Result<(), PastError> {
    let failed = |error: io::Error| PastError::Io("standard output".into(), error);
    let digest = |state: &State, sequence| record::digest(state).map_err(|error| PastError::Frame(sequence, error));
    let mut state = past.base.clone();
    let first = digest(&state, past.base_sequence)?;
    writeln!(out, "{:>8} {first:08x} the state that the frames go on from", past.base_sequence).map_err(failed)?;
    let count = past.frames_until(until)?;
    for frame in &past.frames()[..count] {
        let turn = decode(frame)?;
        apply(&mut state, &turn);
        let time = turn.stamp.map_or_else(|| "-".into(), |stamp| clock.full(stamp.wall_us));
        let digest = digest(&state, frame.sequence)?;
        match writeln!(out, "{:>8} {digest:08x} {time} {} changes", frame.sequence, turn.changes.len()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(failed)?,
        }
    }
    out.flush().map_err(failed)
}
