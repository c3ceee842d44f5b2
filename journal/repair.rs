//! Putting a directory in order as its survey says.
//!
//! No byte of a segment is ever changed: whatever does not count any more is cut off by beginning a new segment that says where
//! the one before ends. That one rename is the repair; everything else here only tidies up, and can be done again.

use crate::log::Log;
use crate::segment::{COPY_STEM, TEMPORARY_SUFFIX, segment_name};
use crate::storage::is_no_room;
use crate::survey::Survey;
use crate::{Finding, QUARANTINE, Storage, StorageError};

impl<S: Storage> Log<S> {
    /// Carries out what the survey has found to do. Only want of room is no error: then what can wait waits.
    pub(crate) fn repair(&mut self, survey: &mut Survey) -> Result<(), StorageError> {
        for file in &survey.remove {
            let removed = self.storage.remove(file);
            removed.map_err(StorageError::of("remove", file))?;
        }
        if survey.is_sealed {
            match self.begin_anew(survey.copy_aside) {
                Ok(()) => {}
                Err(error) if error.is_no_room() => {
                    survey.report.findings.push(Finding::NoRoomForRepair);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.set_aside(&survey.move_aside)?;
        Ok(())
    }

    /// Keeps a copy of a segment that is about to be cut, and begins the segment that cuts it.
    pub(crate) fn begin_anew(&mut self, copy_aside: Option<u64>) -> Result<(), StorageError> {
        if let Some(number) = copy_aside {
            match self.copy_aside(&segment_name(number)) {
                // The copy is for study, the journal for use.
                Err(error) if error.is_no_room() => {}
                other => other?,
            }
        }
        self.begin_segment(0)
    }

    fn copy_aside(&mut self, file: &str) -> Result<(), StorageError> {
        let mut content = Vec::new();
        let read = self.storage.read(file, u64::MAX, &mut content);
        read.map_err(StorageError::of("read", file))?;
        let temporary = format!("{COPY_STEM}{TEMPORARY_SUFFIX}");
        self.write_file(&temporary, &[&content])?;
        let renamed = self.storage.rename(&temporary, &self.quarantine_name(file));
        renamed.map_err(StorageError::of("rename", &temporary))
    }

    /// Moves files to the quarantine, as far as there is room for its directory; what stays does no harm, and the next open
    /// tries again. Called after the segment that goes on without them is there.
    pub(crate) fn set_aside(&mut self, files: &[String]) -> Result<Vec<String>, StorageError> {
        let mut places = Vec::new();
        for file in files {
            let place = self.quarantine_name(file);
            match self.storage.rename(file, &place) {
                Ok(()) => places.push(place),
                Err(error) if is_no_room(&error) => {}
                Err(error) => return Err(StorageError::of("rename", file)(error)),
            }
        }
        if !files.is_empty() {
            self.sync_directory()?;
        }
        Ok(places)
    }

    /// The number of the segment that goes on makes the name unique: it is never used twice.
    fn quarantine_name(&self, file: &str) -> String {
        format!("{QUARANTINE}/{file}-before-{:016x}", self.next_number())
    }
}
