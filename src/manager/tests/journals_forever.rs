//! What an earlier version has written is read by every later one, to the same state.
//!
//! `cargo test -p stayup-manager --test journals_forever -- --ignored` writes the journals of this version anew, from the
//! life in `life`; see `tests/journals/README.md` for when that is right.
#![allow(clippy::unwrap_used)]

mod journals;
#[path = "../../machine/tests/world/mod.rs"]
mod world;

mod life;

use std::collections::BTreeSet;
use std::fs;

use journal::{Fault, FaultEffect, FileStorage, Finding, Log, MemoryStorage, Operation, Rule};
use journals::{KINDS, all, folder, kind, listing, options, recover};
use machine::effect::Caller;
use machine::job::Cause;
use machine::state::State;
use record::{Origin, Stamp, Who};

#[test]
fn every_journal_ever_written_still_replays() {
    for (name, disk) in all() {
        let found = recover(&disk).unwrap();
        assert!(!found.recovery.is_rebuilt, "{name}: {found:?}");
        let expected = fs::read_to_string(folder().join(&name).join("state.txt")).unwrap();
        assert_eq!(listing(&found.state), expected, "{name}");
        // The torn tail is cut, and that is all there is to mend.
        assert!(matches!(&found.report.findings[..], [Finding::TornTail { .. }]), "{name}: {:?}", found.report);
    }
}

#[test]
fn real_files_replay_to_the_same_state() {
    let place = std::env::temp_dir().join(format!("stayup-journals-{}", std::process::id()));
    for (name, disk) in all() {
        let directory = place.join(&name);
        fs::create_dir_all(&directory).unwrap();
        for (file, content) in disk.files() {
            fs::write(directory.join(file), content).unwrap();
        }
        let (_log, found) = Log::open(FileStorage::at(&directory).unwrap(), options()).unwrap();
        let (_other, expected) = Log::open(disk.snapshot(), options()).unwrap();
        assert_eq!((found.frames, found.checkpoint), (expected.frames, expected.checkpoint), "{name}");
    }
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn no_kind_of_change_is_missing() {
    let mut kinds = BTreeSet::new();
    for (_, disk) in all() {
        for name in disk.files().into_keys().filter(|name| name.starts_with("checkpoint-")) {
            disk.take(&name);
        }
        let (_log, found) = Log::open(disk, options()).unwrap();
        kinds.extend(
            found
                .frames
                .iter()
                .flat_map(|frame| record::decode_changes(&frame.payload).unwrap())
                .map(|change| kind(&change)),
        );
    }
    let missing: Vec<_> = KINDS.iter().filter(|kind| !kinds.contains(**kind)).collect();
    assert!(missing.is_empty(), "no journal has a {missing:?}");
    let next = record::decode_changes(&[1, 1, u8::try_from(KINDS.len()).unwrap()]).unwrap_err().to_string();
    let expected = format!("0 <= i < {}", KINDS.len());
    assert!(next.contains(&expected), "there are new kinds of change; see tests/journals/README.md: {next}");
}

/// Which journals there are of one life: checkpoints after so many tenths of its frames.
const JOURNALS: [(&str, &[usize]); 2] = [("one-checkpoint", &[7]), ("two-checkpoints", &[4, 8])];

#[test]
#[ignore = "writes the journals of this version"]
fn write_the_journals_of_this_version() {
    let frames = life::frames();
    for (name, tenths) in JOURNALS {
        let place = folder().join(format!("record-{}-{name}", record::VERSION));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("journal")).unwrap();
        let disk = written(&frames, tenths);
        for (file, content) in disk.files() {
            fs::write(place.join("journal").join(file), content).unwrap();
        }
        let found = recover(&disk).unwrap();
        assert!(found.report.applied(Rule::TornTail), "{found:?}");
        fs::write(place.join("state.txt"), listing(&found.state)).unwrap();
    }
}

/// A frame's content. The origins that there are take turns: replay has no use for them, but must get past them.
fn record_of(at: usize, changes: &[machine::change::Change]) -> Vec<u8> {
    let boot_us = 10_000_000 + 1000 * at as u64;
    let stamp = Stamp { boot_us, wall_us: 1_700_000_000_000_000 + boot_us };
    let caller = Caller { connection: 3, serial: 8, sender: Some(":1.7".into()) };
    let who = Some(Who { uid: 1000, pid: 77, program: "initctl".into() });
    let (ticket, class) = (at as u64, String::from("web"));
    let origins = [
        Origin::Settings,
        Origin::RollCall { is_restart: true, reason: "the death of the manager by SIGKILL".into() },
        Origin::Startup,
        Origin::JobFile { class: class.clone() },
        Origin::JobFileGone { class },
        Origin::Call { caller, method: "start".into(), subject: "web".into(), who },
        Origin::Disconnected { connection: 3 },
        Origin::Spawned { ticket },
        Origin::SpawnFailed { ticket, reason: "unable to execute".into() },
        Origin::Forked { ticket },
        Origin::Stopped { ticket },
        Origin::Ready { ticket },
        Origin::Exited { ticket, cause: Cause::Signal(9) },
        Origin::Signalled { ticket },
        Origin::Signal { name: "reload".into() },
        Origin::LogPriority,
        Origin::Performed,
        Origin::Tick,
        Origin::Unknown,
    ];
    let mut payload = Vec::new();
    record::encode_turn(stamp, &origins[at % origins.len()], changes, &mut payload).unwrap();
    payload
}

/// The journal of a manager that died in the middle of its last append.
fn written(frames: &[Vec<machine::change::Change>], tenths: &[usize]) -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let mut state = State::default();
    let (last, whole) = frames.split_last().unwrap();
    for (at, frame) in whole.iter().enumerate() {
        if tenths.iter().any(|tenth| at == frames.len() * tenth / 10) {
            log.checkpoint(&record::encode_state(&state).unwrap()).unwrap();
        }
        log.append(&record_of(at, frame)).unwrap();
        frame.iter().for_each(|change| state.apply(change, &mut Vec::new()));
    }
    let payload = record_of(whole.len(), last);
    // The last frame may begin a segment first.
    let rehearsal = disk.snapshot();
    let (mut other, _) = Log::open(rehearsal.clone(), options()).unwrap();
    rehearsal.start_trace();
    other.append(&payload).unwrap();
    let operation = rehearsal.trace().len() - 1;
    assert!(matches!(rehearsal.trace()[operation], Operation::Write { .. }));
    let arriving_bytes = payload.len() / 2;
    disk.set_fault(Some(Fault { operation, arriving_bytes, effect: FaultEffect::Crash }));
    log.append(&payload).unwrap_err();
    disk.snapshot()
}
