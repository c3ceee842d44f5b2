//! Every promise is kept through some thousands of crashes; `stayup-crashlab sim` does the same for as long as one likes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sim::bundle::Beginning;
use sim::campaign::{Campaign, run};
use sim::check;
use sim::play::{Script, play};

fn assert_kept(first_seed: u64, seeds: u64) {
    let campaign = Campaign { first_seed, seeds, crashes: None, time: Duration::from_secs(40), threads: 2, twice: 16 };
    let report = run(&campaign, &Script::default(), &|_| {}).expect("a world");
    if let Some(found) = report.violation {
        panic!(
            "seed {}: {:?}; see it with stayup-crashlab sim --seed {} --trace",
            found.seed, found.violation, found.seed
        );
    }
}

#[test]
fn thousands_of_crashes_break_no_promise() {
    assert_kept(1, 30);
}

/// Seeds that have found something once, and what.
#[test]
fn what_was_found_once_stays_found() {
    let stories = [
        (11, "after a turn that could not be journaled the next append went behind the hole; an unknown spawn answer"),
        (19, "an end found in the roll call was told of the process that had forked away"),
        (26, "a process that had forked before its start was heard of was waited for, for ever"),
        (132, "frames that were not believed and could not be set aside were replayed by the next manager"),
        (1_033_095, "a reload took the place of a SIGKILL that was still on its way"),
        (1_043_216, "a frame that was believed again, after a time without a journal, knew the process of before"),
        (3_003_929, "with frames set aside, a number that the keeper knew was given out before the roll call"),
        (3_029_816, "a segment that gave way to a quarantine that failed was still written to"),
        (43, "a checkpoint from before the first startup event was taken for an empty journal"),
    ];
    for (seed, story) in stories {
        let outcome = play(seed, &Script::default(), check::all()).expect("a world");
        assert_eq!(outcome.violation, None, "seed {seed}: {story}");
    }
}

#[test]
fn jobs_of_the_user_are_played_as_they_are() {
    let texts = [
        ("web", "start on startup\nstop on runlevel [016]\nrespawn\nexpect daemon\nexec /usr/sbin/web\n"),
        ("db", "start on starting web\nstop on stopped web\npre-start exec mkdir -p /run/db\nexec db\n"),
        ("cron-job", "start on started web\ntask\ninstance $NAME\nexec run $NAME\n"),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into_iter().collect();
    let jobs = Some(sim::jobs::parse(&texts).expect("sound job files"));
    let script = Script { jobs, ..Script::default() };
    let mut crashes = 0;
    for seed in 1..=10 {
        let outcome = play(seed, &script, check::all()).expect("a world");
        assert_eq!(outcome.violation, None, "seed {seed}");
        crashes += outcome.crashes;
    }
    assert!(crashes > 200, "only {crashes} crashes");
}

#[test]
fn a_world_that_begins_with_the_journal_of_another_keeps_every_promise() {
    let journals = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/journals");
    for name in
        ["record-1-one-checkpoint", "record-1-two-checkpoints", "record-2-one-checkpoint", "record-2-two-checkpoints"]
    {
        let beginning = Beginning::read(&Path::new(journals).join(name)).expect("a journal");
        let script = Script { jobs: Some(beginning.jobs()), beginning: Some(beginning), ..Script::default() };
        let mut digests = BTreeSet::new();
        for seed in 1..=5 {
            let outcome = play(seed, &script, check::all()).expect("a world");
            assert_eq!(outcome.violation, None, "seed {seed} of {name}");
            assert!(outcome.crashes > 2);
            digests.insert(outcome.digest);
        }
        assert_eq!(digests.len(), 5);
    }
}
