//! Replay of anything: it ends, twice the same, and the machine goes on from whatever state it led to.

use journal::{Identity, Log, MemoryStorage, Options};
use keeper::protocol::{Occasion, Reason};
use machine::change::Change;
use machine::input::{Call, Input, RollCall, RollCallCondition, RollCallEntry};
use machine::job::{Cause, ProcessKind};
use machine::spawn;
use machine::state::State;
use manager::resume::{Recovery, go_on};
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
    let mut checkpoint = None;
    if has_checkpoint {
        let length = draw.below(256) + 256 * draw.below(256);
        let bytes = [&[1], draw.bytes(length)].concat();
        begin = decode_state(&bytes).unwrap_or_default();
        checkpoint = Some(bytes);
    }
    let frames = if is_raw { raw(&mut draw) } else { shuffled(&mut draw) };
    let state = replayed(&begin, &frames);
    let again = replayed(&begin, &frames);
    assert_eq!(digest(&state).expect("a state can be written"), digest(&again).expect("as above"));
    comes_back(checkpoint, &frames, &state);
    // A checkpoint of arbitrary bytes may contradict itself.
    if !has_checkpoint {
        is_same_after_reading(&state);
    }
    lives_on(state);
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

/// The same through a journal and the manager's own recovery: what cannot be read is set aside, and who comes after finds the
/// same state without it. A checkpoint that cannot be read leaves nothing to go on from.
fn comes_back(checkpoint: Option<Vec<u8>>, frames: &[Vec<u8>], expected: &State) {
    let identity = Identity { boot_id: [1; 16], pid_namespace: 7 };
    let options = Options { segment_bytes: 8192, ..Options::new(identity) };
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options).expect("an empty directory opens");
    let is_readable = checkpoint.as_ref().is_none_or(|bytes| decode_state(bytes).is_ok());
    if let Some(bytes) = checkpoint {
        log.append(&encoded(&[])).expect("memory has room");
        log.checkpoint(&bytes).expect("memory has room");
    }
    for frame in frames {
        log.append(frame).expect("memory has room");
    }
    drop(log);
    let replayed = frames.iter().take_while(|frame| decode_changes(frame).is_ok()).count();
    let has_past = is_readable && (replayed > 0 || expected.has_booted());
    let nothing = State::default();
    let expected = digest(if has_past { expected } else { &nothing }).expect("a state can be written");
    for _ in 0..2 {
        let (log, found) = Log::open(disk.clone(), options).expect("nothing here is of a newer version");
        let occasion = Occasion { reason: Reason::ManagerHung, failed_starts: 0, restarts: 1, session: 1 };
        let resumed = go_on(Some((log, found)), &occasion, Recovery::default());
        assert_eq!(digest(&resumed.state).expect("a state can be written"), expected, "{:?}", resumed.recovery);
    }
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
fn lives_on(state: State) {
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
