//! Beginning where a real init has crashed: from the journal in the bundle of a crash, or any other.
//!
//! The frames come into the simulated storage as they were, up to the crash; what the journal says to run is made to run, and
//! the jobs are those of the journal. From there on the seed decides.

use std::collections::BTreeMap;
use std::path::Path;

use ::keeper::protocol::{ExitStatus, Reason};
use history::past::{Past, PastError, apply, decode};
use history::source::Source;
use journal::{Log, Reach};
use machine::class::Class;
use machine::state::State;

use crate::manager::{Expected, Outside, request_of};

/// Where to begin.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The state that the frames go on from, if it is not the empty one, and its number.
    base: Option<(u64, State)>,
    frames: Vec<(u64, Vec<u8>)>,
    /// The state after them.
    state: State,
    now_ms: u64,
    /// What it is, in words.
    pub title: String,
}

impl Beginning {
    /// Reads a journal: a bundle of `initctl crash-report`, an exported file, or a directory.
    ///
    /// # Errors
    /// When it is none, or cannot be replayed.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::of(&Past::open(&Source::of(path), Reach::All).map_err(told)?).map_err(told)
    }

    fn of(past: &Past) -> Result<Self, PastError> {
        let crash = past.meta.as_ref().and_then(|meta| meta.crash.as_ref());
        // What comes after the crash was written by the manager that came back from it.
        let last = crash.map_or(u64::MAX, |crash| crash.sequence);
        let mut state = past.base.clone();
        let mut frames = Vec::new();
        let mut now_ms = 0;
        for frame in past.frames().iter().take_while(|frame| frame.sequence <= last) {
            let turn = decode(frame)?;
            apply(&mut state, &turn);
            now_ms = turn.stamp.map_or(now_ms, |stamp| stamp.boot_us / 1000);
            frames.push((frame.sequence, frame.payload.to_vec()));
        }
        let reason = crash.map_or_else(|| "its end".to_owned(), |crash| crash.reason.clone());
        let title = format!("{} frames, {} processes, {reason}", frames.len(), running(&state).count());
        let base = (past.base_sequence > 0).then(|| (past.base_sequence, past.base.clone()));
        Ok(Self { base, frames, state, now_ms, title })
    }

    /// The job files, as the journal knows them.
    #[must_use]
    pub fn jobs(&self) -> BTreeMap<String, Class> {
        self.state.classes().map(|(name, record)| (name.to_owned(), record.definition.clone())).collect()
    }

    /// Makes the world as it was.
    ///
    /// # Errors
    /// When the journal does not fit into it.
    pub fn lay(&self, out: &mut Outside) -> Result<(), String> {
        out.now_ms = out.now_ms.max(self.now_ms);
        out.watch.now_ms = out.now_ms;
        out.settings = self.state.settings().clone();
        self.write(out)?;
        for ticket in running(&self.state) {
            let (Some(request), Some((_, _, process))) = (request_of(&self.state, ticket), self.state.process(ticket))
            else {
                continue;
            };
            out.keeper.take_up(&request, process, out.now_ms, &mut out.watch)?;
        }
        let reason = Reason::ManagerEnded(ExitStatus::Signal { signal: 9, core_dumped: false });
        out.keeper.table.head().set_reason(reason);
        let digest = record::digest(&self.state).map_err(|error| error.to_string())?;
        out.expected = Expected { before: Some(digest), after: Some(digest) };
        Ok(())
    }

    fn write(&self, out: &Outside) -> Result<(), String> {
        let (mut log, _) = Log::open(out.disk.clone(), out.journal).map_err(told)?;
        if let Some((sequence, state)) = &self.base {
            log.skip_to(*sequence);
            log.checkpoint(&record::encode_state(state).map_err(told)?).map_err(told)?;
        }
        for (sequence, payload) in &self.frames {
            log.skip_to(sequence.saturating_sub(1));
            log.append(payload).map_err(told)?;
        }
        Ok(())
    }
}

/// Tickets of the processes that run by what the journal says.
fn running(state: &State) -> impl Iterator<Item = u64> {
    let processes = state.instances().flat_map(|instance| &instance.processes);
    processes.filter(|process| process.pid > 0).map(|process| process.ticket)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
