//! Getting at the journal: its directory, its lock, and what to do while it cannot be read.
//!
//! Knows files. Must never know what a frame says.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use journal::{FileStorage, Identity, Log, OpenError, Options, Recovered, Severity};
use machine::state::State;

use super::{Recovery, Rung};

/// How long the manager before may take to let go of the journal: it is dead, or about to be.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How long a journal is tried that just now cannot be read.
const MEDIUM_PATIENCE: Duration = Duration::from_secs(2);

/// What opening gives.
type Opened = (Log<FileStorage>, Recovered);

/// Opens the journal, or says why there is none. A manager that `is_patient` leaves one that just now cannot be read to the next.
pub(super) fn open(directory: &Path, is_patient: bool, recovery: &mut Recovery) -> io::Result<Option<Opened>> {
    open_with(directory, is_patient, recovery, &mut |recovery| try_open(directory, recovery))
}

/// Opens the journal; one that cannot be opened is set aside, and a new one begun. Errors that pass are waited for, and if the
/// manager `is_patient`, they are its end.
fn open_with(
    directory: &Path,
    is_patient: bool,
    recovery: &mut Recovery,
    try_open: &mut dyn FnMut(&mut Recovery) -> Result<Opened, Unopened>,
) -> io::Result<Option<Opened>> {
    for attempt in 0..2 {
        match insist(recovery, try_open) {
            Ok(opened) => return Ok(Some(opened)),
            Err(Unopened::Locked) => {
                // Never taken away from one that writes it.
                recovery.findings.push(format!("journal {}: another manager still writes it", directory.display()));
                break;
            }
            Err(Unopened::Unreadable(problem)) if is_patient => {
                let text = format!(
                    "journal {}: {problem}; it is left as it is, and another manager tries again",
                    directory.display()
                );
                return Err(io::Error::other(text));
            }
            Err(Unopened::Broken(problem) | Unopened::Unreadable(problem)) => {
                recovery.findings.push(format!("journal {}: {problem}", directory.display()));
                if attempt > 0 {
                    break;
                }
                let aside = directory.with_extension(format!("unusable-{}", std::process::id()));
                match fs::rename(directory, &aside) {
                    Ok(()) => {
                        recovery.findings.push(format!("it was set aside as {}", aside.display()));
                        recovery.set_aside.push(aside.display().to_string());
                    }
                    Err(error) => recovery.findings.push(format!("it cannot be set aside: {error}")),
                }
            }
        }
    }
    recovery.findings.push("going on without a journal: a crash from here on loses what jobs were doing".into());
    Ok(None)
}

/// Tries again for a while where that may help.
fn insist(
    recovery: &mut Recovery,
    try_open: &mut dyn FnMut(&mut Recovery) -> Result<Opened, Unopened>,
) -> Result<Opened, Unopened> {
    let limit = Instant::now() + MEDIUM_PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let (findings, set_aside) = (recovery.findings.len(), recovery.set_aside.len());
        match try_open(recovery) {
            Err(Unopened::Unreadable(_)) if Instant::now() + pause < limit => {
                recovery.findings.truncate(findings);
                recovery.set_aside.truncate(set_aside);
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(200));
            }
            result => return result,
        }
    }
}

/// Whether an error says nothing about the journal, but that it cannot be read just now: for want of memory or descriptors, or
/// because the medium fails.
#[must_use]
pub fn is_passing(error: &(dyn std::error::Error + 'static)) -> bool {
    use nix::errno::Errno;
    let passes = |error: &io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        matches!(
            errno,
            Some(
                Errno::EIO
                    | Errno::EMFILE
                    | Errno::ENFILE
                    | Errno::ENOMEM
                    | Errno::ENOBUFS
                    | Errno::EINTR
                    | Errno::EAGAIN
                    | Errno::EBUSY
                    | Errno::ETIMEDOUT
                    | Errno::ESTALE
            )
        )
    };
    // An `OpenError` names the error of the system as its source; one of that itself stands for itself.
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.downcast_ref::<io::Error>().is_some_and(passes))
}

/// Why a journal is not open.
#[derive(Debug)]
enum Unopened {
    /// Somebody writes it.
    Locked,
    /// It cannot be read just now.
    Unreadable(String),
    /// It cannot be used.
    Broken(String),
}

impl<E: std::error::Error + 'static> From<E> for Unopened {
    fn from(error: E) -> Self {
        let text = error.to_string();
        if is_passing(&error) { Self::Unreadable(text) } else { Self::Broken(text) }
    }
}

/// Begins a journal anew for a manager under way, whose own has gone: the state is all it has to say. Never waits.
///
/// # Errors
/// Why there can be none, for the log.
pub fn renew(directory: &Path, state: &State) -> Result<Log<FileStorage>, String> {
    let begin = || {
        make_directory(directory)?;
        let (mut log, _) = Log::open(FileStorage::at(directory)?, Options::new(Identity::of_this_system()?))?;
        log.checkpoint(&record::encode_state(state)?)?;
        Ok(log)
    };
    begin().map_err(|error: Unopened| match error {
        Unopened::Locked => "another manager writes it".into(),
        Unopened::Unreadable(text) | Unopened::Broken(text) => text,
    })
}

fn try_open(directory: &Path, recovery: &mut Recovery) -> Result<Opened, Unopened> {
    make_directory(directory)?;
    let storage = FileStorage::at(directory)?;
    if !storage.is_on_tmpfs().unwrap_or(true) {
        let text = format!("{} is not on a tmpfs: init may have to wait for a disk", directory.display());
        recovery.findings.push(text);
    }
    let options = Options::new(Identity::of_this_system()?);
    let limit = Instant::now() + LOCK_PATIENCE;
    let mut opened = Log::open(storage, options);
    while matches!(opened, Err(OpenError::Locked)) && Instant::now() < limit {
        thread::sleep(Duration::from_millis(5));
        opened = Log::open(FileStorage::at(directory)?, options);
    }
    match opened {
        Ok(opened) => {
            if opened.1.report.severity() >= Severity::Loss {
                let aside = directory.join(journal::QUARANTINE);
                recovery.findings.push(format!("what could not be replayed is set aside in {}", aside.display()));
                recovery.set_aside.push(aside.display().to_string());
                recovery.reach(Rung::Damage);
            }
            Ok(opened)
        }
        Err(OpenError::Locked) => Err(Unopened::Locked),
        Err(error) => Err(error.into()),
    }
}

/// Makes the directory, for our eyes only. One that is there must be ours: /dev/shm is open to everybody.
pub(crate) fn make_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let owner = fs::symlink_metadata(directory)?.uid();
    if owner == nix::unistd::geteuid().as_raw() {
        Ok(())
    } else {
        let text = format!("it belongs to user {owner}; remove it");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    /// A directory that is gone with the test.
    struct Place(std::path::PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("stayup-resume-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A journal with one frame.
    fn journal(place: &Place) -> std::path::PathBuf {
        let directory = place.0.join("journal");
        let (mut log, _) = try_open(&directory, &mut Recovery::default()).unwrap();
        log.append(b"a frame").unwrap();
        directory
    }

    fn unread(errno: Errno) -> Unopened {
        journal::OpenError::Storage(journal::StorageError {
            operation: "read",
            file: "segment".into(),
            source: errno.into(),
        })
        .into()
    }

    #[test]
    fn a_medium_that_fails_for_a_moment_costs_nothing() {
        for errno in [Errno::EIO, Errno::EMFILE, Errno::ENOMEM] {
            let place = Place::new("moment");
            let directory = journal(&place);
            let (mut left, mut recovery) = (5, Recovery::default());
            let opened = open_with(&directory, true, &mut recovery, &mut |recovery| {
                left -= 1;
                if left > 0 { Err(unread(errno)) } else { try_open(&directory, recovery) }
            });
            let (_, recovered) = opened.unwrap().expect("the journal that was there");
            assert_eq!(recovered.frames.len(), 1, "{errno}");
            assert!(recovery.set_aside.is_empty(), "{recovery:?}");
        }
    }

    #[test]
    fn a_medium_that_fails_for_long_leaves_the_journal_to_the_next_manager() {
        let place = Place::new("long");
        let directory = journal(&place);
        let opened = open_with(&directory, true, &mut Recovery::default(), &mut |_| Err(unread(Errno::EIO)));
        assert!(opened.err().unwrap().to_string().contains("another manager tries again"));
        let (_, recovered) = try_open(&directory, &mut Recovery::default()).unwrap();
        assert_eq!(recovered.frames.len(), 1);
    }

    /// At last there must be a journal again; the old one is kept for study.
    #[test]
    fn a_medium_that_fails_for_good_has_the_journal_set_aside() {
        let place = Place::new("good");
        let directory = journal(&place);
        let (mut recovery, mut is_new) = (Recovery::default(), false);
        let opened = open_with(&directory, false, &mut recovery, &mut |recovery| {
            is_new = !directory.exists();
            if is_new { try_open(&directory, recovery) } else { Err(unread(Errno::EIO)) }
        });
        assert!(opened.unwrap().is_some() && is_new);
        assert_eq!(recovery.set_aside.len(), 1);
    }

    #[test]
    fn what_does_not_pass_is_not_waited_for() {
        for errno in [Errno::EACCES, Errno::EROFS, Errno::ENOTDIR, Errno::ENOSPC, Errno::ELOOP] {
            assert!(matches!(unread(errno), Unopened::Broken(_)), "{errno}");
        }
        let newer = journal::OpenError::NumbersExhausted;
        assert!(matches!(newer.into(), Unopened::Broken(_)));
    }
}
