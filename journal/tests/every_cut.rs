//! Any byte may be the last that arrived.

use journal::{Fault, FaultEffect, Log, MemoryStorage, Operation};

use crate::common::{State, live, long_life, options, recover};

/// For every write of a life: how the directory looks when the process dies in front of it, and when it dies behind it.
fn around_every_write(mut check: impl FnMut(&Operation, &MemoryStorage, &MemoryStorage, &crate::common::Lived)) {
    let steps = long_life();
    let disk = MemoryStorage::new();
    disk.start_trace();
    live(&disk, options(), &steps);
    for (number, operation) in disk.trace().iter().enumerate() {
        let Operation::Write { length_bytes, .. } = operation else {
            continue;
        };
        let dying = |arriving_bytes| {
            let disk = MemoryStorage::new();
            disk.set_fault(Some(Fault { operation: number, arriving_bytes, effect: FaultEffect::Crash }));
            let lived = live(&disk, options(), &steps);
            (disk.snapshot(), lived)
        };
        let (before, lived) = dying(0);
        let (after, _) = dying(*length_bytes);
        check(operation, &before, &after, &lived);
    }
}

#[test]
fn each_byte_of_each_write_may_be_the_last_one() {
    let mut cuts = 0;
    around_every_write(|operation, before, after, lived| {
        let Operation::Write { name, offset, length_bytes } = operation else {
            return;
        };
        // A segment is written to under the name it was made with, and has another by then.
        let name = if before.files().contains_key(name) { name } else { name.trim_end_matches(".new") };
        let whole = after.files()[name].clone();
        let mut content = before.files()[name].clone();
        for arrived in 0..=*length_bytes {
            let disk = before.snapshot();
            let at = *offset as usize + arrived;
            if arrived > 0 {
                content[at - 1] = whole[at - 1];
            }
            disk.put(name, content.clone());
            let (log, found) = Log::open(disk.clone(), options()).unwrap();
            let state = State::replay(&found);
            assert!(lived.allows(state), "{operation:?} cut after {arrived}: {:?}", found.report);
            assert!(found.report.severity() <= journal::Severity::Repaired, "{:?}", found.report);
            drop(log);
            cuts += 1;
        }
    });
    assert!(cuts > 30_000, "{cuts}");
}

#[test]
fn each_file_may_end_at_each_byte() {
    let disk = MemoryStorage::new();
    let lived = live(&disk, options(), &long_life());
    for (name, content) in disk.files() {
        for length in 0..content.len() {
            let cut = disk.snapshot();
            cut.put(&name, content[..length].to_vec());
            let (log, found) = Log::open(cut.clone(), options()).unwrap();
            let state = State::replay(&found);
            assert!(lived.states.contains(&state), "{name} cut to {length}: {:?}", found.report);
            drop(log);
            if length % 61 == 0 {
                let (again, _) = recover(&cut);
                assert_eq!(again, state, "{name} cut to {length}");
            }
        }
    }
}

#[test]
fn crash_during_recovery_of_every_cut() {
    let disk = MemoryStorage::new();
    live(&disk, options(), &long_life());
    let mut crashes = 0;
    for (name, content) in disk.files() {
        let page_ends = (0..content.len()).step_by(4096);
        for length in (0..content.len()).step_by(97).chain(page_ends) {
            let cut = disk.snapshot();
            cut.put(&name, content[..length].to_vec());
            crashes += crash_at_every_operation_of_recovery(&cut, &format!("{name} cut to {length}"));
        }
    }
    around_every_write(|operation, before, after, _| {
        crashes += crash_at_every_operation_of_recovery(before, &format!("in front of {operation:?}"));
        crashes += crash_at_every_operation_of_recovery(after, &format!("behind {operation:?}"));
    });
    assert!(crashes > 1000, "{crashes}");
}

/// Whatever recovery would find, it finds after it was itself ended anywhere. Returns how many ends were tried.
pub(crate) fn crash_at_every_operation_of_recovery(damaged: &MemoryStorage, what: &str) -> usize {
    let calm = damaged.snapshot();
    calm.start_trace();
    let (_log, found) = Log::open(calm.clone(), options()).unwrap();
    let expected = State::replay(&found);
    let operations = calm.trace();
    let mut crashes = 0;
    for (number, operation) in operations.iter().enumerate() {
        let partial = match operation {
            Operation::Write { length_bytes, .. } => vec![0, length_bytes / 2, *length_bytes],
            _ => vec![0],
        };
        for arriving_bytes in partial {
            let disk = damaged.snapshot();
            disk.set_fault(Some(Fault { operation: number, arriving_bytes, effect: FaultEffect::Crash }));
            let opened = Log::open(disk.clone(), options());
            assert!(opened.is_err(), "{what}: an operation failed in silence: {operation:?}");
            drop(opened);
            let (state, report) = recover(&disk.snapshot());
            assert_eq!(state, expected, "{what}, then crash at {operation:?}: {report:?}");
            crashes += 1;
        }
    }
    crashes
}
