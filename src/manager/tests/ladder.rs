//! How far down a recovery goes, what it believes on the way, and what it says of it. Whole inits on every rung are in the
//! system's tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use journal::{Durability, Identity, Log, MemoryStorage, Options};
use keeper::protocol::{ExitStatus, Occasion, Reason};
use machine::change::Change;
use machine::effect::Nobody;
use machine::state::State;
use manager::dbus::Detail;
use manager::resume::{Recovery, Resumed, Rung, describe, go_on, is_patient, resume};
use record::{Origin, Stamp};

const OPTIONS: Options = Options {
    segment_bytes: 4096,
    checkpoint_bytes: 1 << 20,
    durability: Durability::None,
    identity: Identity { boot_id: [1; 16], pid_namespace: 1 },
};

fn change(number: u64) -> Change {
    Change::Restarted { generation: number }
}

/// A journal with a checkpoint or without, and so many frames after it.
fn journal(has_checkpoint: bool, frames: u64) -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), OPTIONS).unwrap();
    if has_checkpoint {
        log.checkpoint(&record::encode_state(&State::default()).unwrap()).unwrap();
    }
    for number in 1..=frames {
        let mut frame = Vec::new();
        record::encode_turn(Stamp::default(), &Origin::Tick, &[change(number)], &mut frame).unwrap();
        log.append(&frame).unwrap();
    }
    disk
}

fn occasion(reason: Reason, failed_starts: u32) -> Occasion {
    Occasion { reason, failed_starts, restarts: 1, session: 1 }
}

fn killed(failed_starts: u32) -> Occasion {
    occasion(Reason::ManagerEnded(ExitStatus::Signal { signal: 9, core_dumped: false }), failed_starts)
}

fn come_back(disk: &MemoryStorage, occasion: &Occasion) -> Resumed<MemoryStorage> {
    go_on(Some(Log::open(disk.clone(), OPTIONS).unwrap()), occasion, Recovery::default())
}

/// The state after so many frames.
fn after(frames: u64) -> u32 {
    let mut state = State::default();
    (1..=frames).for_each(|number| state.apply(&change(number), &mut Nobody));
    record::digest(&state).unwrap()
}

/// A directory that is gone with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stayup-ladder-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_sound_is_replayed_and_nothing_is_said_of_it() {
    for (has_checkpoint, frames) in [(false, 1), (false, 500), (true, 0), (true, 1), (true, 500)] {
        for (failed_starts, leaves_it_to_the_next) in [(0, true), (1, true), (2, false)] {
            // Who does not wait for a medium any longer does not suspect frames for that yet.
            assert_eq!(is_patient(&killed(failed_starts)), leaves_it_to_the_next);
            let found = come_back(&journal(has_checkpoint, frames), &killed(failed_starts));
            assert_eq!(record::digest(&found.state).unwrap(), after(frames), "{has_checkpoint} {frames}");
            let recovery = found.recovery;
            assert_eq!((recovery.frames, recovery.sequence, recovery.rung), (frames, frames, Rung::Replay));
            assert!(recovery.findings.is_empty() && recovery.set_aside.is_empty(), "{recovery:?}");
            assert!(!recovery.is_rebuilt && !recovery.needs_checkpoint && found.journal.is_some());
            assert_eq!(recovery.summary(), None);
        }
    }
}

/// Who believes too much ends as those before did; who believes too little forgets jobs.
#[test]
fn with_each_manager_that_fails_ten_times_as_many_frames_are_set_aside() {
    const FRAMES: u64 = 1500;
    for (failed_starts, suspects) in [(3, 1), (4, 10), (5, 100), (6, 1000)] {
        let disk = journal(false, FRAMES);
        let kept = FRAMES - suspects;
        let found = come_back(&disk, &killed(failed_starts));
        assert_eq!(record::digest(&found.state).unwrap(), after(kept), "{failed_starts}");
        let mut recovery = found.recovery;
        assert_eq!((recovery.frames, recovery.rung), (kept, Rung::Suspicion));
        assert!(!recovery.is_rebuilt && !recovery.needs_checkpoint && !recovery.set_aside.is_empty(), "{recovery:?}");
        let says = |text: &str| recovery.findings.iter().any(|finding| finding.contains(text));
        assert!(says(&format!("the newest {suspects} frames are not believed")), "{:?}", recovery.findings);
        assert!(says(&format!("{suspects} frames from {} on were set aside", kept + 1)), "{:?}", recovery.findings);
        recovery.keep(7);
        let summary = recovery.summary().unwrap();
        let kept_words = format!("rung 3 of the ladder (suspicion): kept {kept} frames up to {FRAMES}, 7 processes;");
        assert!(summary.contains(&kept_words) && summary.contains("set aside: quarantine/"), "{summary}");
        drop(found.journal);
        // The next one finds neither them nor a reason to say more.
        let next = come_back(&disk, &killed(0));
        assert_eq!(record::digest(&next.state).unwrap(), after(kept), "{failed_starts}");
        assert_eq!(next.recovery.rung, Rung::Replay);
    }
}

#[test]
fn in_the_end_nothing_is_believed() {
    for (has_checkpoint, failed_starts) in [(false, 7), (true, 7), (true, 20)] {
        let disk = journal(has_checkpoint, 30);
        let found = come_back(&disk, &killed(failed_starts));
        assert_eq!(record::digest(&found.state).unwrap(), after(0));
        let mut recovery = found.recovery;
        assert!(recovery.is_rebuilt && recovery.needs_checkpoint && recovery.frames == 0, "{recovery:?}");
        assert_eq!(recovery.rung, Rung::Rebuilt);
        assert!(recovery.findings[0].contains(&format!("{failed_starts} managers have failed on this journal")));
        assert!(recovery.findings[1].contains("30 frames from 1 on were set aside"), "{:?}", recovery.findings);
        recovery.keep(0);
        assert_eq!(recovery.kept, "nothing of the journal, 0 processes");
    }
    // Few frames are no reason to fail.
    let found = come_back(&journal(true, 3), &killed(5));
    assert_eq!((found.recovery.frames, found.recovery.is_rebuilt), (0, false));
    let found = come_back(&journal(true, 0), &killed(6));
    assert!(found.recovery.findings.is_empty() && found.recovery.rung == Rung::Replay, "{:?}", found.recovery);
}

/// A journal without anything in it is the beginning of a first manager, and the loss of all for any other one.
#[test]
fn an_empty_journal_is_a_beginning_or_a_loss() {
    for (reason, is_rebuilt) in [(Reason::Boot, false), (Reason::Reexecuted, true), (Reason::ManagerHung, true)] {
        let empty = come_back(&MemoryStorage::new(), &occasion(reason, 0));
        assert_eq!(empty.recovery.is_rebuilt, is_rebuilt, "{reason:?}");
        let none: Resumed<MemoryStorage> = go_on(None, &occasion(reason, 0), Recovery::default());
        assert!(none.journal.is_none() && none.recovery.is_rebuilt == is_rebuilt, "{reason:?}");
        assert_eq!(none.recovery.rung, if is_rebuilt { Rung::Rebuilt } else { Rung::Replay });
    }
}

#[test]
fn what_cannot_be_read_is_set_aside_with_all_that_follows() {
    let disk = journal(false, 5);
    let (mut log, _) = Log::open(disk.clone(), OPTIONS).unwrap();
    log.append(&[99, 0]).unwrap();
    let mut frame = Vec::new();
    record::encode_turn(Stamp::default(), &Origin::Tick, &[change(7)], &mut frame).unwrap();
    log.append(&frame).unwrap();
    drop(log);
    let found = come_back(&disk, &killed(0));
    assert_eq!(record::digest(&found.state).unwrap(), after(5));
    assert_eq!((found.recovery.frames, found.recovery.rung), (5, Rung::Damage));
    assert!(found.recovery.findings[0].starts_with("frame 6: a record of version 99"), "{:?}", found.recovery.findings);
    assert!(
        found.recovery.findings[1].starts_with("2 frames from 6 on were set aside"),
        "{:?}",
        found.recovery.findings
    );

    drop(found);
    let (mut log, _) = Log::open(disk.clone(), OPTIONS).unwrap();
    log.checkpoint(&[99]).unwrap();
    drop(log);
    let found = come_back(&disk, &killed(0));
    assert!(found.recovery.is_rebuilt && found.recovery.needs_checkpoint, "{:?}", found.recovery);
    assert!(
        found.recovery.findings[0].starts_with("checkpoint 7: a record of version 99"),
        "{:?}",
        found.recovery.findings
    );
}

/// What the journal has found out about itself is for people, too.
#[test]
fn what_the_journal_has_lost_is_told() {
    let disk = journal(false, 400);
    let (name, mut content) = disk.files().into_iter().find(|(name, _)| name.starts_with("segment-")).unwrap();
    content[1000] ^= 4;
    disk.put(&name, content);
    let (log, recovered) = Log::open(disk, OPTIONS).unwrap();
    let losses: Vec<String> = recovered.report.findings.iter().map(ToString::to_string).collect();
    assert!(!losses.is_empty());
    let found = go_on(Some((log, recovered)), &killed(0), Recovery::default());
    assert!(found.recovery.frames < 400 && found.recovery.findings.starts_with(&losses), "{:?}", found.recovery);
}

/// Of a first manager, what lies there belonged to another keeper; of any other one, it is the past.
#[test]
fn only_a_first_manager_removes_what_lies_there() {
    let place = Place::new("first");
    let directory = place.journal();
    let first = resume(&directory, &occasion(Reason::Boot, 0)).unwrap();
    assert!(first.recovery.findings.iter().all(|finding| finding.contains("tmpfs")), "{:?}", first.recovery.findings);
    assert_eq!(first.recovery.reason, "the start");
    assert!(first.recovery.at > SystemTime::UNIX_EPOCH && first.recovery.took > Duration::ZERO);
    append(first, 3);
    let next = resume(&directory, &killed(0)).unwrap();
    assert_eq!((next.recovery.frames, &*next.recovery.reason), (3, "the death of the manager by SIGKILL"));
    drop(next);
    let first = resume(&directory, &occasion(Reason::Boot, 0)).unwrap();
    assert_eq!((first.recovery.frames, first.recovery.is_rebuilt), (0, false));
    drop(first);

    let file = place.0.join("file");
    fs::write(&file, "not a directory").unwrap();
    let told = resume(&file, &occasion(Reason::Boot, 0)).unwrap().recovery.findings;
    assert!(told.iter().any(|finding| finding.starts_with(&*file.to_string_lossy())), "{told:?}");
}

/// People look for what was set aside; a path from nowhere is of no use to them.
#[test]
fn what_is_set_aside_is_named_by_its_whole_path() {
    let place = Place::new("aside");
    let directory = place.journal();
    append(resume(&directory, &occasion(Reason::Boot, 0)).unwrap(), 20);
    let recovery = resume(&directory, &killed(4)).unwrap().recovery;
    assert!(!recovery.set_aside.is_empty());
    for path in &recovery.set_aside {
        assert!(path.starts_with(&*directory.to_string_lossy()) && Path::new(path).exists(), "{path}");
    }
}

fn append(resumed: Resumed<journal::FileStorage>, frames: u64) {
    let mut log = resumed.journal.unwrap();
    for number in 1..=frames {
        let mut frame = Vec::new();
        record::encode_turn(Stamp::default(), &Origin::Tick, &[change(number)], &mut frame).unwrap();
        log.append(&frame).unwrap();
    }
}

#[test]
fn everything_is_told_over_d_bus() {
    let mut recovery = Recovery {
        reason: "a re-exec".into(),
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
        rung: Rung::Damage,
        set_aside: vec!["/a".into(), "/b".into()],
        old_program: Some("/old".into()),
        frames: 12,
        sequence: 34,
        findings: vec!["one".into(), "two".into()],
        took: Duration::from_micros(77),
        ..Recovery::default()
    };
    recovery.keep(3);
    let (text, number) = (|text: &str| Detail::Text(text.into()), Detail::Number);
    let expected = [
        ("Reason", text("a re-exec")),
        ("Time", number(5_000_000)),
        ("Rung", number(2)),
        ("RungName", text("damage")),
        ("Kept", text("12 frames up to 34, 3 processes")),
        ("SetAside", text("/a\n/b")),
        ("OldProgram", text("/old")),
        ("Frames", number(12)),
        ("Sequence", number(34)),
        ("Findings", text("one\ntwo")),
        ("Rebuilt", Detail::Flag(false)),
        ("Microseconds", number(77)),
    ];
    assert_eq!(recovery.details(), expected.map(|(name, detail)| (name.to_owned(), detail)));
}

#[test]
fn every_rung_and_every_reason_has_its_words() {
    let rungs = [Rung::Replay, Rung::Damage, Rung::Suspicion, Rung::OldProgram, Rung::Rebuilt];
    let names = rungs.map(Rung::name);
    assert_eq!(names, ["replay", "damage", "suspicion", "old-program", "rebuilt"]);
    for (number, rung) in (1..).zip(rungs) {
        let summary = Recovery { rung, kept: "all".into(), ..Recovery::default() }.summary();
        let expected =
            format!("recovery by rung {number} of the ladder ({}): kept all; set aside: nothing", rung.name());
        assert_eq!(summary, (number > 1).then_some(expected));
    }
    let signal = |signal| ExitStatus::Signal { signal, core_dumped: true };
    for (reason, words) in [
        (Reason::Boot, "the start"),
        (Reason::Reexecuted, "a re-exec"),
        (Reason::ManagerEnded(ExitStatus::Code(3)), "the end of the manager with status 3"),
        (Reason::ManagerEnded(signal(6)), "the death of the manager by SIGABRT"),
        (Reason::ManagerEnded(signal(99)), "the death of the manager by 99"),
        (Reason::ManagerEnded(ExitStatus::Unknown), "the end of the manager"),
        (Reason::ManagerHung, "a manager that did not answer"),
        (Reason::KeeperLost, "the death of the session's keeper"),
        (Reason::KeeperCrashed(11), "a crash of the keeper by SIGSEGV"),
    ] {
        assert_eq!(describe(reason), words);
    }
}
