//! Fear: `initjournal` tells something else than what was, or is of no help when something is wrong.

use machine::input::Call;
use machine::job::Cause;

use crate::rig::{Init, Place, initjournal};

/// A short life with everything in it that is asked about, and the states that were.
fn life(place: &Place) -> (String, Vec<(u64, String)>) {
    let mut init = Init::new(&place.0.join("journal"));
    let mut lists = Vec::new();
    let mut look = |init: &Init| lists.push((init.sequence, history::listing::list(&init.state)));
    init.define("db", "start on net-up\nenv PASSWORD=hush\nexec sleep 1000\n");
    init.define("web", "start on started db\nstop on stopping db\nexec sleep 1000\n");
    look(&init);
    init.emit("net-up");
    look(&init);
    init.exit("web", Cause::Status(3));
    look(&init);
    init.call(Call::Start { class: "web".into(), environment: vec!["TOKEN=secret".into()], wait: false });
    look(&init);
    init.log.checkpoint(&record::encode_state(&init.state).unwrap()).unwrap();
    init.call(Call::Stop { class: "db".into(), environment: vec![], wait: false });
    look(&init);
    (place.path("journal"), lists)
}

#[test]
fn the_state_at_every_moment_is_the_one_that_was() {
    let place = Place::new("at");
    let (journal, lists) = life(&place);
    for (sequence, list) in &lists {
        let answer = initjournal(&["state", "-j", &journal, "--at", &sequence.to_string()]);
        assert_eq!((answer.status, &answer.out), (0, list), "{sequence}: {}", answer.err);
    }
    let last = &lists.last().unwrap().1;
    assert_eq!(&initjournal(&["state", "-j", &journal]).out, last);
    assert_eq!(&initjournal(&["state", "-j", &journal, "--at", "2030-01-01T00:00:00Z"]).out, last);
    let before = initjournal(&["state", "-j", &journal, "--at", "+0"]);
    assert!(before.out.is_empty() && before.err.contains("the journal begins at"), "{before:?}");
    let json = initjournal(&["state", "-j", &journal, "--json"]).out;
    let state: machine::state::State = serde_json::from_str(&json).unwrap();
    assert_eq!(&history::listing::list(&state), last);
}

#[test]
fn each_change_is_dumped_once_and_filters_lose_nothing_that_was_asked_for() {
    let place = Place::new("dump");
    let (journal, _) = life(&place);
    let all = initjournal(&["dump", "--json", "-j", &journal]);
    assert_eq!(all.status, 0, "{}", all.err);
    let lines: Vec<serde_json::Value> = all.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let past =
        history::past::Past::open(&history::source::Source::Directory(journal.clone().into()), journal::Reach::All)
            .unwrap();
    let changes: Vec<_> = past.turns().flat_map(|turn| turn.unwrap().1.changes).collect();
    assert_eq!(lines.len(), changes.len());
    for (line, change) in lines.iter().zip(&changes) {
        assert_eq!(line["change"], serde_json::to_value(change).unwrap());
    }
    let of_web = lines.iter().filter(|line| line["job"] == "web").count();
    let filtered = initjournal(&["dump", "--json", "-j", &journal, "--job", "web"]).out;
    assert!(of_web > 10 && filtered.lines().count() == of_web);
    let text = initjournal(&["dump", "-j", &journal, "--job", "web"]).out;
    assert!(text.contains("web: state running") && text.contains("main process of web exited with status 3"), "{text}");
    assert!(initjournal(&["dump", "-j", &journal]).out.contains("initctl (pid 4711, user 1000) asks: start web"));
    let events = initjournal(&["dump", "-j", &journal, "--event", "net-up"]).out;
    assert!(events.contains("event net-up") && !events.contains("web"), "{events}");
    // A selection goes another way to its JSON than a whole journal.
    assert_eq!(initjournal(&["dump", "--json", "-j", &journal, "--since", "0"]).out, all.out);
    let half = initjournal(&["dump", "--json", "-j", &journal, "--until", "10"]).out.lines().count();
    let rest = initjournal(&["dump", "--json", "-j", &journal, "--since", "11"]).out.lines().count();
    assert_eq!(half + rest, lines.len());
}

#[test]
fn why_goes_down_to_who_asked() {
    let place = Place::new("why");
    let (journal, _) = life(&place);
    let why = initjournal(&["why", "-j", &journal, "web"]).out;
    let told: Vec<_> =
        why.lines().map(|line| line.split(" (").next().unwrap().trim_start_matches([' ', '│'])).collect();
    let expected = [
        "web stop/waiting",
        "├─ goal stop",
        "└─ event stopping JOB=db INSTANCE= RESULT=ok",
        "└─ goal stop",
        "└─ initctl",
    ];
    // Only the last of those that stand below the same one ends its line.
    assert!(why.contains("\n├─ goal stop (") && why.contains("\n└─ before that\n   └─ goal start ("), "{why}");
    let is_there = expected.iter().all(|line| told.iter().any(|told| told.starts_with(line)));
    assert!(is_there && why.contains("asks: stop db"), "{why}");
    let unknown = initjournal(&["why", "-j", &journal, "nobody"]);
    assert_eq!((unknown.status, unknown.err.as_str()), (2, "initjournal: the journal knows no job nobody\n"));
}

#[test]
fn the_first_life_of_each_job_is_told_and_a_second_one_changes_nothing() {
    let place = Place::new("boot");
    let (journal, _) = life(&place);
    let source = history::source::Source::Directory(journal.into());
    let boot = history::boot::boot(&history::past::Past::open(&source, journal::Reach::All).unwrap()).unwrap();
    let lives = boot.lives.iter().map(|life| {
        let ran_after = life.running_us.unwrap() > life.began_us && life.stopped_us.unwrap() > life.running_us.unwrap();
        (life.job.as_str(), ran_after, life.failed)
    });
    assert_eq!(lives.collect::<Vec<_>>(), [("db", true, false), ("web", true, true)]);
    assert_eq!(boot.json().lines().count(), 2);
    assert!(boot.table().lines().any(|line| line.ends_with("  web  failed")), "{}", boot.table());
}

#[test]
fn damage_is_found_and_only_in_the_copy() {
    let place = Place::new("damage");
    let (journal, lists) = life(&place);
    assert_eq!(initjournal(&["verify", "-q", "-j", &journal]).out, "");
    let (middle, _) = &lists[1];
    let at = middle.to_string();
    let flip = initjournal(&["flip", "-j", &journal, "--frame", &at, "--bit", "9", &place.path("flipped")]);
    assert_eq!(flip.status, 0, "{}", flip.err);
    let cut = initjournal(&["cut", "-j", &journal, "--after", &at, "--bytes", "30", &place.path("cut")]);
    assert_eq!(cut.status, 0, "{}", cut.err);
    // The checkpoint makes the flipped frame one that recovery does not need; time travel does.
    let before = initjournal(&["state", "-j", &place.path("flipped"), "--at", &(middle - 1).to_string()]);
    assert_eq!(before.status, 0, "{}", before.err);
    let torn = initjournal(&["verify", "-j", &place.path("cut")]);
    assert!(torn.status == 1 && torn.out.contains("torn-tail"), "{torn:?}");
    let state = initjournal(&["state", "-j", &place.path("cut")]).out;
    assert_eq!(state, lists[1].1);
    // What is not there any more is not passed over in silence.
    let late = initjournal(&["state", "-j", &place.path("cut"), "--at", "9999"]);
    assert!(late.status == 0 && late.err.contains(&format!("the journal ends at frame {middle}")), "{late:?}");
    let early = initjournal(&["dump", "-j", &place.path("flipped"), "--until", &at]);
    assert!(early.err.is_empty() || early.err.contains("the journal is damaged"), "{early:?}");
    assert_eq!(initjournal(&["verify", "-j", &journal]).status, 0);
    assert_eq!(initjournal(&["cut", "-j", &journal, "--after", "99999", &place.path("no")]).status, 2);
    // Bytes that are not there read as zeros, so a cut may take nothing away.
    let source = history::source::Source::Directory(journal.clone().into());
    let past = history::past::Past::open(&source, journal::Reach::To(*middle)).unwrap();
    let next = past.frames().iter().find(|frame| frame.sequence > *middle).unwrap();
    for bytes in [journal::FRAME_HEADER_BYTES + next.payload.len(), 4000] {
        let bytes = bytes.to_string();
        let whole = initjournal(&["cut", "-j", &journal, "--after", &at, "--bytes", &bytes, &place.path("no")]);
        assert!(whole.status == 2 && whole.err.contains("is whole: give fewer"), "{whole:?}");
    }
    assert!(!place.0.join("no").exists());
}

#[test]
fn a_journal_is_carried_in_one_file_and_its_secrets_stay() {
    let place = Place::new("export");
    let (journal, lists) = life(&place);
    let (plain, clean) = (place.path("plain.stayup"), place.path("clean.stayup"));
    assert_eq!(initjournal(&["export", "-j", &journal, &plain]).status, 0);
    let redacted = initjournal(&["export", "--redact", "-j", &journal, &clean]);
    assert_eq!(redacted.status, 0, "{}", redacted.err);
    for file in [&plain, &clean] {
        for (sequence, list) in &lists {
            assert_eq!(&initjournal(&["state", "-j", file, "--at", &sequence.to_string()]).out, list);
        }
        assert_eq!(initjournal(&["verify", "-j", file]).status, 0);
    }
    let dump = |file: &str| initjournal(&["dump", "--json", "-j", file]).out;
    assert!(dump(&plain).contains("hush") && dump(&plain).contains("secret"));
    assert!(!dump(&clean).contains("hush") && !dump(&clean).contains("secret") && dump(&clean).contains("TOKEN=…"));
    assert_eq!(initjournal(&["import", &plain, &place.path("again")]).status, 0);
    assert_eq!(dump(&place.path("again")), dump(&journal));
    assert_eq!(initjournal(&["import", &plain, &place.path("again")]).status, 2);
}

#[test]
fn replay_and_diff_tell_where_it_changed() {
    let place = Place::new("replay");
    let (journal, lists) = life(&place);
    let replay = initjournal(&["replay", "-j", &journal]).out;
    let past = history::past::Past::open(&history::source::Source::of(place.0.as_path()), journal::Reach::All).unwrap();
    assert_eq!(replay.lines().count(), past.frames().len() + 1);
    let digest = record::digest(&past.state_after(past.frames().len()).unwrap()).unwrap();
    assert!(replay.lines().last().unwrap().contains(&format!("{digest:08x}")));
    let (from, to) = (lists[0].0.to_string(), lists[1].0.to_string());
    let diff = initjournal(&["diff", "-j", &journal, &from, &to]);
    assert!(
        diff.status == 1
            && diff.out.contains("- job db stop/waiting\n")
            && diff.out.contains("+ job web start/running")
    );
    assert_eq!(initjournal(&["diff", "-j", &journal, &to, &to]).status, 0);
    let flipped = place.path("flipped");
    assert_eq!(initjournal(&["flip", "-j", &journal, "--frame", &to, &flipped]).status, 0);
    let said = initjournal(&["diff", "-j", &flipped, &from, &from]).err;
    assert_eq!(said.matches("the journal is damaged").count(), 1, "{said}");
    assert!(initjournal(&["stats", "-j", &journal]).out.contains("StateChanged"));
}

#[test]
fn what_is_no_journal_is_said_so() {
    let place = Place::new("nothing");
    std::fs::write(place.0.join("file"), "nonsense").unwrap();
    for path in ["missing", "file", ""] {
        let answer = initjournal(&["state", "-j", &place.path(path)]);
        assert!(answer.status == 2 && answer.err.starts_with("initjournal: "), "{answer:?}");
    }
    let moment = initjournal(&["state", "--at", "someday"]);
    assert!(moment.status == 2 && moment.err.contains("\"someday\" is no moment"), "{moment:?}");
}
