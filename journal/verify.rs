//! Looking at a journal without touching it, also while its writer goes on.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::survey::survey;
use crate::{OpenError, Report, Rule, Storage};

/// How long [`verify`] waits for a writer to end the append that it may be in the middle of.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks at a journal and says what an open would find. Changes nothing, takes no lock.
///
/// A writer may be at work meanwhile. What it has just replaced or not yet ended is looked at again: until two looks agree, and
/// where they agree on a torn tail, for half a second, as the writer may have lost its processor in the middle of a write. Only
/// the origin of the journal is not judged; it is in [`Report::identity`].
///
/// # Errors
/// When a file cannot be read.
pub fn verify<S: Storage>(storage: &S) -> Result<Report, OpenError> {
    verify_within(storage, PATIENCE)
}

/// [`verify`] with another patience for torn tails; none is needed where there is no writer.
///
/// # Errors
/// When a file cannot be read.
pub fn verify_within<S: Storage>(storage: &S, patience: Duration) -> Result<Report, OpenError> {
    const LOOKS: usize = 16;
    let start = Instant::now();
    let mut looks = 0;
    let mut last: Option<Report> = None;
    loop {
        looks += 1;
        match survey(storage, None) {
            Ok(survey) => {
                let report = survey.report;
                let may_be_in_flight = report.applied(Rule::TornTail) && start.elapsed() < patience;
                let agrees = last.as_ref().is_some_and(|last| *last == report);
                if report.is_clean() || !may_be_in_flight && (agrees || looks >= LOOKS) {
                    return Ok(report);
                }
                if may_be_in_flight {
                    thread::sleep(Duration::from_millis(1));
                }
                last = Some(report);
            }
            // A checkpoint has just made the file superfluous.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound && looks < LOOKS => {}
            Err(error) => return Err(error.into()),
        }
    }
}
