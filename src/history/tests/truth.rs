//! Fear: the past as it is told is not what people saw. A real init is asked, and its journal too.

use nix::sys::signal::Signal;
use testkit::{Machine, Scope, until};

use crate::rig::{Place, initjournal};

#[test]
fn state_at_a_moment_is_what_initctl_list_printed_then() {
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    let place = Place::new("truth");
    let mut seen = Vec::new();
    let journal = |machine: &Machine| machine.world.path(&machine.journal(Scope::System)).to_str().unwrap().to_owned();
    let look = |machine: &Machine, seen: &mut Vec<(String, String)>| {
        // A list counts only if nothing has happened from before to after it.
        until("nothing happens while we look", || {
            let before = last_frame(&journal(machine));
            let list = machine.initctl(Scope::System, &["list"]).out;
            let quiet = last_frame(&journal(machine));
            let is_quiet = only_tells(&journal(machine), &before, &quiet);
            if is_quiet {
                seen.push((before, list));
            }
            is_quiet
        });
    };
    look(&machine, &mut seen);
    machine.start_errand(Scope::System);
    look(&machine, &mut seen);
    machine.world.kill(machine.manager(Scope::System).outside, Signal::SIGKILL);
    let answer = machine.initctl(Scope::System, &["stop", "quiet"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    look(&machine, &mut seen);
    machine.let_errand_end(Scope::System);
    until("the errand is told", || !machine.told(Scope::System).is_empty());
    look(&machine, &mut seen);
    for (sequence, list) in &seen {
        let answer = initjournal(&["state", "-j", &journal(&machine), "--at", sequence]);
        assert_eq!((answer.status, answer.out.trim_end()), (0, list.trim_end()), "{}", answer.err);
    }
    let lists: std::collections::BTreeSet<_> = seen.iter().map(|(_, list)| list).collect();
    assert_eq!(lists.len(), 4, "each look saw something else");
    let export = place.path("boot.stayup");
    assert_eq!(initjournal(&["export", "-j", &journal(&machine), &export]).status, 0);
    let why = initjournal(&["why", "-j", &export, "quiet"]).out;
    assert!(why.contains("initctl (pid ") && why.contains("asks: stop quiet"), "{why}");
}

fn last_frame(journal: &str) -> String {
    let replay = initjournal(&["verify", "-j", journal]).out;
    let last = replay.lines().last().unwrap();
    last.split(" up to ").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

/// Whether nothing between two frames has changed the state of a job: clients come and go meanwhile.
fn only_tells(journal: &str, after: &str, last: &str) -> bool {
    after == last || {
        let diff = initjournal(&["diff", "-j", journal, after, last]);
        diff.status == 0
    }
}

#[test]
fn a_crash_is_kept_and_carried_away_without_secrets() {
    let secret = "hush-hush";
    let setup = Machine::setup().job("bearer", &format!("start on startup\nenv TOKEN={secret}\nexec sleep infinity\n"));
    let Some(machine) = Machine::start_or_skip(setup) else { return };
    let list = |machine: &Machine| machine.initctl(Scope::System, &["crashes"]).out;
    assert_eq!(list(&machine), "");
    let count = |machine: &Machine| list(machine).lines().filter(|line| line.contains("; rung ")).count();
    // The last one is what the keeper does to a manager that hangs: it has to say where.
    for signal in [Signal::SIGKILL, Signal::SIGSEGV, Signal::try_from(keeper::protocol::DUMP).unwrap()] {
        let before = count(&machine);
        machine.world.kill(machine.manager(Scope::System).outside, signal);
        until("the crash is kept", || count(&machine) == before + 1);
    }
    let crashes = list(&machine);
    assert!(crashes.contains("the death of the manager by SIGKILL; rung 1"), "{crashes}");
    assert!(crashes.contains("] the manager did not answer; it was in the middle of this:"), "{crashes}");
    for (option, has_secret) in [(None, false), (Some("--with-values"), true)] {
        let file = format!("/run/test/report-{has_secret}.tar.gz");
        let mut words = vec!["crash-report", "2", &file];
        words.extend(option);
        let answer = machine.initctl(Scope::System, &words);
        assert_eq!(answer.status, 0, "{answer:?}");
        let outside = machine.world.path(&file);
        let outside = outside.to_str().unwrap();
        let dump = initjournal(&["dump", "--json", "-j", outside]);
        assert_eq!((dump.status, dump.out.contains(secret)), (0, has_secret), "{}", dump.err);
        assert!(initjournal(&["state", "-j", outside]).out.contains("bearer start/running, process "));
        let place = Place::new(&format!("report-{has_secret}"));
        let imported = initjournal(&["import", outside, &place.path("crash")]);
        assert!(imported.out.contains("the death of the manager by SIGSEGV"), "{imported:?}");
    }
    assert_eq!(machine.initctl(Scope::System, &["crash-report", "9"]).status, 1);
    let metrics = || machine.initctl(Scope::System, &["metrics"]).out;
    until("the manager has told how long its turns take", || metrics().contains("stayup_turn_seconds_count"));
    let metrics = metrics();
    for line in [
        "stayup_instances{goal=\"start\",state=\"running\"} 5",
        "stayup_restarts_total 3",
        "stayup_kept_crashes{rung=\"1\"} 3",
        "stayup_recoveries_total{rung=\"1\"} 3",
        "stayup_recoveries_total{rung=\"5\"} 0",
        "# UNIT stayup_journal_bytes bytes",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn the_log_of_a_job_tells_what_happened_between_its_lines() {
    let text =
        "respawn\nrespawn limit unlimited\nconsole log\nexec sh -c 'echo hello; cat /run/test/go; echo bye; exit 3'\n";
    let setup = Machine::setup().job("talker", text).job("silent", "exec sleep infinity\n");
    let Some(machine) = Machine::start_or_skip(setup) else { return };
    let shell = |script: &str| assert_eq!(machine.world.run("/bin/sh", &["-c", script]).status, 0, "{script}");
    shell("mkfifo /run/test/go");
    assert_eq!(machine.initctl(Scope::System, &["start", "talker"]).status, 0);
    let log = |words: &[&str]| machine.initctl(Scope::System, &[&["log", "talker"], words].concat());
    until("it has said hello", || log(&[]).out.contains("    hello"));
    shell("echo now > /run/test/go");
    until("it has come back", || log(&[]).out.matches("    hello").count() == 2);
    let answer = log(&[]);
    assert!(answer.status == 0 && answer.err.contains("the archive does not run"), "{answer:?}");
    // Date and time are the first two words of each line; none is without.
    let told: Vec<&str> = answer.out.lines().map(|line| line[23..].trim()).collect();
    let at = |wanted: &str, after: usize| {
        let found = told.iter().skip(after).position(|line| line.starts_with(wanted));
        found.map(|at| at + after).unwrap_or_else(|| panic!("no {wanted} after line {after} of\n{}", answer.out))
    };
    let mut place = 0;
    // That it runs may be heard before or after its first line.
    for wanted in ["* start     initctl", "hello", "now", "bye", "* failed", "* respawn", "hello"] {
        place = at(wanted, place);
    }
    assert!(told.iter().any(|line| line.starts_with("* process")), "{}", answer.out);
    assert!(answer.out.lines().all(|line| line.starts_with("20")), "{}", answer.out);
    assert_eq!(log(&["--lines", "1"]).out.lines().filter(|line| line.contains("    hello")).count(), 1);
    let json = log(&["--json"]).out;
    assert!(json.contains("\"output\":\"bye\"") && json.contains("\"kind\":\"failed\""), "{json}");
    let silent = machine.initctl(Scope::System, &["log", "silent"]);
    assert!(silent.status == 1 && silent.err.contains("silent.log: there is no such log"), "{silent:?}");
    // What is not archived is in the journal.
    let history = machine.initctl(Scope::System, &["history", "talker", "--failed"]);
    assert!(history.out.contains("exited with status 3"), "{history:?}");
    let boots = machine.initctl(Scope::System, &["boots"]);
    assert!(boots.out.starts_with("   0  "), "{boots:?}");
}
