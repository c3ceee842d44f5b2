//! A boot without /run: the journal begins in other memory, and moves when /run is there.
//!
//! Usually the system's first manager mounts /run itself ([`crate::mounts`]). Where it may not, or there is no such directory and
//! the root file system is read-only, there is still /dev, which is memory too and root's alone.
//!
//! As long as a journal lies at the early place it is the one that counts: it is removed when the one in /run is whole, and
//! before anything is written there. So a manager that dies in between finds everything, in the one place or in the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::mounts::is_in_memory;
use crate::resume::make_directory;

/// Where the journal and the notify socket are meanwhile.
const EARLY: &str = "/dev/.stayup";

/// Where the journal begins, or goes on: `home`, or while that cannot be, the early place.
#[must_use]
pub fn journal_dir(home: &Path, is_boot: bool) -> PathBuf {
    choose(home, Path::new(EARLY), is_boot)
}

fn choose(home: &Path, early: &Path, is_boot: bool) -> PathBuf {
    let journal = early.join("journal");
    if !is_boot {
        return if journal.join(journal::LOCK).exists() { journal } else { home.to_owned() };
    }
    if journal.join(journal::LOCK).exists() {
        // It belonged to another keeper, and must not be taken for ours.
        let _ = fs::remove_dir_all(early);
    }
    let can_be_early = || early.parent().is_some_and(is_in_memory);
    match make_directory(home) {
        Err(_) if can_be_early() && make_directory(early).is_ok() => journal,
        _ => home.to_owned(),
    }
}

/// The notify socket of a system's init: jobs that were told of the early one must find it as long as they run.
#[must_use]
pub fn notify_path(journal_dir: &Path) -> PathBuf {
    let early = Path::new(EARLY).join("notify");
    if early.exists() { early } else { journal_dir.with_file_name("notify") }
}

/// Whether a journal at `current` should move to `home`, because there is memory now.
#[must_use]
pub fn may_move(current: &Path, home: &Path) -> bool {
    current != home && home.ancestors().find(|place| place.exists()).is_some_and(is_in_memory)
}

/// Removes the journal at `current`: the one at `home` is whole. When that is not possible the old one still counts, and the new
/// one goes.
///
/// # Errors
/// Why it cannot be removed.
pub fn leave(current: &Path, home: &Path) -> io::Result<()> {
    // Without its lock it is none, whatever else is left of it.
    fs::remove_file(current.join(journal::LOCK)).inspect_err(|_| drop(fs::remove_dir_all(home)))?;
    let _ = fs::remove_dir_all(current);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test, in memory.
    fn place(name: &str) -> PathBuf {
        let path = Path::new("/dev/shm").join(format!("stayup-early-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn without_run_the_journal_is_in_other_memory_until_it_has_moved() {
        let root = place("moves");
        let (home, early) = (root.join("run/stayup/journal"), root.join("dev"));
        // A file in the place of /run: nothing can be made below it, not even by root.
        fs::write(root.join("run"), "").unwrap();
        let first = choose(&home, &early, true);
        assert_eq!(first, early.join("journal"));
        fs::create_dir(&first).unwrap();
        fs::write(first.join(journal::LOCK), "").unwrap();
        assert_eq!(choose(&home, &early, false), first, "a manager that comes after goes on there");
        fs::remove_file(root.join("run")).unwrap();
        fs::create_dir_all(&home).unwrap();
        assert!(may_move(&first, &home));
        assert_eq!(choose(&home, &early, false), first, "both are there: the early one counts");
        leave(&first, &home).unwrap();
        assert!(!first.exists());
        assert_eq!(choose(&home, &early, false), home);
        assert!(!may_move(&home, &home));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_journal_that_cannot_be_left_stays_the_one_that_counts() {
        let root = place("stays");
        let (home, current) = (root.join("home"), root.join("current"));
        fs::create_dir(&home).unwrap();
        assert!(leave(&current, &home).is_err());
        assert!(!home.exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_boot_with_run_leaves_no_journal_at_the_early_place() {
        let root = place("plain");
        let (home, early) = (root.join("run/journal"), root.join("dev"));
        fs::create_dir_all(early.join("journal")).unwrap();
        fs::write(early.join("journal").join(journal::LOCK), "").unwrap();
        assert_eq!(choose(&home, &early, true), home);
        assert_eq!(choose(&home, &early, false), home, "what was there belonged to another keeper");
        fs::remove_dir_all(root).unwrap();
    }
}
