//! Fear: the archive loses what the journal had, has it twice, is damaged for ever, or grows without end.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use history::archive::{Answer, Archived, Kind, Limits, Question, Run, Store, StoreError, ask, entries, now_us};
use history::names::Names;
use journal::Identity;
use machine::input::Call;
use machine::job::Cause;

use crate::rig::{BEGIN_US, Init, Place};

/// An archive that ends with the test, however that ends.
struct Archive(Child);

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(place: &Place) -> Archive {
    let child = Command::new(env!("CARGO_BIN_EXE_init-history"))
        .args(["--journal", &place.path("journal"), "--archive", &place.path("archive"), "--max-age", "100000 days"])
        .env_remove("UPSTART_SESSION")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Archive(child)
}

/// The run of the journals of these tests, whose keeper counts as process 1.
fn run() -> Run {
    let stat = fs::read_to_string("/proc/1/stat").unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    Run::new(&Identity { boot_id: [7; 16], pid_namespace: 1 }, 1, start)
}

/// Waits until the archive has this frame.
fn until_archived(place: &Place, sequence: u64) {
    let question = Question { boots: true, ..Question::default() };
    testkit::until("the archive keeps up", || {
        let answers = ask(&place.0.join("archive/socket"), &question).unwrap_or_default();
        answers.iter().any(|answer| matches!(answer, Answer::Boot(_, _, boot) if boot.through >= sequence))
    });
}

fn kill(archive: Archive) {
    drop(archive);
}

fn history(place: &Place, question: &Question) -> Vec<history::archive::Entry> {
    let answers = ask(&place.0.join("archive/socket"), question).unwrap();
    let entries = answers.into_iter().map(|answer| match answer {
        Answer::Entry(entry) => entry,
        other => panic!("{other:?}"),
    });
    entries.collect()
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_has_nothing_twice() {
    let place = Place::new("kills");
    let mut init = Init::new(&place.0.join("journal"));
    init.define("web", "respawn\nrespawn limit unlimited\nexec sleep 1000\n");
    init.call(Call::Start { class: "web".into(), environment: vec![], wait: false });
    let mut archive = start(&place);
    for round in 0..12_u64 {
        for _ in 0..40 {
            init.exit("web", Cause::Status(1));
        }
        // Anywhere between its first instruction and long after it has caught up.
        std::thread::sleep(Duration::from_millis(round * round * 3));
        kill(archive);
        archive = start(&place);
    }
    until_archived(&place, init.sequence);
    let failed = history(&place, &Question { job: Some("web".into()), failed: true, ..Question::default() });
    assert_eq!(failed.len(), 480);
    kill(archive);
    let (store, aside) = Store::open(&place.0.join("archive/database")).unwrap();
    assert_eq!(aside, None);
    let archived: Vec<_> = store.turns(run()).map(Result::unwrap).collect();
    let storage = journal::FileStorage::read_only(place.0.join("journal")).unwrap();
    let frames = journal::look(&storage, journal::Reach::All).unwrap().frames;
    assert!(frames.len() > 2000);
    let expected: Vec<_> = frames.into_iter().map(|frame| (frame.sequence, frame.payload.to_vec())).collect();
    assert!(archived == expected, "{} archived, {} in the journal", archived.len(), expected.len());
}

#[test]
fn questions_are_answered_from_what_was() {
    let place = Place::new("questions");
    let mut init = Init::new(&place.0.join("journal"));
    init.define("web", "instance $N\nexec sleep 1000\n");
    for name in ["a", "b"] {
        init.call(Call::Start { class: "web".into(), environment: vec![format!("N={name}")], wait: false });
    }
    let archive = start(&place);
    until_archived(&place, init.sequence);
    let of = |job: &str| Question { job: Some(job.into()), ..Question::default() };
    let all = history(&place, &of("web"));
    let asked = all.iter().filter(|entry| entry.kind == Kind::Start).collect::<Vec<_>>();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].text, "initctl (pid 4711, user 1000) asks: start web");
    assert!(all.windows(2).all(|pair| pair[0].time_us >= pair[1].time_us), "newest first");
    let one = history(&place, &Question { instance: Some("a".into()), ..of("web") });
    assert!(!one.is_empty() && one.len() * 2 == all.len());
    assert_eq!(history(&place, &of("we")), []);
    assert_eq!(history(&place, &Question { until_us: Some(BEGIN_US), ..of("web") }), []);
    assert_eq!(history(&place, &Question { lines: Some(1), ..of("web") }), all[..1]);
    assert_eq!(history(&place, &Question { boot: Some(0), ..of("web") }), all);
    let refused = ask(&place.0.join("archive/socket"), &Question { boot: Some(-1), ..of("web") }).unwrap();
    assert_eq!(refused, [Answer::Refused("there is no boot -1".into())]);
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_init-history"));
        let output = command.args(arguments).args(["--archive", &place.path("archive")]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(
        command(&["history", "web/a"]).contains("web (a)                  start     initctl (pid 4711, user 1000)")
    );
    assert_eq!(command(&["history", "web", "--json"]).lines().count(), all.len());
    assert!(command(&["boots"]).starts_with("   0  07070707  "));
    kill(archive);
}

fn first_segment_of(database: &Path) -> std::path::PathBuf {
    database.join("db")
}

#[test]
fn a_damaged_archive_is_set_aside_and_made_anew_from_the_journal() {
    let place = Place::new("corrupt");
    let mut init = Init::new(&place.0.join("journal"));
    init.define("web", "exec sleep 1000\n");
    init.call(Call::Start { class: "web".into(), environment: vec![], wait: false });
    let archive = start(&place);
    until_archived(&place, init.sequence);
    kill(archive);
    let database = place.0.join("archive/database");
    fs::write(database.join("conf"), "nonsense, and no checksum").unwrap();
    let length = fs::metadata(first_segment_of(&database)).unwrap().len();
    fs::write(first_segment_of(&database), vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    let archive = start(&place);
    until_archived(&place, init.sequence);
    assert!(place.0.join("archive/database.damaged").is_dir());
    let web = history(&place, &Question { job: Some("web".into()), ..Question::default() });
    assert!(web.iter().any(|entry| entry.kind == Kind::Running));
    kill(archive);
}

#[test]
fn what_is_too_old_or_too_much_goes() {
    let place = Place::new("retention");
    let mut init = Init::new(&place.0.join("journal"));
    init.define("web", "respawn\nrespawn limit unlimited\nexec sleep 1000\n");
    init.call(Call::Start { class: "web".into(), environment: vec![], wait: false });
    for _ in 0..200 {
        init.exit("web", Cause::Status(1));
    }
    let archive = start(&place);
    until_archived(&place, init.sequence);
    kill(archive);
    let (store, _) = Store::open(&place.0.join("archive/database")).unwrap();
    let count = |store: &Store| store.turns(run()).count();
    let (before, bytes) = (count(&store), store.boot(run()).unwrap().bytes);
    let forever = u64::MAX;
    assert!(!store.prune(&Limits { age_us: forever, bytes }, BEGIN_US).unwrap());
    while store.prune(&Limits { age_us: forever, bytes: bytes / 2 }, BEGIN_US).unwrap() {}
    let left = store.boot(run()).unwrap();
    assert!(left.bytes <= bytes / 2 && left.bytes > bytes / 3 && count(&store) < before && count(&store) > 0);
    assert!(store.lines(Some("web")).all(|line| line.unwrap().1.time_us >= left.first_us));
    assert_eq!(store.lines(None).count(), store.lines(Some("web")).count());
    while store.prune(&Limits { age_us: 0, bytes: forever }, now_us() * 2).unwrap() {}
    assert_eq!((count(&store), store.lines(None).count(), store.boot(run()).unwrap().bytes), (0, 0, 0));
    assert!(matches!(Store::open(&place.0.join("archive/database")), Err(StoreError::Busy(_))));
}

#[test]
fn journal_and_archive_tell_everything_once() {
    let place = Place::new("together");
    let mut init = Init::new(&place.0.join("journal"));
    init.define("web", "respawn\nrespawn limit unlimited\nexec sleep 1000\n");
    init.call(Call::Start { class: "web".into(), environment: vec![], wait: false });
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_init-history"));
        command.args(arguments).args(["--archive", &place.path("archive"), "--journal", &place.path("journal")]);
        let output = command.env_remove("UPSTART_SESSION").output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let history = || command(&["history", "web"]);
    let (alone, remark) = history();
    assert!(alone.contains("running") && remark.contains("this is what the journal still has"), "{alone}{remark}");
    assert!(command(&["boots"]).0.starts_with("   0  07070707"));
    assert!(command(&["history", "--boot", "-1"]).1.contains("there is no boot -1"));
    let archive = start(&place);
    until_archived(&place, init.sequence);
    assert_eq!(history(), (alone.clone(), String::new()));
    // The archive may have what the journal has forgotten, and the journal has what the archive has not seen.
    for _ in 0..4 {
        init.exit("web", Cause::Status(1));
        init.log.checkpoint(&record::encode_state(&init.state).unwrap()).unwrap();
        until_archived(&place, init.sequence);
    }
    init.exit("web", Cause::Status(7));
    let (both, _) = history();
    assert!(both.starts_with(&alone) && both.matches("exited with status 1").count() == 4, "{both}");
    assert_eq!(both.matches("exited with status 7").count(), 1, "{both}");
    until_archived(&place, init.sequence);
    assert_eq!(history().0, both);
    assert_eq!(command(&["history", "web", "--boot", "0"]).0, both);
    assert_eq!(command(&["history", "web", "--lines", "2"]).0.lines().count(), 2);
    kill(archive);
    let journal_only = history().0;
    assert!(!journal_only.is_empty() && both.ends_with(&journal_only), "{journal_only}");
}

/// Turns as the archive takes them, and their life.
fn turns_of(place: &Place, exits: usize) -> Vec<Archived> {
    let mut init = Init::new(&place.0.join("journal"));
    init.define("web", "respawn\nrespawn limit unlimited\nexec sleep 1000\n");
    init.define("db", "exec sleep 1000\n");
    for class in ["web", "db"] {
        init.call(Call::Start { class: class.into(), environment: vec![], wait: false });
    }
    (0..exits).for_each(|_| init.exit("web", Cause::Status(1)));
    init.exit("db", Cause::Status(1));
    let source = history::source::Source::Directory(place.0.join("journal"));
    let past = history::past::Past::open(&source, journal::Reach::All).unwrap();
    let mut names = Names::of(&past.base);
    let archived = past.frames().iter().map(|frame| {
        let turn = record::decode_turn(&frame.payload).unwrap();
        names.learn(&turn);
        let (sequence, time_us) = (frame.sequence, turn.stamp.unwrap().wall_us);
        Archived { sequence, payload: frame.payload.to_vec(), time_us, entries: entries(sequence, &turn, &names) }
    });
    archived.collect()
}

/// Everything in an archive is what was put there, once, and each job finds its own.
fn assert_is(store: &Store, turns: &[Archived]) {
    let found: Vec<_> = store.turns(run()).map(Result::unwrap).collect();
    assert_eq!(found.len(), turns.len());
    assert!(found.iter().zip(turns).all(|(found, turn)| found.0 == turn.sequence && found.1 == turn.payload));
    let lines = |job: Option<&str>| store.lines(job).map(|line| line.unwrap().1).collect::<Vec<_>>();
    let expected = |job: Option<&str>| {
        let all = turns.iter().rev().flat_map(|turn| turn.entries.iter().rev());
        all.filter(|entry| job.is_none_or(|job| job == entry.job)).cloned().collect::<Vec<_>>()
    };
    for job in [None, Some("web"), Some("db"), Some("we")] {
        assert_eq!(lines(job), expected(job), "{job:?}");
    }
}

type Rows = Vec<(sled::IVec, sled::IVec)>;

/// Opens what this process had open a moment ago: a child that another test is about to start may still hold its lock.
fn patiently<T>(mut open: impl FnMut() -> Option<T>) -> T {
    let mut opened = None;
    testkit::until("the database is free", || {
        opened = open();
        opened.is_some()
    });
    opened.unwrap()
}

fn open(database: &Path) -> Store {
    patiently(|| match Store::open(database) {
        Err(StoreError::Busy(_)) => None,
        other => {
            let (store, aside) = other.unwrap();
            assert_eq!(aside, None);
            Some(store)
        }
    })
}

fn open_raw(database: &Path) -> sled::Db {
    patiently(|| sled::open(database).ok())
}

fn rows(database: &Path, tree: &str) -> Rows {
    open_raw(database).open_tree(tree).unwrap().iter().map(Result::unwrap).collect()
}

fn set_rows(database: &Path, tree: &str, rows: &Rows) {
    let database = open_raw(database);
    let tree = database.open_tree(tree).unwrap();
    tree.clear().unwrap();
    rows.iter().for_each(|(key, value)| drop(tree.insert(key, value).unwrap()));
    database.flush().unwrap();
}

/// Fear: a crash between two of the trees leaves turns that are there twice, or lines to which no way leads.
#[test]
fn what_a_crash_has_left_half_written_is_there_once_in_the_end() {
    let place = Place::new("half");
    let turns = turns_of(&place, 120);
    let database = place.0.join("archive");
    let put = |pieces: &[&[Archived]]| {
        let store = open(&database);
        pieces.iter().for_each(|piece| store.put(run(), piece).unwrap());
        store
    };
    let trees = ["boots", "jobs-in-blocks", "times"];
    let mut done = 0;
    // Small pieces, and such as fill several blocks.
    for (lost, size) in [(1, 3), (2, 7), (3, 40), (1, 600), (3, 900), (2, 2)] {
        let next = &turns[done..(done + size).min(turns.len())];
        let before: Vec<Rows> =
            if done == 0 { vec![Rows::new(); 3] } else { trees.map(|tree| rows(&database, tree)).into() };
        drop(put(&[next]));
        for (tree, rows) in trees.iter().zip(&before).take(lost) {
            set_rows(&database, tree, rows);
        }
        let (half, rest) = next.split_at(next.len() / 2);
        let (less, _) = rest.split_at(rest.len() / 2);
        let store = put(&[half, less]);
        done += half.len() + less.len();
        assert_is(&store, &turns[..done]);
    }
    assert_is(&put(&[&turns]), &turns);
    assert!(turns.len() > 1200 && rows(&database, "blocks").len() < turns.len() / 8);
}

#[test]
fn an_archive_of_before_there_were_blocks_is_taken_over() {
    let place = Place::new("older");
    let turns = turns_of(&place, 200);
    let (model, database) = (place.0.join("model"), place.0.join("archive"));
    let store = open(&model);
    store.put(run(), &turns).unwrap();
    let boots = store.boots().unwrap();
    drop(store);
    let boots_rows = rows(&model, "boots");
    let key = &boots_rows[0].0;
    let (mut frames, mut lines) = (Rows::new(), Rows::new());
    for turn in &turns {
        let sequence = turn.sequence.to_be_bytes();
        frames.push(([&key[..], &sequence[..]].concat().into(), turn.payload.as_slice().into()));
        for (number, entry) in turn.entries.iter().enumerate() {
            let number = u16::try_from(number).unwrap().to_be_bytes();
            let line = [&turn.time_us.to_be_bytes()[..], &key[..], &sequence[..], &number[..]].concat();
            lines.push((line.into(), serde_json::to_vec(entry).unwrap().into()));
        }
    }
    for (tree, rows) in [("turns", &frames), ("lines", &lines), ("jobs", &Rows::new()), ("boots", &boots_rows)] {
        set_rows(&database, tree, rows);
    }
    // A conversion that was interrupted in the middle, and one that was complete.
    fs::create_dir_all(database.with_extension("new")).unwrap();
    let store = open(&database);
    assert_eq!(store.boots().unwrap(), boots);
    assert_is(&store, &turns);
    drop(store);
    assert!(!database.with_extension("new").exists() && !database.with_extension("older").exists());
    fs::rename(&database, database.with_extension("new")).unwrap();
    fs::create_dir_all(database.with_extension("older")).unwrap();
    assert_is(&open(&database), &turns);
}

#[test]
fn lines_are_in_the_order_of_time_even_if_the_clock_was_set_back() {
    let place = Place::new("clock");
    let mut turns = turns_of(&place, 60);
    let (first, count) = (turns[0].time_us, turns.len() as u64);
    for (turn, number) in turns.iter_mut().zip(0..) {
        // Back by half of it in the middle.
        turn.time_us = first + 1000 * if number < count / 2 { number } else { number - count / 4 };
        turn.entries.iter_mut().for_each(|entry| entry.time_us = turn.time_us);
    }
    let (store, _) = Store::open(&place.0.join("archive")).unwrap();
    turns.chunks(100).for_each(|piece| store.put(run(), piece).unwrap());
    let mut expected: Vec<_> = turns.iter().flat_map(|turn| &turn.entries).map(|entry| entry.time_us).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let found: Vec<_> = store.lines(None).map(|line| line.unwrap().1.time_us).collect();
    assert_eq!(found, expected);
}
