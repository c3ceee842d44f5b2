//! Many seeds, bounded in number and time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::check;
use crate::play::{Outcome, Script, play};

/// What is played.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The first seed.
    pub first_seed: u64,
    /// How many, at most.
    pub seeds: u64,
    /// How many crashes are enough; none to play all seeds.
    pub crashes: Option<u64>,
    /// How long, at most.
    pub time: Duration,
    /// How many at a time.
    pub threads: usize,
    /// One seed in so many is played twice, which must give the same; the second time the clock on the wall jumps.
    pub twice: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds played: from the first one, all below this number.
    pub seeds: u64,
    /// Managers that died, keepers that crashed.
    pub crashes: u64,
    /// Of those: during recovery.
    pub in_recovery: u64,
    /// Steps at which one could have died.
    pub steps: u64,
    /// How long it took.
    pub took: Duration,
    /// The lowest seed that broke a promise.
    pub violation: Option<Outcome>,
}

/// Plays seeds until enough of them are played, or one has broken a promise; `progress` is called now and then.
///
/// # Errors
/// As [`play`].
pub fn run(campaign: &Campaign, script: &Script, progress: &(dyn Fn(&Report) + Sync)) -> Result<Report, String> {
    let begin = Instant::now();
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let shared = Mutex::new((Report::default(), None));
    let work = || {
        while !is_over.load(Ordering::Relaxed) && begin.elapsed() < campaign.time {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= campaign.seeds {
                break;
            }
            let result =
                play_one(campaign.first_seed + at, campaign.twice > 0 && at.is_multiple_of(campaign.twice), script);
            let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let (report, error) = &mut *held;
            match result {
                Err(text) => {
                    *error = Some(text);
                    is_over.store(true, Ordering::Relaxed);
                }
                Ok(outcome) => {
                    add(report, outcome);
                    report.took = begin.elapsed();
                    if report.violation.is_some() || campaign.crashes.is_some_and(|enough| report.crashes >= enough) {
                        is_over.store(true, Ordering::Relaxed);
                    }
                    progress(report);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..campaign.threads {
            scope.spawn(work);
        }
        work();
    });
    let (mut report, error) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.took = begin.elapsed();
    error.map_or(Ok(report), Err)
}

fn play_one(seed: u64, is_twice: bool, script: &Script) -> Result<Outcome, String> {
    let mut outcome = play(seed, script, check::all())?;
    if is_twice && outcome.violation.is_none() {
        let again = play(seed, &Script { wall: seed | 1, ..script.clone() }, check::all())?;
        if again.digest != outcome.digest {
            outcome.violation = Some(crate::seen::Violation {
                promise: "the same seed gives the same trace",
                what: format!("{:016x} and {:016x}", outcome.digest, again.digest),
                at_ms: 0,
            });
        }
    }
    Ok(outcome)
}

fn add(report: &mut Report, outcome: Outcome) {
    report.seeds += 1;
    report.crashes += outcome.crashes;
    report.in_recovery += outcome.in_recovery;
    report.steps += outcome.steps;
    let is_lower = report.violation.as_ref().is_none_or(|found| outcome.seed < found.seed);
    if outcome.violation.is_some() && is_lower {
        report.violation = Some(outcome);
    }
}
