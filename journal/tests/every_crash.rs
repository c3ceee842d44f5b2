//! Any operation on files may be the last, or fail, or find no room.

use journal::{Durability, Fault, FaultEffect, Log, MemoryStorage, Operation, Options};

use crate::common::{State, Step, live, long_life, options, recover};
use crate::every_cut::crash_at_every_operation_of_recovery;

fn trace(options: Options) -> Vec<Operation> {
    let disk = MemoryStorage::new();
    disk.start_trace();
    live(&disk, options, &long_life());
    disk.trace()
}

fn partial_writes(operation: &Operation) -> Vec<usize> {
    match operation {
        Operation::Write { length_bytes, offset, .. } => {
            let to_page_end = 4096 - (*offset as usize % 4096);
            let ends = [0, 1, to_page_end, to_page_end + 4096, length_bytes - 1, *length_bytes];
            ends.into_iter().filter(|end| end <= length_bytes).collect()
        }
        _ => vec![0],
    }
}

#[test]
fn crash_at_every_operation_and_again_in_recovery() {
    for durability in [Durability::None, Durability::Fsync] {
        let options = Options { durability, ..options() };
        for (number, operation) in trace(options).iter().enumerate() {
            for arriving_bytes in partial_writes(operation) {
                let disk = MemoryStorage::new();
                disk.set_fault(Some(Fault { operation: number, arriving_bytes, effect: FaultEffect::Crash }));
                let lived = live(&disk, options, &long_life());
                let dead = disk.snapshot();
                let what = format!("{operation:?} after {arriving_bytes} bytes");
                crash_at_every_operation_of_recovery(&dead, &what);
                let (state, report) = recover(&dead);
                assert!(lived.allows(state), "{what}: {report:?}");
                assert!(report.severity() <= journal::Severity::Repaired, "{what}: {report:?}");
            }
        }
    }
}

/// A caller that does not give up at an error.
fn live_on(disk: &MemoryStorage, options: Options) -> (State, Option<State>) {
    let (mut state, mut in_flight) = (State::default(), None);
    let opened = Log::open(disk.clone(), options).or_else(|_| Log::open(disk.clone(), options));
    let (mut log, _) = opened.unwrap();
    for step in long_life() {
        match step {
            Step::Append(payload) => {
                let mut next = state;
                next.apply(&payload);
                let expected = log.next_sequence();
                match log.append(&payload) {
                    Ok(sequence) => {
                        assert_eq!(sequence, expected);
                        (state, in_flight) = (next, None);
                    }
                    Err(_) => in_flight = Some(next),
                }
            }
            Step::Checkpoint => {
                if log.checkpoint(&state.to_bytes()).is_ok() {
                    in_flight = None;
                }
            }
        }
    }
    (state, in_flight)
}

#[test]
fn after_any_failed_operation_the_log_goes_on_and_loses_nothing() {
    for durability in [Durability::None, Durability::Fsync] {
        let options = Options { durability, ..options() };
        for (number, operation) in trace(options).iter().enumerate() {
            for arriving_bytes in partial_writes(operation) {
                for effect in [FaultEffect::Fail, FaultEffect::NoRoom] {
                    let disk = MemoryStorage::new();
                    disk.set_fault(Some(Fault { operation: number, arriving_bytes, effect }));
                    let (state, in_flight) = live_on(&disk, options);
                    let (found, report) = recover(&disk.snapshot());
                    let allowed = found == state || Some(found) == in_flight;
                    assert!(allowed, "{effect:?} at {operation:?} after {arriving_bytes} bytes: {report:?}");
                    assert!(report.severity() <= journal::Severity::Repaired, "{report:?}");
                }
            }
        }
    }
}

#[test]
fn a_number_whose_frame_may_have_arrived_is_not_given_out_again() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    assert_eq!(log.append(b"one").unwrap(), 1);
    disk.set_fault(Some(Fault { operation: 0, arriving_bytes: 0, effect: FaultEffect::Fail }));
    assert!(log.append(b"two").is_err());
    assert_eq!(log.append(b"three").unwrap(), 3);
    drop(log);
    let (log, found) = Log::open(disk, options()).unwrap();
    let sequences: Vec<u64> = found.frames.iter().map(|frame| frame.sequence).collect();
    assert_eq!((sequences, log.next_sequence()), (vec![1, 3], 4));
    assert!(found.report.is_clean(), "{:?}", found.report);
}
