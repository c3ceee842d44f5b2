//! Any byte of the journal may be the last one, or have a bit turned over; and recovery may itself be killed at each step
//! that it takes, and the next one again. What is found is a state that there once was, or else people are told.
//!
//! `cargo test --release -p stayup-manager --test every_cut -- --ignored --nocapture` does this for every byte.
#![allow(clippy::unwrap_used)]

mod journals;

use journal::{Fault, FaultEffect, MemoryStorage, Operation};
use journals::{all, recover, states_on_the_way};

/// What was tried.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    flips: usize,
    told: usize,
    crashes: usize,
    second_crashes: usize,
}

/// A journal and the states that there have been.
struct Whole {
    name: String,
    disk: MemoryStorage,
    /// In order; the last one is what recovery finds when nothing is damaged.
    states: Vec<u32>,
}

impl Whole {
    fn all() -> Vec<Self> {
        let with_states = |(name, disk): (String, MemoryStorage)| {
            let states = states_on_the_way(&disk);
            assert_eq!(states.last(), Some(&recover(&disk.snapshot()).unwrap().digest), "{name}");
            Self { name, states, disk }
        };
        all().into_iter().map(with_states).collect()
    }

    /// Recovers from a damage, and checks what is found; then kills the recovery everywhere, `is_thorough` or not at all.
    fn check(&self, damaged: &MemoryStorage, what: &str, is_thorough: bool, tally: &mut Tally) {
        let calm = damaged.snapshot();
        calm.start_trace();
        let found = recover(&calm).unwrap();
        let what = format!("{}: {what}", self.name);
        assert!(self.states.contains(&found.digest), "{what}: a state that never was: {:?}", found.report);
        let is_last = self.states.last() == Some(&found.digest);
        assert!(is_last || found.is_told(), "{what}: lost in silence: {:?}", found.report);
        tally.told += usize::from(found.is_told());
        // Recovery may not have to be told the second time.
        let again = recover(&calm.snapshot()).unwrap();
        assert_eq!(again.digest, found.digest, "{what}: another state the second time");
        if is_thorough {
            killed_everywhere(damaged, &calm.trace(), found.digest, &what, tally, true);
        }
    }
}

/// Kills a recovery at each of its steps (and in the middle of each write); whoever comes after finds the same.
fn killed_everywhere(
    damaged: &MemoryStorage,
    steps: &[Operation],
    expected: u32,
    what: &str,
    tally: &mut Tally,
    is_first: bool,
) {
    for (operation, step) in steps.iter().enumerate() {
        let arriving = match step {
            Operation::Write { length_bytes, .. } => vec![0, length_bytes / 2, *length_bytes],
            _ => vec![0],
        };
        for arriving_bytes in arriving {
            let disk = damaged.snapshot();
            disk.set_fault(Some(Fault { operation, arriving_bytes, effect: FaultEffect::Crash }));
            // What fails is either told, or was of no importance (the removal of what nobody needs).
            let _ = recover(&disk);
            let left = disk.snapshot();
            left.start_trace();
            let next = recover(&left).unwrap();
            assert_eq!(next.digest, expected, "{what}, then killed at {step:?}: {:?}", next.report);
            if is_first {
                tally.crashes += 1;
                killed_everywhere(&disk.snapshot(), &left.trace(), expected, what, tally, false);
            } else {
                tally.second_crashes += 1;
            }
        }
    }
}

/// Every `stride`th byte of every file is the last one, and is damaged; recovery is killed for every `thorough`th of these.
fn play(stride: usize, thorough: usize) -> Tally {
    let mut tally = Tally::default();
    for whole in Whole::all() {
        for (file, content) in whole.disk.files() {
            for at in (0..content.len()).step_by(stride) {
                let is_thorough = (at / stride).is_multiple_of(thorough);
                let damaged = whole.disk.snapshot();
                damaged.put(&file, content[..at].to_vec());
                whole.check(&damaged, &format!("{file} cut to {at} bytes"), is_thorough, &mut tally);
                tally.cuts += 1;
                let mut flipped = content.clone();
                flipped[at] ^= if stride == 1 { 0xff } else { 1 << (at % 8) };
                damaged.put(&file, flipped);
                whole.check(&damaged, &format!("{file} with byte {at} flipped"), is_thorough, &mut tally);
                tally.flips += 1;
            }
        }
    }
    println!("{tally:?}");
    tally
}

#[test]
fn bytes_here_and_there() {
    let tally = play(307, 5);
    assert!(tally.cuts > 200 && tally.crashes > 100 && tally.second_crashes > 500, "{tally:?}");
}

#[test]
#[ignore = "takes many minutes, in release form"]
fn every_byte() {
    let tally = play(1, 1);
    assert!(tally.cuts > 30_000 && tally.second_crashes > 1_000_000, "{tally:?}");
}
