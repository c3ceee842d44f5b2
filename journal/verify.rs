//! Looking at a journal without touching it, also while its writer goes on.

use std::io;

use crate::survey::survey;
use crate::{OpenError, Report, Storage};

/// Looks at a journal and says what an open would find. Changes nothing, takes no lock.
///
/// A writer may be at work meanwhile: a half-written append or a file that has just been replaced is looked at again until two
/// looks agree. Only the origin of the journal is not judged; it is in [`Report::identity`].
///
/// # Errors
/// When a file cannot be read.
pub fn verify<S: Storage>(storage: &S) -> Result<Report, OpenError> {
    const LOOKS: usize = 16;
    let mut last: Option<Report> = None;
    for look in 1..=LOOKS {
        match survey(storage, None) {
            Ok(survey) => {
                let report = survey.report;
                let agrees = last.as_ref().is_some_and(|last| *last == report);
                if report.is_clean() || agrees || look == LOOKS {
                    return Ok(report);
                }
                last = Some(report);
            }
            // A checkpoint has just made the file superfluous.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound && look < LOOKS => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(last.unwrap_or_default())
}
