//! Fear: the past as it is told is not what people saw. A real init is asked, and its journal too.

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
    machine.world.kill(machine.manager(Scope::System).outside, nix::sys::signal::Signal::SIGKILL);
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
    for signal in [nix::sys::signal::Signal::SIGKILL, nix::sys::signal::Signal::SIGSEGV] {
        let before = list(&machine).lines().count();
        machine.world.kill(machine.manager(Scope::System).outside, signal);
        until("the crash is kept", || list(&machine).lines().count() == before + 1);
    }
    let crashes = list(&machine);
    assert!(crashes.contains("the death of the manager by SIGKILL; rung 1"), "{crashes}");
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
    let metrics = machine.initctl(Scope::System, &["metrics"]).out;
    for line in [
        "stayup_instances{goal=\"start\",state=\"running\"} 5",
        "stayup_restarts_total 2",
        "stayup_kept_crashes{rung=\"1\"} 2",
        "# UNIT stayup_journal_bytes bytes",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}
