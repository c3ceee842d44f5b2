//! The rig sees what it is there to see: promises broken on purpose are found within a minute, each of them, and the promise
//! that nobody keeps as well; and what it sees follows from the seed alone.

use std::time::Duration;

use sim::campaign::{Campaign, Report, run};
use sim::check;
use sim::check::canary::Canary;
use sim::play::{Script, play};
use sim::sabotage::Kind;

fn campaign(seeds: u64) -> Campaign {
    Campaign { first_seed: 1, seeds, crashes: None, time: Duration::from_secs(60), threads: 2, twice: 0 }
}

fn sabotaged(sabotage: Kind) -> Report {
    run(&campaign(200), &Script { sabotage, ..Script::default() }, &|_| {}).expect("a world")
}

fn assert_caught(sabotage: Kind) {
    let report = sabotaged(sabotage);
    let found = report.violation.and_then(|outcome| outcome.violation);
    assert!(found.is_some(), "{sabotage:?} was not seen in {} crashes", report.crashes);
}

#[test]
fn a_spawn_without_its_append_is_caught() {
    assert_caught(Kind::SkipAppend);
}

#[test]
fn an_exit_that_is_acknowledged_before_it_is_recorded_is_caught() {
    assert_caught(Kind::AcknowledgeFirst);
}

#[test]
fn a_change_that_is_applied_on_the_live_path_only_is_caught() {
    assert_caught(Kind::ApplyLiveOnly);
}

#[test]
fn the_canary_dies() {
    let died = (1..=20).any(|seed| {
        let outcome = play(seed, &Script::default(), vec![Box::new(Canary)]).expect("a world");
        outcome.violation.is_some_and(|one| one.promise == "canary")
    });
    assert!(died, "no manager has died at a rename in twenty seeds: the rig kills nobody");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let script = Script { has_lines: true, ..Script::default() };
    for seed in [3, 17, 23] {
        // The second time, somebody sets the clock on the wall back and forth.
        let jumping = Script { wall: seed, ..script.clone() };
        let (one, other) = (play(seed, &script, check::all()), play(seed, &jumping, check::all()));
        let (one, other) = (one.expect("a world"), other.expect("a world"));
        assert_eq!(one.lines, other.lines, "seed {seed}");
        assert_eq!(one.digest, other.digest);
    }
    let digests: std::collections::BTreeSet<u64> =
        (1..=5).map(|seed| play(seed, &script, check::all()).expect("a world").digest).collect();
    assert_eq!(digests.len(), 5, "and another seed another one");
}
