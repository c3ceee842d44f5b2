//! What a journal is worth: whole, cut, with holes, or behind a checkpoint. The journals are those of the stories.

mod story;
mod world;

use machine::Outcome;
use machine::change::Change;
use machine::effect::Effect;
use machine::input::{Input, RollCall, RollCallCondition};
use machine::state::State;
use world::{World, decode, encode, replay};

/// What a manager hears that has only these frames.
fn come_back(frames: &[Vec<Change>], world: &World) -> (State, Outcome) {
    let mut state = replay(frames);
    let call = RollCall {
        is_restart: true,
        entries: world.keeper.table.values().cloned().collect(),
        connections: world.connections.clone(),
        ..RollCall::default()
    };
    let outcome = machine::turn(&mut state, world.now_ms, Input::RollCall(call));
    (state, outcome)
}

/// Whatever the journal said: each process that runs is known, none is signalled, and each end is taken note of.
fn check_processes(state: &State, outcome: &Outcome, world: &World, frames: usize, story: &str) {
    for entry in world.keeper.table.values() {
        let is_known = state.process(entry.ticket).is_some();
        let is_stray = state.strays().any(|(ticket, _)| ticket == entry.ticket);
        match entry.condition {
            RollCallCondition::Running { .. } => {
                assert!(is_known || is_stray, "{story}: {} is lost with {frames} frames", entry.label);
            }
            _ => {
                let is_acknowledged = outcome.effects.contains(&Effect::Acknowledge(entry.ticket));
                assert!(is_acknowledged, "{story}: the end of {} is lost with {frames} frames", entry.label);
            }
        }
        let is_asked_again = outcome.effects.contains(&Effect::Spawn(entry.ticket));
        assert!(!is_asked_again, "{story}: {} is asked for again with {frames} frames", entry.label);
    }
}

#[test]
fn a_journal_cut_anywhere_loses_no_process() {
    for story in story::all() {
        let world = story.live(None).world;
        for frames in 0..=world.journal.len() {
            let (state, outcome) = come_back(&world.journal[..frames], &world);
            check_processes(&state, &outcome, &world, frames, &story.name());
        }
    }
}

#[test]
fn a_journal_with_a_hole_loses_no_process() {
    for story in story::all().iter().filter(|story| !story.is_endless()) {
        let world = story.live(None).world;
        for hole in (0..world.journal.len()).step_by(2) {
            let mut frames = world.journal.clone();
            frames.remove(hole);
            let (state, outcome) = come_back(&frames, &world);
            check_processes(&state, &outcome, &world, hole, &story.name());
        }
    }
}

#[test]
fn a_checkpoint_is_as_good_as_all_that_came_before() {
    for story in story::all().iter().filter(|story| !story.is_endless()) {
        let world = story.live(None).world;
        for at in (0..world.journal.len()).step_by(3) {
            let mut state: State = decode(&encode(&replay(&world.journal[..at])));
            state.reindex();
            for change in world.journal[at..].iter().flatten() {
                state.apply(change, &mut Vec::new());
            }
            assert_eq!(encode(&state), encode(&world.state), "{}: checkpoint at frame {at}", story.name());
        }
    }
}

/// A journal that was written for another state: nonsense changes nothing that is not there.
#[test]
fn changes_about_nothing_change_nothing() {
    let mut state = State::default();
    let before = encode(&state);
    let mut effects = Vec::new();
    for change in [
        Change::EventHandled { event: 7 },
        Change::EventFinished { event: 7 },
        Change::StartMatched { class: "no".into(), node: 9, event: 7 },
        Change::StopMatched { instance: 3, node: 9, event: 7 },
        Change::InstanceDestroyed { instance: 3 },
        Change::Detached { instance: 3 },
        Change::ClassRemoved { class: "no".into() },
        Change::TaskTaken,
    ] {
        state.apply(&change, &mut effects);
    }
    assert_eq!(encode(&state), before);
    assert!(effects.is_empty(), "{effects:?}");
}

/// A frame that comes twice, or one whose neighbours are lost: what is kept beside the state for speed must still be what a
/// checkpoint would make of it, or the manager after the next one would decide otherwise than this one.
#[test]
fn changes_that_come_twice_leave_no_wrong_index() {
    for story in story::all().iter().filter(|story| !story.is_endless()) {
        let world = story.live(None).world;
        let mut state = State::default();
        for (at, frame) in world.journal.iter().enumerate() {
            let again = world.journal.iter().rev().skip(at % 7).step_by(5).take(3);
            for change in frame.iter().chain(again.flatten()) {
                state.apply(change, &mut Vec::new());
            }
            let mut checkpoint: State = decode(&encode(&state));
            checkpoint.reindex();
            assert_eq!(format!("{checkpoint:?}"), format!("{state:?}"), "{}: frame {at}", story.name());
        }
    }
}
