//! When output was printed: for each log file notes, lines that say from which byte on it came when, in a directory outside of
//! that of the logs ([`record::log_notes`]).
//!
//! The first line names the log file by device and inode, so that what was noted of one that was moved away is not taken for
//! the new one's. The notes on that stay as `NAME.1` until they are those on a log of before that, or there is no log of that
//! name any more. Each other line is `OFFSET TIME TICKET`: what follows that offset came at that time (microseconds since
//! 1970) from the process of that ticket, or from a memory file if it is 0. Readers take the last line for an offset and
//! ignore a torn one. Nothing here is needed to log output; what cannot be noted is not noted.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What comes within this of the line before is not noted once more.
const RESOLUTION_US: u64 = 10_000;

/// How large the notes of a file may become, in bytes; then the older half goes.
const BYTES: u64 = 256 << 10;

/// Files of which the last note is known.
const KNOWN_MAX: usize = 1024;

/// The last note.
#[derive(Clone, Copy, Debug)]
struct Last {
    log: (u64, u64),
    offset: u64,
    time_us: u64,
    ticket: u64,
    bytes: u64,
}

/// The notes of all log files of a directory.
#[derive(Debug)]
pub(super) struct Times {
    directory: PathBuf,
    last: HashMap<String, Last>,
}

impl Times {
    /// Those in `directory`.
    pub(super) fn in_directory(directory: PathBuf) -> Self {
        Self { directory, last: HashMap::new() }
    }

    /// Deletes what is noted of logs that are not in `logs` any more.
    pub(super) fn sweep(&self, logs: &Path) {
        // Logs that are not mounted yet are not gone.
        for notes in fs::read_dir(&self.directory).into_iter().flatten().flatten().filter(|_| logs.is_dir()) {
            if fs::symlink_metadata(logs.join(notes.file_name())).is_err() {
                let _ = fs::remove_file(notes.path());
            }
        }
    }

    /// What is in the log from `offset` on came now.
    pub(super) fn note(&mut self, name: &str, log: &Metadata, offset: u64, ticket: u64, time_us: u64) {
        let log = (log.dev(), log.ino());
        let last = self.last.get(name).copied().filter(|last| last.log == log && last.offset <= offset);
        let is_near = |last: Last| last.ticket == ticket && time_us.abs_diff(last.time_us) < RESOLUTION_US;
        if last.is_some_and(is_near) {
            return;
        }
        if self.last.len() >= KNOWN_MAX {
            self.last.clear();
        }
        // Where it fails, the next note tries to begin anew.
        self.last.remove(name);
        if let Ok(bytes) = self.write(name, log, last.map(|last| last.bytes), format!("{offset} {time_us} {ticket}\n"))
        {
            self.last.insert(name.into(), Last { log, offset, time_us, ticket, bytes });
        }
    }

    /// Appends a line; how long the notes are then. `known` is how long they were, if they are this log's.
    fn write(&self, name: &str, log: (u64, u64), known: Option<u64>, line: String) -> io::Result<u64> {
        let path = self.directory.join(name);
        let head = format!("log {} {}\n", log.0, log.1);
        let bytes = match known {
            Some(bytes) if bytes < BYTES => bytes,
            _ => self.begin(&path, &head)?,
        };
        let mut file = OpenOptions::new().append(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path)?;
        file.write_all(line.as_bytes())?;
        Ok(bytes + line.len() as u64)
    }

    /// Makes sure that the notes are of this log and not too long; how long they are then.
    fn begin(&self, path: &Path, head: &str) -> io::Result<u64> {
        if !self.directory.is_dir() {
            DirBuilder::new().recursive(true).mode(0o755).create(&self.directory)?;
        }
        let text = fs::read(path).unwrap_or_default();
        let kept: &[u8] = match text.strip_prefix(head.as_bytes()) {
            // Lines of before a truncation of the log say something else than those after it; offsets tell (see readers).
            Some(notes) if (text.len() as u64) < BYTES && text.ends_with(b"\n") => notes,
            Some(notes) => whole_lines(notes),
            None => {
                // The log before this one was rotated away, and is read for a while still.
                if !text.is_empty() {
                    let mut before = path.as_os_str().to_owned();
                    before.push(".1");
                    fs::rename(path, before)?;
                }
                &[]
            }
        };
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o640).custom_flags(nix::libc::O_NOFOLLOW);
        let mut file: File = options.open(&new)?;
        file.write_all(head.as_bytes())?;
        file.write_all(kept)?;
        fs::rename(&new, path)?;
        Ok((head.len() + kept.len()) as u64)
    }
}

/// The newer half of the notes, whole lines of it.
fn whole_lines(notes: &[u8]) -> &[u8] {
    let end = notes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let half = end.saturating_sub(usize::try_from(BYTES / 2).unwrap_or(0));
    let begin = if half == 0 {
        0
    } else {
        notes[half..end].iter().position(|byte| *byte == b'\n').map_or(end, |at| half + at + 1)
    };
    &notes[begin..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_few_bounded_and_of_the_log_that_is_there() {
        let place = std::env::temp_dir().join(format!("stayup-times-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("web.log"), "text").unwrap();
        let log = fs::metadata(place.join("web.log")).unwrap();
        let notes = || fs::read_to_string(place.join("notes/web.log")).unwrap();
        let head = format!("log {} {}\n", log.dev(), log.ino());
        let mut times = Times::in_directory(place.join("notes"));
        times.note("web.log", &log, 0, 7, 1_000_000);
        times.note("web.log", &log, 4, 7, 1_009_999);
        times.note("web.log", &log, 8, 8, 1_009_999);
        assert_eq!(notes(), format!("{head}0 1000000 7\n8 1009999 8\n"));
        // The next manager goes on.
        Times::in_directory(place.join("notes")).note("web.log", &log, 9, 8, 2_000_000);
        assert!(notes().ends_with("8 1009999 8\n9 2000000 8\n"));
        let mut times = Times::in_directory(place.join("notes"));
        for number in 0..30_000 {
            times.note("web.log", &log, 10 + number, 8, 3_000_000 + number * 20_000);
        }
        let text = notes();
        assert!(text.len() as u64 <= BYTES + 100 && text.starts_with(&head) && text.ends_with(" 8\n"));
        assert!(text.lines().skip(1).all(|line| line.split(' ').count() == 3));
        // Another file of that name.
        fs::write(place.join("other.log"), "text").unwrap();
        let other = fs::metadata(place.join("other.log")).unwrap();
        times.note("other.log", &other, 0, 9, 1);
        times.note("web.log", &other, 0, 9, 9_000_000_000);
        assert!(notes().lines().count() == 2 && notes().ends_with("\n0 9000000000 9\n"));
        assert_eq!(fs::read_to_string(place.join("notes/web.log.1")).unwrap(), text, "those on the log before it");
        // Nobody needs the notes of a log that is gone.
        fs::remove_file(place.join("web.log")).unwrap();
        times.sweep(&place);
        let is_there = |name: &str| place.join("notes").join(name).exists();
        assert!(is_there("other.log") && !is_there("web.log") && !is_there("web.log.1"));
        fs::remove_dir_all(&place).unwrap();
    }
}
