//! Room may run out at any time.

use journal::{AppendError, CheckpointError, Finding, Log, MemoryStorage, Rule};

use crate::common::{State, options, payload, recover};

#[test]
fn a_full_file_system_is_an_error_before_the_write() {
    let disk = MemoryStorage::new();
    disk.set_capacity(Some(2 * 8192));
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let mut state = State::default();
    let error = loop {
        let payload = payload(state.count as usize, 500);
        match log.append(&payload) {
            Ok(_) => state.apply(&payload),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::NoRoom { needed_bytes: 8192 }), "{error}");
    let before = disk.files();
    let next = log.next_sequence();
    assert!(matches!(log.append(&[1; 500]), Err(AppendError::NoRoom { .. })));
    assert_eq!((disk.files(), log.next_sequence()), (before, next));
    // What is smaller than the rest of the segment still has its place.
    log.append(b"small").unwrap();
    state.apply(b"small");
    drop(log);
    disk.set_capacity(Some(4 * 8192));
    assert_eq!(recover(&disk).0, state);
}

#[test]
fn with_checkpoints_a_small_room_lasts_for_ever() {
    let disk = MemoryStorage::new();
    disk.set_capacity(Some(2 * 8192 + 600));
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let mut state = State::default();
    for number in 0..3000 {
        let payload = payload(number, number * 13 % 3000);
        if let Err(error) = log.append(&payload) {
            assert!(matches!(error, AppendError::NoRoom { .. }), "{error}");
            log.checkpoint(&state.to_bytes()).unwrap();
            log.append(&payload).unwrap();
        }
        state.apply(&payload);
        if number % 100 == 0 {
            drop(log);
            let (reopened, found) = Log::open(disk.clone(), options()).unwrap();
            assert_eq!(State::replay(&found), state, "{:?}", found.report);
            log = reopened;
        }
    }
}

#[test]
fn a_checkpoint_without_room_leaves_everything_as_it_was() {
    let disk = MemoryStorage::new();
    disk.set_capacity(Some(8192 + 100));
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.append(b"one").unwrap();
    let before = disk.files();
    let error = log.checkpoint(&[1; 5000]).unwrap_err();
    assert!(matches!(error, CheckpointError::NoRoom { needed_bytes: 5096 }), "{error}");
    assert_eq!(disk.files(), before);
    log.append(b"two").unwrap();
}

#[test]
fn an_open_without_any_room_finds_everything_and_destroys_nothing() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    for number in 0..20 {
        log.append(&payload(number, 1000)).unwrap();
    }
    drop(log);
    // Damage in the first of three segments.
    let name = "segment-0000000000000001";
    let mut content = disk.take(name).unwrap();
    content[3000] ^= 1;
    disk.put(name, content);
    disk.set_capacity(Some(0));
    let before = disk.files();
    for _ in 0..2 {
        let (mut log, found) = Log::open(disk.clone(), options()).unwrap();
        assert_eq!(found.frames.len(), 2, "{:?}", found.report);
        assert!(found.report.findings.contains(&Finding::NoRoomForRepair));
        assert!(log.next_sequence() > 20);
        assert!(matches!(log.append(b"x"), Err(AppendError::NoRoom { .. })));
        assert_eq!(disk.files(), before);
    }
    disk.set_capacity(None);
    let (_log, found) = Log::open(disk.clone(), options()).unwrap();
    assert!(found.report.applied(Rule::DamagedMiddle) && found.frames.len() == 2);
    assert_eq!(disk.files().keys().filter(|name| name.starts_with("quarantine/")).count(), 3);
}

#[test]
fn what_was_kept_for_study_goes_before_the_journal_stops() {
    let disk = MemoryStorage::new();
    disk.put("quarantine/segment-0000000000000001-before-0000000000000002", vec![1; 8192]);
    disk.set_capacity(Some(2 * 8192));
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    for number in 0..10 {
        log.append(&payload(number, 1000)).unwrap();
    }
    assert_eq!(disk.files().len(), 2);
}

/// Appends frames of 500 bytes until one needs a new segment for which there is no room.
fn fill(log: &mut Log<MemoryStorage>, state: &mut State) {
    loop {
        let payload = payload(state.count as usize, 500);
        match log.append(&payload) {
            Ok(_) => state.apply(&payload),
            Err(error) => return assert!(matches!(error, AppendError::NoRoom { .. }), "{error}"),
        }
    }
}

#[test]
fn the_checkpoint_before_the_newest_gives_way_with_its_segments() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let mut state = State::default();
    disk.set_capacity(Some(8192));
    fill(&mut log, &mut state);
    // One checkpoint in the first segment, the next one in the second, and room for no third.
    disk.set_capacity(Some(8192 + 300));
    log.checkpoint(&state.to_bytes()).unwrap();
    disk.set_capacity(Some(2 * 8192 + 600));
    log.append(&payload(state.count as usize, 500)).unwrap();
    state.apply(&payload(state.count as usize, 500));
    log.checkpoint(&state.to_bytes()).unwrap();
    assert_eq!(disk.files().len(), 4, "{:?}", disk.files().keys());
    for _ in 0..20 {
        let payload = payload(state.count as usize, 500);
        log.append(&payload).unwrap();
        state.apply(&payload);
    }
    assert_eq!(disk.files().len(), 3, "{:?}", disk.files().keys());
    drop(log);
    disk.set_capacity(None);
    assert_eq!(recover(&disk).0, state);
}

#[test]
fn the_checkpoint_before_the_newest_gives_way_although_it_has_no_segment_of_its_own() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.checkpoint(&[1; 8192]).unwrap();
    log.append(&payload(1, 500)).unwrap();
    log.checkpoint(&[2; 300]).unwrap();
    let used: usize = disk.files().values().map(Vec::len).sum();
    disk.set_capacity(Some(used as u64));
    for number in 2..=20 {
        log.append(&payload(number, 500)).unwrap();
    }
    let checkpoints = disk.files().keys().filter(|name| name.starts_with("checkpoint-")).count();
    assert_eq!(checkpoints, 1, "{:?}", disk.files().keys());
}

#[test]
fn a_full_segment_gives_way_once_a_checkpoint_has_all_of_it() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let mut state = State::default();
    disk.set_capacity(Some(8192 + 600));
    for _ in 0..3 {
        fill(&mut log, &mut state);
        log.checkpoint(&state.to_bytes()).unwrap();
        let payload = payload(state.count as usize, 500);
        log.append(&payload).unwrap();
        state.apply(&payload);
    }
    drop(log);
    disk.set_capacity(None);
    assert_eq!(recover(&disk).0, state);
}
