//! Fear: the archive loses what the journal had, has it twice, is damaged for ever, or grows without end.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use history::archive::{Answer, Kind, Limits, Question, Run, Store, ask, now_us};
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
    assert!(matches!(Store::open(&place.0.join("archive/database")), Err(history::archive::StoreError::Busy(_))));
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
