//! Anything may happen, in any order: the journal against a list in memory.

use journal::{Fault, FaultEffect, Log, MemoryStorage, Options};
use proptest::prelude::*;

use crate::common::{State, options, payload};

#[derive(Debug, Clone)]
enum Act {
    Append(usize),
    Checkpoint,
    Reopen,
    /// The process dies at the so-manieth operation from now on, with so many bytes of a write.
    CrashSoon(usize, usize),
    FailSoon(usize, usize),
    Capacity(Option<u64>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0usize..3000).prop_map(Act::Append),
        1 => (4000usize..12_000).prop_map(Act::Append),
        2 => Just(Act::Checkpoint),
        1 => Just(Act::Reopen),
        1 => (0usize..12, 0usize..5000).prop_map(|(soon, bytes)| Act::CrashSoon(soon, bytes)),
        1 => (0usize..12, 0usize..5000).prop_map(|(soon, bytes)| Act::FailSoon(soon, bytes)),
        1 => proptest::option::of(20_000u64..60_000).prop_map(Act::Capacity),
    ]
}

struct World {
    disk: MemoryStorage,
    log: Option<Log<MemoryStorage>>,
    options: Options,
    /// What is acknowledged, and what may have arrived besides.
    state: State,
    in_flight: Option<State>,
    highest_sequence: u64,
}

impl World {
    /// Opens, through a crash if one comes, and checks what is found.
    fn reopen(&mut self) {
        self.log = None;
        let (log, found) = loop {
            match Log::open(self.disk.clone(), self.options) {
                Ok(opened) => break opened,
                Err(_) => self.disk = self.disk.snapshot(),
            }
        };
        let state = State::replay(&found);
        let allowed = state == self.state || Some(state) == self.in_flight;
        assert!(allowed, "{:?} is neither {:?} nor {:?}: {:?}", state, self.state, self.in_flight, found.report);
        assert!(log.next_sequence() > self.highest_sequence);
        (self.state, self.in_flight, self.log) = (state, None, Some(log));
    }

    /// The process has died if it notices that nothing works any more: what it does next is to start again.
    fn after_error(&mut self) {
        self.disk = self.disk.snapshot();
        self.reopen();
    }

    fn act(&mut self, number: usize, act: Act) {
        let Some(log) = &mut self.log else {
            return;
        };
        match act {
            Act::Append(size) => {
                let payload = payload(number, size);
                let mut next = self.state;
                next.apply(&payload);
                match log.append(&payload) {
                    Ok(sequence) => {
                        assert!(sequence > self.highest_sequence);
                        self.highest_sequence = sequence;
                        (self.state, self.in_flight) = (next, None);
                    }
                    Err(journal::AppendError::NoRoom { .. }) => {
                        if log.checkpoint(&self.state.to_bytes()).is_ok() {
                            self.in_flight = None;
                        }
                    }
                    Err(_) => {
                        self.in_flight = Some(next);
                        self.after_error();
                    }
                }
            }
            Act::Checkpoint => match log.checkpoint(&self.state.to_bytes()) {
                Ok(()) => self.in_flight = None,
                Err(journal::CheckpointError::NoRoom { .. }) => {}
                Err(_) => self.after_error(),
            },
            Act::Reopen => self.reopen(),
            Act::CrashSoon(operation, arriving_bytes) => {
                self.disk.set_fault(Some(Fault { operation, arriving_bytes, effect: FaultEffect::Crash }));
            }
            Act::FailSoon(operation, arriving_bytes) => {
                self.disk.set_fault(Some(Fault { operation, arriving_bytes, effect: FaultEffect::Fail }));
            }
            Act::Capacity(capacity_bytes) => self.disk.set_capacity(capacity_bytes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_life_is_found_again(acts in proptest::collection::vec(act(), 1..120)) {
        let mut world = World {
            disk: MemoryStorage::new(),
            log: None,
            options: options(),
            state: State::default(),
            in_flight: None,
            highest_sequence: 0,
        };
        world.reopen();
        for (number, act) in acts.into_iter().enumerate() {
            world.act(number, act);
        }
        world.after_error();
    }
}
