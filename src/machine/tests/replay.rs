//! What a journal is worth: whole, cut, with holes, or behind a checkpoint. The journals are those of the stories.

mod story;
mod world;

use machine::Outcome;
use machine::change::Change;
use machine::effect::{Announcement, Caller, Effect};
use machine::input::{Call, Input, RollCall, RollCallCondition};
use machine::state::State;
use world::{World, decode, encode, replay};

/// What a manager hears that has only these frames.
fn come_back(frames: &[Vec<Change>], world: &World) -> (State, Outcome) {
    let mut state = replay(frames);
    let call = RollCall {
        is_restart: true,
        entries: world.keeper.table.values().cloned().collect(),
        highest_number: world.keeper.highest_number,
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

/// A process is being started when the journal is lost: it is in no roll call, and its number is still its own.
#[test]
fn a_number_is_not_given_out_again_while_its_process_is_being_started() {
    let class = machine::parse::parse_class("job", b"exec job\n").expect("a sound job file");
    for highest_number in [0, 7, 1_000_000] {
        let mut state = State::default();
        let call = RollCall { is_restart: true, highest_number, ..RollCall::default() };
        machine::turn(&mut state, 1_000, Input::RollCall(call));
        machine::turn(&mut state, 1_000, Input::Define(Box::new(class.clone())));
        let caller = Caller { connection: 1, serial: 1, sender: None };
        let start = Call::Start { class: "job".into(), environment: Vec::new(), wait: false };
        let outcome = machine::turn(&mut state, 1_000, Input::Call(caller, start));
        let spawned: Vec<u64> = outcome.effects.iter().filter_map(spawn_of).collect();
        assert!(!spawned.is_empty() && spawned.iter().all(|ticket| *ticket > highest_number), "{spawned:?}");
    }
}

/// A process that an earlier manager has asked for is between its clone and its exec. Asked for again by one that lacks what it
/// takes, it would count as failed, and run.
#[test]
fn a_process_that_is_being_started_is_not_asked_for_again() {
    let class = machine::parse::parse_class("job", b"exec job\n").expect("a sound job file");
    let starting = |ticket| machine::input::RollCallEntry {
        ticket,
        label: machine::spawn::label(machine::job::ProcessKind::Main, "job", ""),
        pid: 70,
        start_time_ticks: 5,
        last_signal_request: 0,
        condition: RollCallCondition::Starting,
    };
    let mut state = State::default();
    machine::turn(&mut state, 1_000, Input::RollCall(RollCall::default()));
    machine::turn(&mut state, 1_000, Input::Define(Box::new(class)));
    let caller = Caller { connection: 1, serial: 1, sender: None };
    let start = Call::Start { class: "job".into(), environment: Vec::new(), wait: false };
    let outcome = machine::turn(&mut state, 1_000, Input::Call(caller, start));
    let ticket = outcome.effects.iter().find_map(spawn_of).expect("it is asked for");
    let call = RollCall { is_restart: true, entries: vec![starting(ticket)], ..RollCall::default() };
    let outcome = machine::turn(&mut state, 1_000, Input::RollCall(call.clone()));
    assert_eq!(outcome.effects.iter().find_map(spawn_of), None);
    machine::turn(&mut state, 1_000, Input::Spawned { ticket, pid: 70, start_time_ticks: 5 });
    assert_eq!(state.process(ticket).map(|(_, _, process)| process.pid), Some(70));
    // With the journal lost it is a stray, and stays what the keeper called it when it runs.
    let mut state = State::default();
    machine::turn(&mut state, 1_000, Input::RollCall(call));
    machine::turn(&mut state, 1_000, Input::Spawned { ticket, pid: 70, start_time_ticks: 5 });
    let strays: Vec<_> = state.strays().map(|(ticket, stray)| (ticket, stray.pid, stray.label.as_str())).collect();
    assert_eq!(strays, [(ticket, 70, "main\tjob\t")]);
}

fn spawn_of(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Spawn(ticket) => Some(*ticket),
        _ => None,
    }
}

/// A client's job runs, and the manager dies before the system has booted: nothing is lost, so the boot is still to come. Where
/// numbers are lost, it has been.
#[test]
fn a_death_before_the_boot_does_not_take_its_place() {
    for (lost, emits) in [(false, true), (true, false)] {
        let mut state = State::default();
        machine::turn(&mut state, 1_000, Input::RollCall(RollCall::default()));
        let class = machine::parse::parse_class("job", b"exec job\n").expect("a sound job file");
        machine::turn(&mut state, 1_000, Input::Define(Box::new(class)));
        let caller = Caller { connection: 1, serial: 1, sender: None };
        let start = Call::Start { class: "job".into(), environment: Vec::new(), wait: false };
        let outcome = machine::turn(&mut state, 1_000, Input::Call(caller, start));
        let ticket = outcome.effects.iter().find_map(spawn_of).expect("it is started");
        if lost {
            state = State::default();
        }
        let call = RollCall { is_restart: true, highest_number: ticket, ..RollCall::default() };
        machine::turn(&mut state, 1_000, Input::RollCall(call));
        let outcome = machine::turn(&mut state, 1_000, Input::Startup(Some("startup".into())));
        let is_startup = |effect: &Effect| match effect {
            Effect::Announce(_, told) => matches!(&**told, Announcement::EventEmitted(name, _) if name == "startup"),
            _ => false,
        };
        assert_eq!(outcome.effects.iter().any(is_startup), emits, "the journal was lost: {lost}");
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
