//! A caller of the journal in small: its state, its history, and what it must find again.

use journal::{Durability, Identity, Log, MemoryStorage, Options, Recovered};

/// The state that a caller keeps: which payloads it has seen, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct State {
    pub(crate) count: u64,
    digest: u32,
}

impl State {
    pub(crate) fn apply(&mut self, payload: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.digest);
        hasher.update(&payload.len().to_le_bytes());
        hasher.update(payload);
        *self = Self { count: self.count + 1, digest: hasher.finalize() };
    }

    /// With something behind it, so that checkpoints have a size.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = [self.count.to_le_bytes(), u64::from(self.digest).to_le_bytes()].concat();
        bytes.resize(120, b'.');
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        Self { count: number(0), digest: number(8) as u32 }
    }

    /// Replays; and checks on the way that the numbers rise.
    pub(crate) fn replay(found: &Recovered) -> Self {
        let mut state = Self::default();
        let mut sequence = 0;
        if let Some(checkpoint) = &found.checkpoint {
            state = Self::from_bytes(&checkpoint.state);
            sequence = checkpoint.sequence;
        }
        for frame in &found.frames {
            assert!(frame.sequence > sequence, "{} after {sequence}", frame.sequence);
            sequence = frame.sequence;
            state.apply(&frame.payload);
        }
        assert_eq!(found.report.last_sequence, sequence);
        state
    }
}

/// One thing a caller does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Append(Vec<u8>),
    Checkpoint,
}

/// A life of several segments, with small, page-filling and large frames and three checkpoints.
pub(crate) fn long_life() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut append = |size: usize| steps.push(Step::Append(payload(steps.len(), size)));
    for size in [0, 1, 100, 1900, 300, 4072, 17, 2500] {
        append(size);
    }
    steps.push(Step::Checkpoint);
    let mut append = |size: usize| steps.push(Step::Append(payload(steps.len(), size)));
    for size in [700, 4073, 9000, 20, 3500] {
        append(size);
    }
    steps.push(Step::Checkpoint);
    let mut append = |size: usize| steps.push(Step::Append(payload(steps.len(), size)));
    for size in [50, 2048, 1000] {
        append(size);
    }
    steps.push(Step::Checkpoint);
    let mut append = |size: usize| steps.push(Step::Append(payload(steps.len(), size)));
    for size in [128, 3000, 4500, 77] {
        append(size);
    }
    steps
}

/// Bytes that differ from one step to the next and hold no zero, so that a cut always shows.
pub(crate) fn payload(salt: usize, size: usize) -> Vec<u8> {
    (0..size).map(|i| ((i * 7 + salt * 31) % 255) as u8 + 1).collect()
}

pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 8192,
        checkpoint_bytes: 16384,
        durability: Durability::None,
        identity: Identity { boot_id: [1; 16], pid_namespace: 7 },
    }
}

/// What a life led to.
#[derive(Debug)]
pub(crate) struct Lived {
    /// The state after each number of acknowledged appends, from none on.
    pub(crate) states: Vec<State>,
    /// The state that the append in flight would have led to, when it failed.
    pub(crate) in_flight: Option<State>,
}

impl Lived {
    pub(crate) fn last(&self) -> State {
        *self.states.last().unwrap()
    }

    /// What a crash at the end may leave: everything acknowledged, and the append in flight whole or not at all.
    pub(crate) fn allows(&self, state: State) -> bool {
        state == self.last() || Some(state) == self.in_flight
    }
}

/// Lives until the first error.
pub(crate) fn live(disk: &MemoryStorage, options: Options, steps: &[Step]) -> Lived {
    let mut lived = Lived { states: vec![State::default()], in_flight: None };
    let Ok((mut log, found)) = Log::open(disk.clone(), options) else {
        return lived;
    };
    assert!(found.frames.is_empty() && found.checkpoint.is_none());
    for step in steps {
        let mut state = lived.last();
        match step {
            Step::Append(payload) => {
                state.apply(payload);
                if log.append(payload).is_err() {
                    lived.in_flight = Some(state);
                    break;
                }
                lived.states.push(state);
            }
            Step::Checkpoint => {
                if log.checkpoint(&state.to_bytes()).is_err() {
                    break;
                }
            }
        }
    }
    lived
}

/// Opens, replays, and checks that opening again finds the same, with nothing left to repair, and that life goes on.
pub(crate) fn recover(disk: &MemoryStorage) -> (State, journal::Report) {
    let (log, found) = Log::open(disk.clone(), options()).unwrap();
    let state = State::replay(&found);
    let next = log.next_sequence();
    assert!(next > found.report.last_sequence);
    drop(log);
    let (mut log, again) = Log::open(disk.clone(), options()).unwrap();
    assert_eq!(State::replay(&again), state, "{:?} then {:?}", found.report, again.report);
    assert!(again.report.is_clean(), "{:?} then {:?}", found.report, again.report);
    assert!(log.next_sequence() >= next || !found.report.is_clean() || again.report == found.report);
    let mut further = state;
    further.apply(b"life goes on");
    log.append(b"life goes on").unwrap();
    drop(log);
    let (_log, last) = Log::open(disk.clone(), options()).unwrap();
    assert_eq!(State::replay(&last), further);
    (state, found.report)
}
