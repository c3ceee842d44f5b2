//! Every row of the repair table, one test each: what is found, what is done, and that it is done once.

use journal::{Finding, Identity, Log, MemoryStorage, OpenError, Options, Rule, SegmentHeader, Severity, verify};

use crate::common::{State, options, payload, recover};

/// Frames of 1000 bytes, seven in a segment; a checkpoint behind each of those numbers.
fn life(frames: usize, checkpoints: &[usize]) -> (MemoryStorage, Vec<State>) {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let mut states = vec![State::default()];
    for number in 1..=frames {
        let payload = payload(number, 1000);
        log.append(&payload).unwrap();
        let mut state = *states.last().unwrap();
        state.apply(&payload);
        states.push(state);
        if checkpoints.contains(&number) {
            log.checkpoint(&state.to_bytes()).unwrap();
        }
    }
    (disk, states)
}

fn segment(number: u64) -> String {
    format!("segment-{number:016x}")
}

fn damage(disk: &MemoryStorage, name: &str, at: usize) {
    let mut content = disk.take(name).unwrap();
    content[at] ^= 0x20;
    disk.put(name, content);
}

fn quarantined(disk: &MemoryStorage) -> Vec<String> {
    let files = disk.files().into_keys();
    files.filter_map(|name| name.strip_prefix("quarantine/").map(str::to_owned)).collect()
}

/// What is found, as rules.
fn rules(report: &journal::Report) -> Vec<Rule> {
    let mut rules: Vec<Rule> = report.findings.iter().map(Finding::rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn every_rule_is_in_the_repair_table() {
    let format = include_str!("../FORMAT.md");
    for rule in Rule::ALL {
        let severity = match rule.severity() {
            Severity::Note => "note",
            Severity::Repaired => "repaired",
            Severity::Loss => "loss",
            Severity::Refused => "refused",
        };
        let row = format!("| `{}` | {severity} |", rule.name());
        assert!(format.contains(&row), "no row {row}");
    }
    let rows = format.lines().filter(|line| line.starts_with("| `") && line.contains("` | ")).count();
    assert_eq!(rows, Rule::ALL.len(), "a row without a rule");
}

#[test]
fn empty_directory() {
    let disk = MemoryStorage::new();
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (State::default(), vec![Rule::EmptyDirectory]));
}

#[test]
fn torn_tail_is_cut() {
    let (disk, states) = life(5, &[]);
    let mut content = disk.take(&segment(1)).unwrap();
    // The last frame crosses into the second page by nothing: its page has not arrived.
    content[4096 + 1024 + 500..].fill(0);
    disk.put(&segment(1), content);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[4], vec![Rule::TornTail]));
    assert!(quarantined(&disk).is_empty());
}

#[test]
fn torn_padding_is_cut() {
    let (disk, states) = life(3, &[]);
    let mut content = disk.take(&segment(1)).unwrap();
    content[88 + 3 * 1024..4096].copy_from_slice(&b"SuPadPad".repeat(117));
    disk.put(&segment(1), content);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[3], vec![Rule::TornTail]));
}

#[test]
fn damaged_middle_is_replayed_up_to_and_set_aside() {
    let (disk, states) = life(20, &[]);
    damage(&disk, &segment(1), 88 + 1024 + 300);
    let (log, found) = Log::open(disk.snapshot(), options()).unwrap();
    assert!(log.next_sequence() > 20, "a number may be used twice");
    drop(log);
    assert!(found.report.severity() == Severity::Loss);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[1], vec![Rule::DamagedMiddle, Rule::UnreachableSegment]));
    assert_eq!(quarantined(&disk).len(), 3);
}

#[test]
fn damaged_middle_of_the_last_segment() {
    let (disk, states) = life(5, &[]);
    damage(&disk, &segment(1), 88 + 1024 + 300);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[1], vec![Rule::DamagedMiddle]));
    assert_eq!(quarantined(&disk).len(), 1);
}

#[test]
fn missing_segment() {
    let (disk, states) = life(20, &[]);
    disk.take(&segment(2)).unwrap();
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[7], vec![Rule::MissingSegment, Rule::UnreachableSegment]));
    assert!(report.findings.contains(&Finding::MissingSegment { number: 2 }));
    assert_eq!(quarantined(&disk), ["segment-0000000000000003-before-0000000000000005"]);
}

#[test]
fn missing_base() {
    let (disk, _) = life(20, &[]);
    disk.take(&segment(1)).unwrap();
    let (log, _) = Log::open(disk.snapshot(), options()).unwrap();
    assert!(log.next_sequence() > 20, "a number may be used twice");
    drop(log);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (State::default(), vec![Rule::MissingBase, Rule::UnreachableSegment]));
}

#[test]
fn superseded_segment_of_an_interrupted_repair() {
    let (disk, states) = life(20, &[]);
    damage(&disk, &segment(1), 88 + 1024 + 300);
    let later = [segment(2), segment(3)].map(|name| (name.clone(), disk.files()[&name].clone()));
    recover(&disk);
    for (name, content) in later {
        disk.put(&name, content);
    }
    let (log, found) = Log::open(disk.clone(), options()).unwrap();
    drop(log);
    assert_eq!(rules(&found.report), [Rule::SupersededSegment]);
    let mut expected = states[1];
    expected.apply(b"life goes on");
    assert_eq!(recover(&disk).0, expected);
}

#[test]
fn damaged_header() {
    let (disk, states) = life(20, &[]);
    damage(&disk, &segment(2), 45);
    let (state, report) = recover(&disk);
    let expected = vec![Rule::MissingSegment, Rule::UnreachableSegment, Rule::DamagedHeader];
    assert_eq!((state, rules(&report)), (states[7], expected));
    assert_eq!(quarantined(&disk).len(), 2);
}

#[test]
fn damaged_header_of_the_newest_segment() {
    let (disk, states) = life(20, &[]);
    damage(&disk, &segment(3), 45);
    let (log, _) = Log::open(disk.snapshot(), options()).unwrap();
    assert!(log.next_sequence() > 20, "a number may be used twice");
    drop(log);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[14], vec![Rule::DamagedHeader]));
}

#[test]
fn misplaced_segment_is_not_replayed_twice() {
    let (disk, states) = life(10, &[]);
    let copy = disk.files()[&segment(1)].clone();
    disk.put(&segment(9), copy);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[10], vec![Rule::MisplacedSegment]));
    assert_eq!(quarantined(&disk).len(), 1);
}

#[test]
fn short_segment() {
    let (disk, states) = life(5, &[]);
    let mut content = disk.take(&segment(1)).unwrap();
    content.truncate(7000);
    disk.put(&segment(1), content);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[5], vec![Rule::ShortSegment]));
}

#[test]
fn empty_segment() {
    for content in [Vec::new(), vec![0; 8192]] {
        let (disk, states) = life(5, &[]);
        disk.put(&segment(2), content);
        let (state, report) = recover(&disk);
        assert_eq!((state, rules(&report)), (states[5], vec![Rule::EmptySegment]));
    }
}

#[test]
fn no_segment_behind_the_checkpoint() {
    let (disk, states) = life(5, &[5]);
    disk.take(&segment(1)).unwrap();
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[5], vec![Rule::NoSegment]));
}

#[test]
fn damaged_checkpoint_falls_back_and_loses_nothing() {
    for at in [3, 70, 150] {
        let (disk, states) = life(40, &[10, 20, 30]);
        damage(&disk, "checkpoint-000000000000001e", at);
        let (state, report) = recover(&disk);
        assert_eq!((state, rules(&report)), (states[40], vec![Rule::DamagedCheckpoint]));
        assert_eq!(report.checkpoint_sequence, Some(20));
        assert_eq!(quarantined(&disk).len(), 1);
    }
}

#[test]
fn damaged_first_checkpoint_falls_back_to_the_beginning() {
    let (disk, states) = life(20, &[10]);
    damage(&disk, "checkpoint-000000000000000a", 150);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[20], vec![Rule::DamagedCheckpoint]));
}

#[test]
fn redundant_files_are_removed() {
    let (disk, states) = life(30, &[10, 20]);
    let old = disk.files();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.checkpoint(&states[30].to_bytes()).unwrap();
    drop(log);
    let kept = disk.files();
    for (name, content) in old {
        if !kept.contains_key(&name) {
            disk.put(&name, content);
        }
    }
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[30], vec![Rule::RedundantFile]));
    assert_eq!(disk.files().into_keys().collect::<Vec<_>>(), kept.into_keys().collect::<Vec<_>>());
}

#[test]
fn leftover_temporary_is_removed_and_unknown_file_left_alone() {
    let (disk, states) = life(5, &[]);
    disk.put("checkpoint-0000000000000005.new", vec![1; 10]);
    disk.put("segment-2.bak", vec![1; 10]);
    let (log, found) = Log::open(disk.clone(), options()).unwrap();
    drop(log);
    assert_eq!(rules(&found.report), [Rule::LeftoverTemporary, Rule::UnknownFile]);
    assert_eq!(State::replay(&found), states[5]);
    let names: Vec<String> = disk.files().into_keys().collect();
    assert_eq!(names, [segment(1), "segment-2.bak".to_owned()]);
}

#[test]
fn foreign_boot_and_namespace_are_told_until_the_caller_has_said_so() {
    let (disk, states) = life(5, &[3]);
    let boot = Identity { boot_id: [9; 16], ..options().identity };
    let namespace = Identity { pid_namespace: 1, ..options().identity };
    for (identity, rule) in [(boot, Rule::ForeignBoot), (namespace, Rule::ForeignPidNamespace)] {
        let disk = disk.snapshot();
        let options = Options { identity, ..options() };
        for _ in 0..2 {
            // A crash before the first append changes nothing about whose the journal is.
            let (_log, found) = Log::open(disk.clone(), options).unwrap();
            assert_eq!(rules(&found.report), [rule]);
            assert_eq!((State::replay(&found), found.identity), (states[5], Some(crate::common::options().identity)));
        }
        let (mut log, _) = Log::open(disk.clone(), options).unwrap();
        log.append(b"no pid of before is believed").unwrap();
        drop(log);
        let (_log, found) = Log::open(disk.clone(), options).unwrap();
        assert_eq!((rules(&found.report), found.identity), (vec![], Some(identity)));
        assert_eq!(State::replay(&found).count, 6);
    }
}

#[test]
fn newer_version_is_refused_and_not_touched() {
    for name in [segment(1), "checkpoint-0000000000000003".to_owned()] {
        let (disk, _) = life(5, &[3]);
        let mut content = disk.take(&name).unwrap();
        content[8] = 2;
        let end = u16::from_le_bytes([content[10], content[11]]) as usize;
        let crc = crc32fast::hash(&content[..end - 4]).to_le_bytes();
        content[end - 4..end].copy_from_slice(&crc);
        disk.put(&name, content);
        disk.put("segment-0000000000000002.new", vec![1; 10]);
        let before = disk.files();
        let error = Log::open(disk.clone(), options()).unwrap_err();
        assert!(matches!(error, OpenError::NewerVersion { found: 2, supported: 1, .. }), "{error}");
        assert_eq!(verify(&disk).unwrap().severity(), Severity::Refused);
        assert_eq!(disk.files(), before);
    }
}

#[test]
fn forged_numbers_overflow_nothing() {
    let header = |number, first_sequence| SegmentHeader {
        identity: options().identity,
        number,
        first_sequence,
        previous: 0,
        previous_end: 0,
        capacity: 8192,
        seed: 0,
    };
    for number in [1, (1 << 62) - 2, (1 << 62) - 1, 1 << 62, u64::MAX] {
        for first_sequence in [0, 1, 1 << 62, (1 << 62) + 1, u64::MAX] {
            let disk = MemoryStorage::new();
            let mut content = header(number, first_sequence).encode().to_vec();
            content.resize(8192, 0);
            disk.put(&segment(number), content);
            match Log::open(disk, options()) {
                Ok((mut log, _)) => drop(log.append(b"x")),
                Err(error) => assert!(matches!(error, OpenError::NumbersExhausted), "{error}"),
            }
        }
    }
}

#[test]
fn an_undamaged_header_may_say_anything_at_all() {
    let positions = [0, 1, 88, 4096, 8191, 8192, u64::MAX];
    for previous in [0, 1, 2] {
        for previous_end in positions {
            for first_sequence in [1, 5, 6, 7, 1 << 62] {
                let (disk, states) = life(5, &[2]);
                let forged = SegmentHeader {
                    identity: options().identity,
                    number: 3,
                    first_sequence,
                    previous,
                    previous_end,
                    capacity: 8192,
                    seed: 1,
                };
                let mut content = forged.encode().to_vec();
                content.resize(8192, 0);
                disk.put(&segment(3), content);
                let (log, found) = Log::open(disk.clone(), options()).unwrap();
                drop(log);
                let state = State::replay(&found);
                assert!(states.contains(&state));
                let (_log, again) = Log::open(disk, options()).unwrap();
                assert_eq!(State::replay(&again), state);
            }
        }
    }
}

#[test]
fn a_checkpoint_under_the_name_of_another_is_not_believed() {
    let (disk, states) = life(10, &[5]);
    let name = |number: u64| format!("checkpoint-{number:016x}");
    let content = disk.take(&name(5)).unwrap();
    disk.put(&name(4), content);
    let (state, report) = recover(&disk);
    assert_eq!((state, rules(&report)), (states[10], vec![Rule::DamagedCheckpoint]));
    assert!(quarantined(&disk)[0].starts_with(&name(4)), "{:?}", quarantined(&disk));
}

#[test]
fn what_was_read_is_told_to_the_byte() {
    // 88 bytes of header and seven frames of 1,024 up to the end of two pages, where the eighth does not fit; three more.
    for (frames, segments, bytes) in [(0, 1, 0), (1, 1, 1024), (7, 1, 8192 - 88), (10, 2, 8192 - 88 + 3 * 1024)] {
        let (disk, _) = life(frames, &[]);
        let report = recover(&disk).1;
        assert_eq!((report.frames, report.segments, report.frame_bytes), (frames as u64, segments, bytes));
    }
}

/// Names of the segments after the journal was opened and written to.
fn segments_after_an_append(disk: &MemoryStorage) -> Vec<String> {
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.append(b"one more").unwrap();
    disk.files().into_keys().filter(|name| name.starts_with("segment-")).collect()
}

#[test]
fn a_bad_segment_of_the_past_does_not_end_the_one_that_is_written_to() {
    let (disk, _) = life(40, &[10, 20, 30]);
    let before: Vec<String> = disk.files().into_keys().filter(|name| name.starts_with("segment-")).collect();
    assert!(!before.contains(&segment(1)), "{before:?}");
    disk.put(&segment(1), vec![0xAA; 8192]);
    assert_eq!(segments_after_an_append(&disk), before);
    // One of the future has used numbers that nobody knows: what is written from now on goes behind it.
    disk.put(&segment(9), vec![0xAA; 8192]);
    let mut after = before.clone();
    after.push(segment(10));
    assert_eq!(segments_after_an_append(&disk), after);
}

#[test]
fn a_forged_number_does_not_use_up_all_numbers() {
    let (disk, _) = life(3, &[]);
    disk.put(&segment((1 << 61) + 1), vec![0xAA; 8192]);
    assert_eq!(segments_after_an_append(&disk), [segment(1), segment(2)]);
}
