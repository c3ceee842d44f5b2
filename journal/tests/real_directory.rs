//! What lies in a journal's directory on a real file system, and was not put there by a journal.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use journal::{FileStorage, Storage};
use nix::sys::stat::Mode;

use crate::looking::Directory;

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn nobody_else_may_look_and_what_is_narrow_stays_narrow() {
    for (before, after) in [(0o755, 0o700), (0o710, 0o700), (0o701, 0o700), (0o700, 0o700), (0o500, 0o500)] {
        let directory = Directory::new("nobody-else-may-look");
        fs::create_dir_all(&directory.0).unwrap();
        fs::set_permissions(&directory.0, Permissions::from_mode(before)).unwrap();
        FileStorage::read_only(&directory.0).unwrap();
        assert_eq!(mode(&directory.0), before, "a reader changes nothing");
        FileStorage::at(&directory.0).unwrap();
        assert_eq!(mode(&directory.0), after);
        fs::set_permissions(&directory.0, Permissions::from_mode(0o700)).unwrap();
    }
    let directory = Directory::new("nobody-else-may-look");
    let mut storage = FileStorage::at(directory.0.join("above/journal")).unwrap();
    assert_eq!(mode(directory.0.join("above/journal")), 0o700);
    storage.create("file", 10).unwrap();
    assert_eq!(mode(directory.0.join("above/journal/file")), 0o600);
}

#[test]
fn links_lead_nowhere() {
    let directory = Directory::new("links-lead-nowhere");
    let place = directory.0.join("journal");
    let mut storage = FileStorage::at(&place).unwrap();
    symlink(&place, directory.0.join("link")).unwrap();
    assert!(FileStorage::at(directory.0.join("link")).is_err());
    fs::write(directory.0.join("outside"), "untouched").unwrap();
    symlink(directory.0.join("outside"), place.join("segment")).unwrap();
    assert!(storage.open("segment").is_err());
    assert!(storage.read("segment", 100, &mut Vec::new()).is_err());
    storage.create("segment", 10).unwrap();
    assert_eq!(fs::read_to_string(directory.0.join("outside")).unwrap(), "untouched");
    symlink(&directory.0, place.join("quarantine")).unwrap();
    assert!(storage.list(true).is_err());
}

#[test]
fn what_is_no_directory_is_none() {
    let directory = Directory::new("what-is-no-directory-is-none");
    let mut storage = FileStorage::at(&directory.0).unwrap();
    storage.create("file", 10).unwrap();
    assert!(FileStorage::read_only(directory.0.join("file")).is_err());
    assert!(FileStorage::at(directory.0.join("file")).is_err());
    let file = File::open(directory.0.join("file")).unwrap();
    assert_eq!(FileStorage::from_directory(file.into()).unwrap_err().kind(), ErrorKind::NotADirectory);
    storage.create("quarantine", 10).unwrap();
    assert!(storage.list(true).is_err());
}

#[test]
fn a_pipe_under_the_name_of_a_segment_holds_up_nobody() {
    let directory = Directory::new("a-pipe-under-the-name-of-a-segment-holds-up-nobody");
    let storage = FileStorage::at(&directory.0).unwrap();
    nix::unistd::mkfifo(&directory.0.join("segment"), Mode::S_IRWXU).unwrap();
    assert!(storage.read("segment", 100, &mut Vec::new()).is_err());
}

#[test]
fn no_process_that_is_started_has_the_journal_open() {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let directory = Directory::new("no-process-that-is-started-has-the-journal-open");
    let mut storage = FileStorage::at(&directory.0).unwrap();
    storage.lock().unwrap();
    let _files = (storage.create("file", 10).unwrap(), storage.open("file").unwrap());
    let _reader = FileStorage::read_only(&directory.0).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if !fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&directory.0)) {
            continue;
        }
        let information = Path::new("/proc/self/fdinfo").join(entry.file_name());
        let text = fs::read_to_string(information).unwrap();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_ne!(u32::from_str_radix(flags, 8).unwrap() & CLOSE_ON_EXEC, 0, "{:?}", fs::read_link(entry.path()));
        seen += 1;
    }
    assert_eq!(seen, 5, "the directory twice, the lock, the file twice");
}

#[test]
fn whoever_reads_a_file_keeps_it_when_another_takes_its_name() {
    let directory = Directory::new("whoever-reads-a-file-keeps-it-when-another-takes-its-name");
    let mut storage = FileStorage::at(&directory.0).unwrap();
    let mut old = storage.create("file", 10).unwrap();
    storage.write_at(&mut old, 0, b"old").unwrap();
    let new = storage.create("file", 10).unwrap();
    assert_ne!(old.metadata().unwrap().ino(), new.metadata().unwrap().ino());
    assert_eq!(old.metadata().unwrap().len(), 10);
}

#[test]
fn the_quarantine_is_made_when_it_is_needed_and_not_before() {
    let directory = Directory::new("the-quarantine-is-made-when-it-is-needed");
    let mut storage = FileStorage::at(&directory.0).unwrap();
    assert_eq!((storage.list(false).unwrap(), storage.list(true).unwrap()), (Vec::new(), Vec::new()));
    assert_eq!(storage.rename("missing", "elsewhere").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!directory.0.join("quarantine").exists());
    storage.create("file", 10).unwrap();
    storage.rename("file", "quarantine/file").unwrap();
    storage.create("quarantine/copy", 10).unwrap();
    let mut names = storage.list(true).unwrap();
    names.sort();
    assert_eq!(names, ["copy", "file"]);
    assert_eq!(mode(directory.0.join("quarantine")), 0o700);
}

#[test]
fn memory_is_told_from_a_disk() {
    let is_on_tmpfs = |path: &str| FileStorage::read_only(path).unwrap().is_on_tmpfs().unwrap();
    assert!(!is_on_tmpfs("/proc"));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    // From the last on, because something may be mounted over it.
    let tmpfs = mounts.lines().rev().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (kind == "tmpfs" && FileStorage::read_only(place).is_ok()).then_some(place)
    });
    if let Some(place) = tmpfs {
        assert!(is_on_tmpfs(place), "{place}");
    }
}
