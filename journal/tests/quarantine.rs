//! A frame may make its reader fail, again and again.

use journal::{Durability, Fault, FaultEffect, Log, MemoryStorage, Operation, Options, QuarantineError, Severity};

use crate::common::{State, options, payload, recover};

fn twenty_frames() -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    for number in 1..=20 {
        assert_eq!(log.append(&payload(number, 1000)).unwrap(), number as u64);
        if number == 3 {
            log.checkpoint(b"0123456789abcdef").unwrap();
        }
    }
    disk
}

#[test]
fn frames_from_a_number_on_are_set_aside_for_good() {
    for sequence in 4..=20 {
        let disk = twenty_frames();
        let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
        let quarantined = log.quarantine_from(sequence).unwrap();
        assert_eq!(quarantined.frames, 21 - sequence);
        assert_eq!(log.next_sequence(), 21);
        assert!(disk.files().keys().any(|name| name.starts_with("quarantine/segment-")));
        for file in &quarantined.files {
            assert!(disk.files().contains_key(file), "{file}");
        }
        assert_eq!(log.append(b"after").unwrap(), 21);
        drop(log);
        let (_log, found) = Log::open(disk, options()).unwrap();
        let found_sequences: Vec<u64> = found.frames.iter().map(|frame| frame.sequence).collect();
        let expected: Vec<u64> = (4..sequence).chain([21]).collect();
        assert_eq!(found_sequences, expected);
        assert!(found.report.is_clean(), "{:?}", found.report);
    }
}

#[test]
fn nothing_newer_is_nothing_to_do_and_a_checkpoint_is_not_taken_apart() {
    let disk = twenty_frames();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let before = disk.files();
    assert_eq!(log.quarantine_from(21).unwrap().frames, 0);
    let error = log.quarantine_from(3).unwrap_err();
    assert!(matches!(error, QuarantineError::InCheckpoint { sequence: 3, checkpoint_sequence: 3 }));
    assert_eq!(disk.files(), before);
}

#[test]
fn crash_during_quarantine() {
    let calm = twenty_frames();
    let (mut log, _) = Log::open(calm.clone(), options()).unwrap();
    calm.start_trace();
    log.quarantine_from(9).unwrap();
    for operation in 0..calm.trace().len() {
        for arriving_bytes in [0, 40, 8192] {
            let disk = twenty_frames();
            let (mut log, found) = Log::open(disk.clone(), options()).unwrap();
            let whole = State::replay(&found);
            disk.set_fault(Some(Fault { operation, arriving_bytes, effect: FaultEffect::Crash }));
            assert!(log.quarantine_from(9).is_err());
            let (state, report) = recover(&disk.snapshot());
            let is_cut = state.count + 12 == whole.count;
            assert!(is_cut || state == whole, "operation {operation}: {report:?}");
            assert!(report.severity() <= Severity::Repaired, "{report:?}");
        }
    }
}

#[test]
fn a_quarantine_that_fails_leaves_a_log_that_works() {
    let calm = twenty_frames();
    let (mut log, _) = Log::open(calm.clone(), options()).unwrap();
    calm.start_trace();
    log.quarantine_from(9).unwrap();
    for operation in 0..calm.trace().len() {
        for effect in [FaultEffect::Fail, FaultEffect::NoRoom] {
            let disk = twenty_frames();
            let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
            disk.set_fault(Some(Fault { operation, arriving_bytes: 0, effect }));
            let outcome = log.quarantine_from(9);
            // Copies are for study, and so is what gives way to the segment that cuts: only what is not for want of room is an error.
            let is_expected = match (effect, &outcome) {
                (FaultEffect::NoRoom, Ok(quarantined)) => quarantined.frames == 12,
                (_, Err(QuarantineError::Storage(_))) => effect == FaultEffect::Fail,
                _ => false,
            };
            assert!(is_expected, "{effect:?} at operation {operation}: {outcome:?}");
            let sequence = log.append(b"after").unwrap();
            drop(log);
            let (_log, found) = Log::open(disk, options()).unwrap();
            assert_eq!(found.frames.last().unwrap().sequence, sequence, "{outcome:?}");
            if outcome.is_ok() {
                assert_eq!(found.frames.len(), 6);
            }
        }
    }
}

/// The checkpoint covers all but the last frame, and there is room for another segment only without the one that frame is in.
fn a_frame_too_many() -> (MemoryStorage, Log<MemoryStorage>) {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.append(&payload(1, 1000)).unwrap();
    log.checkpoint(b"0123456789abcdef").unwrap();
    log.append(&payload(2, 1000)).unwrap();
    disk.set_capacity(Some(disk.files().values().map(|content| content.len() as u64).sum()));
    (disk, log)
}

#[test]
fn what_gave_way_to_a_quarantine_that_fails_is_written_to() {
    let (calm, mut log) = a_frame_too_many();
    calm.start_trace();
    log.quarantine_from(2).unwrap();
    let trace = calm.trace();
    assert!(trace.iter().any(|operation| matches!(operation, Operation::Remove { .. })), "{trace:?}");
    for operation in 0..trace.len() {
        let (disk, mut log) = a_frame_too_many();
        disk.set_fault(Some(Fault { operation, arriving_bytes: 0, effect: FaultEffect::Fail }));
        let is_err = log.quarantine_from(2).is_err();
        // The state without that frame is put into a checkpoint before anything else is appended.
        disk.set_capacity(None);
        log.checkpoint(b"fedcba9876543210").unwrap();
        let sequence = log.append(b"after").unwrap();
        drop(log);
        let (_log, found) = Log::open(disk, options()).unwrap();
        let checkpoint = found.checkpoint.map(|checkpoint| checkpoint.state);
        assert_eq!(checkpoint.as_deref(), Some(&b"fedcba9876543210"[..]), "operation {operation}, {is_err}");
        let sequences: Vec<u64> = found.frames.iter().map(|frame| frame.sequence).collect();
        assert_eq!(sequences, [sequence], "operation {operation} of {trace:?}: {:?}", found.report);
    }
}

#[test]
fn names_in_the_quarantine_survive_a_loss_of_power() {
    let options = Options { durability: Durability::Fsync, ..options() };
    // Frame 9 is in the middle of a segment, and others follow it; frame 20 has none behind it, so there is only a copy.
    for (sequence, moves) in [(9, 1), (20, 0)] {
        let disk = twenty_frames();
        let (mut log, _) = Log::open(disk.clone(), options).unwrap();
        disk.start_trace();
        let quarantined = log.quarantine_from(sequence).unwrap();
        assert_eq!(quarantined.files.len(), moves);
        let trace = disk.trace();
        let syncs_behind = trace.iter().rev().take_while(|operation| matches!(operation, Operation::Sync)).count();
        assert_eq!(syncs_behind, 1, "{trace:?}");
    }
}
