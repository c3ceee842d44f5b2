//! Replay of anything: it ends, twice the same, and the machine goes on from whatever state it led to.

use machine::change::Change;
use machine::input::{Call, Input, RollCall, RollCallCondition, RollCallEntry};
use machine::job::{Cause, ProcessKind};
use machine::spawn;
use machine::state::State;
use record::{decode_changes, decode_state, digest};

use crate::codec::{changes, encoded, is_same_after_reading};
use crate::draw::Draw;
use crate::inputs::Watched;

/// The first byte chooses: a checkpoint and frames of arbitrary bytes, valid changes found in arbitrary bytes, or those
/// of lives (the changes of the seeds) in arbitrary order, with repetitions and gaps.
pub fn replay(data: &[u8]) {
    let mut draw = Draw::new(data);
    let is_raw = draw.byte().is_multiple_of(2);
    let mut begin = State::default();
    let has_checkpoint = is_raw && draw.flag();
    if has_checkpoint {
        let length = draw.below(256) + 256 * draw.below(256);
        begin = decode_state(&[&[1], draw.bytes(length)].concat()).unwrap_or_default();
    }
    let frames = if is_raw { raw(&mut draw) } else { shuffled(&mut draw) };
    let state = replayed(&begin, &frames);
    let again = replayed(&begin, &frames);
    assert_eq!(digest(&state).expect("a state can be written"), digest(&again).expect("as above"));
    // A checkpoint of arbitrary bytes may contradict itself.
    if !has_checkpoint {
        is_same_after_reading(&state);
    }
    go_on(state);
}

fn replayed(begin: &State, frames: &[Vec<u8>]) -> State {
    let mut state = begin.clone();
    for frame in frames {
        // Recovery stops at the first frame that it cannot read.
        let Ok(changes) = decode_changes(frame) else { break };
        for change in &changes {
            state.apply(change, &mut Vec::new());
        }
    }
    state
}

fn raw(draw: &mut Draw<'_>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !draw.is_empty() {
        let length = draw.below(256);
        let bytes = draw.bytes(length);
        frames.push(if length.is_multiple_of(2) { encoded(&changes(bytes)) } else { bytes.to_vec() });
    }
    frames
}

/// So many bytes of the input are changes; each byte behind them says which of these comes next, and which ends a frame.
fn shuffled(draw: &mut Draw<'_>) -> Vec<Vec<u8>> {
    let length = draw.below(256) + 256 * draw.below(16);
    let alphabet = changes(draw.bytes(length));
    if alphabet.is_empty() {
        return Vec::new();
    }
    let order = draw.rest().iter().take(1000).map(|at| alphabet[usize::from(*at) % alphabet.len()].clone());
    let order: Vec<Change> = order.collect();
    order.chunks(3).map(encoded).collect()
}

/// The manager comes back with this state: the keeper knows some of its processes and a stranger; jobs are called for.
fn go_on(state: State) {
    let labels = state.instances().flat_map(|instance| {
        let label = |process: &machine::job::Process| {
            (process.ticket, spawn::label(process.kind, &instance.class, &instance.name))
        };
        instance.processes.iter().map(label).collect::<Vec<_>>()
    });
    let mut entries = Vec::new();
    for (at, (ticket, label)) in labels.chain([(7, spawn::label(ProcessKind::Main, "a", ""))]).enumerate() {
        let condition = match at % 4 {
            0 => RollCallCondition::Exited(Cause::Status(1)),
            1 => continue,
            2 => RollCallCondition::Failed("no".into()),
            _ => RollCallCondition::Running { forks_left: 1, has_stopped: true },
        };
        let (pid, start_time_ticks, last_signal_request) = (50, 5, 3);
        entries.push(RollCallEntry { ticket, label, pid, start_time_ticks, last_signal_request, condition });
    }
    let names: Vec<String> = state.classes().map(|(name, _)| name.into()).take(3).collect();
    let mut watched = Watched::from(state);
    let call = RollCall { is_restart: true, entries, ..RollCall::default() };
    watched.turn(100_000, Input::RollCall(call));
    for (serial, class) in (1..).zip(names) {
        let caller = |connection| machine::effect::Caller { connection, serial, sender: None };
        let (environment, wait) = (Vec::new(), true);
        let start = Call::Start { class: class.clone(), environment: environment.clone(), wait };
        watched.turn(100_001, Input::Call(caller(u64::MAX - 1), start));
        watched.turn(100_002, Input::Call(caller(u64::MAX), Call::Stop { class, environment, wait }));
    }
    watched.turn(200_000, Input::Tick);
    watched.turn(200_001, Input::Signal(machine::input::InitSignal::Terminate));
}
