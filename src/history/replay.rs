//! The fast way from one state to a later one, for journals of millions of changes.
//!
//! Most of what changes say is text that is gone again a few frames later: what was announced leaves the outbox when it is out,
//! and an event is forgotten when it is over. `State::apply` keeps these texts and looks at none of them. So they are left where
//! they are, and what stands in for them goes the same way through the state. Whatever of that is still there at the end was not
//! gone: then the way is gone once more, with all texts.

use std::sync::{Arc, mpsc};
use std::thread;

use journal::Frame;
use machine::change::Change;
use machine::effect::{Announcement, Nobody};
use machine::state::State;
use record::ChangeView;

use crate::past::PastError;

/// Frames that are dealt with together.
const BATCH: usize = 128;

/// Batches that wait to be applied.
const DEPTH: usize = 4;

/// Frames at the end of the way whose texts are taken in any case: what they tell of may not be over.
const LATE: usize = 1024;

/// The state that these frames lead to.
///
/// # Errors
/// When a frame cannot be read.
pub fn replay(base: &State, frames: &[Frame]) -> Result<State, PastError> {
    let (early, late) = frames.split_at(frames.len().saturating_sub(LATE));
    let stand_in = StandIn(Arc::new(Announcement::Restarted(0)));
    let mut state = base.clone();
    apply_all(&mut state, early, Some(&stand_in))?;
    apply_all(&mut state, late, None)?;
    if stand_in.is_in(&state) {
        state = base.clone();
        apply_all(&mut state, frames, None)?;
    }
    Ok(state)
}

/// What stands in for texts.
struct StandIn(Arc<Announcement>);

impl StandIn {
    /// The change; in it, no texts but those that may outlast it for long.
    fn change(&self, view: ChangeView<'_>) -> Change {
        match view {
            ChangeView::Announced(_) => Change::Announced(Arc::clone(&self.0)),
            ChangeView::EventQueued { event, releases, caller, file, .. } => {
                ChangeView::EventQueued { event, name: "", environment: Vec::new(), releases, caller, file }
                    .into_change()
            }
            other => other.into_change(),
        }
    }

    /// Whether something is left of it. Events have names, all but those.
    fn is_in(&self, state: &State) -> bool {
        state.outbox().any(|(_, announcement)| Arc::ptr_eq(announcement, &self.0))
            || state.events().any(|(_, event)| event.name.is_empty())
    }
}

fn apply_all(state: &mut State, frames: &[Frame], stand_in: Option<&StandIn>) -> Result<(), PastError> {
    // Reading frames costs as much as applying what they say, so a second processor can do it.
    thread::scope(|scope| {
        let (batches_in, batches) = mpsc::sync_channel(DEPTH);
        let (applied_in, applied) = mpsc::channel::<Vec<ChangeView<'_>>>();
        scope.spawn(move || {
            for batch in frames.chunks(BATCH) {
                // Room that was used before: new one costs more than what is written into it.
                let mut changes = applied.try_recv().unwrap_or_default();
                let read = batch.iter().try_for_each(|frame| {
                    record::view_turn(&frame.payload, &mut changes)
                        .map(drop)
                        .map_err(|error| PastError::Frame(frame.sequence, error))
                });
                if batches_in.send(read.map(|()| changes)).is_err() {
                    return;
                }
            }
        });
        for batch in batches {
            let mut batch = batch?;
            for change in batch.drain(..) {
                let change = match stand_in {
                    Some(stand_in) => stand_in.change(change),
                    None => change.into_change(),
                };
                state.apply(&change, &mut Nobody);
            }
            // Nobody is there any more when it was the last one.
            let _ = applied_in.send(batch);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Origin, Stamp};

    fn frame(sequence: u64, changes: &[Change]) -> Frame {
        let mut bytes = Vec::new();
        record::encode_turn(Stamp::default(), &Origin::Tick, changes, &mut bytes).unwrap();
        Frame { sequence, payload: bytes.into() }
    }

    fn queued(event: u64, name: &str) -> Change {
        let environment = vec![format!("JOB={name}")];
        Change::EventQueued { event, name: name.into(), environment, releases: None, caller: None, file: None }
    }

    fn announced(text: &str) -> Change {
        Change::Announced(Arc::new(Announcement::JobAdded(text.into())))
    }

    /// The same, one change after the other and each of them in full.
    fn plain(frames: &[Frame]) -> State {
        let mut state = State::default();
        for frame in frames {
            let changes = record::decode_changes(&frame.payload).unwrap();
            changes.iter().for_each(|change| state.apply(change, &mut Nobody));
        }
        state
    }

    /// Fear: time travel shows an event or an announcement without its text, because it was taken for one that is over.
    #[test]
    fn what_is_not_over_keeps_its_texts_however_long_ago_it_began() {
        let over = |sequence: u64| {
            let event = sequence + 100;
            let changes =
                [queued(event, "short"), Change::TaskTaken, Change::EventFinished { event }, announced("short")];
            frame(sequence, &changes)
        };
        let told = |sequence, through| frame(sequence, &[Change::Performed { through }]);
        let many = 3 * LATE as u64;
        let all_over: Vec<Frame> = (1..many).map(over).chain([told(many, many)]).collect();
        let mut long_event = all_over.clone();
        long_event[5] = frame(6, &[queued(7, "long"), announced("told")]);
        let mut untold = all_over.clone();
        untold.pop();
        let mut half_told = untold.clone();
        half_told[LATE] = told(LATE as u64 + 1, 3);
        for frames in [all_over, long_event, untold, half_told] {
            let (fast, plain) = (replay(&State::default(), &frames).unwrap(), plain(&frames));
            assert_eq!(record::encode_state(&fast).unwrap(), record::encode_state(&plain).unwrap());
        }
    }

    #[test]
    fn a_frame_that_cannot_be_read_is_named() {
        let bad = Frame { sequence: 9, payload: vec![2, 0].into() };
        let error = replay(&State::default(), &[frame(8, &[Change::Booted]), bad]).unwrap_err();
        assert!(matches!(error, PastError::Frame(9, _)), "{error}");
    }
}
