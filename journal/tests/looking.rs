//! Fears of those who read: they miss a frame or see one twice, go no further back than recovery, or disturb the writer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use journal::{FileStorage, Followed, Follower, Frame, Identity, Log, Options, Reach, look};

/// A place for a directory of this name, and gone when it is dropped.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stayup-look-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn log(&self) -> Log<FileStorage> {
        let options = Options { segment_bytes: 8192, checkpoint_bytes: 20_000, ..Options::new(Identity::default()) };
        Log::open(FileStorage::at(&self.0).unwrap(), options).unwrap().0
    }

    fn read(&self) -> FileStorage {
        FileStorage::read_only(&self.0).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn payload(number: u64) -> Vec<u8> {
    let length = match number % 7 {
        0 => 9000,
        1 => 0,
        other => (number * other * 37 % 900) as usize,
    };
    vec![number as u8; length]
}

/// Appends one frame as callers do, with a checkpoint when one is due.
fn append(log: &mut Log<FileStorage>, number: u64) {
    log.append(&payload(number)).unwrap();
    if log.wants_checkpoint() {
        log.checkpoint(format!("through {number}").as_bytes()).unwrap();
    }
}

fn drain(follower: &mut Follower, into: &mut Vec<Frame>) -> Followed {
    loop {
        match follower.read(into).unwrap() {
            Followed::More => {}
            end => return end,
        }
    }
}

#[test]
fn a_follower_sees_every_frame_once_whatever_the_writer_removes() {
    let directory = Directory::new("follow");
    let mut log = directory.log();
    append(&mut log, 1);
    let first = look(&directory.read(), Reach::All).unwrap();
    let mut follower = first.follow(directory.read());
    let mut seen = first.frames;
    for number in 2..600 {
        append(&mut log, number);
        if number % 5 == 0 {
            assert_eq!(drain(&mut follower, &mut seen), Followed::Idle);
            assert_eq!(seen.len() as u64, number);
        }
        if number % 90 == 0 {
            // The writer crashes and comes back in a new segment.
            drop(log);
            tear_tail(&directory.0);
            log = directory.log();
        }
    }
    drain(&mut follower, &mut seen);
    let payloads: Vec<_> = seen.iter().map(|frame| frame.payload.to_vec()).collect();
    assert_eq!(payloads, (1..600).map(payload).collect::<Vec<_>>());
}

/// Leaves half a frame behind the last one.
fn tear_tail(directory: &Path) {
    let newest = newest(directory);
    let mut bytes = fs::read(&newest).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 9;
    let end = (used + 3).min(bytes.len());
    bytes[used.min(end)..end].fill(1);
    fs::write(&newest, bytes).unwrap();
}

#[test]
fn a_follower_that_was_left_behind_says_so() {
    let directory = Directory::new("lost");
    let mut log = directory.log();
    append(&mut log, 1);
    let mut follower = look(&directory.read(), Reach::All).unwrap().follow(directory.read());
    for number in 2..300 {
        append(&mut log, number);
    }
    let mut seen = Vec::new();
    assert_eq!(drain(&mut follower, &mut seen), Followed::Lost);
    assert!(seen.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
}

/// A follower reads in pieces; what is larger than those must not be the end for it.
#[test]
fn a_follower_sees_frames_larger_than_what_it_reads_at_once() {
    let directory = Directory::new("large");
    let open = || Log::open(FileStorage::at(&directory.0).unwrap(), Options::new(Identity::default())).unwrap().0;
    let mut log = open();
    log.append(b"the first").unwrap();
    let mut follower = look(&directory.read(), Reach::All).unwrap().follow(directory.read());
    let mut seen = Vec::new();
    let sizes = [5, 250 << 10, 300 << 10, 7, (2 << 20) + 11, 0, 600 << 10, 1];
    for (size, sequence) in sizes.into_iter().zip(2..) {
        log.append(&vec![7; size]).unwrap();
        assert_eq!(drain(&mut follower, &mut seen), Followed::Idle);
        assert_eq!((seen.last().unwrap().payload.len(), follower.sequence()), (size, sequence));
    }
    assert_eq!(seen.len(), sizes.len());
}

/// The newest segment.
fn newest(directory: &Path) -> PathBuf {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().contains("segment-")).max().unwrap()
}

#[test]
fn a_follower_tells_of_what_it_cannot_read() {
    let directory = Directory::new("unread");
    let mut log = directory.log();
    append(&mut log, 1);
    let found = look(&directory.read(), Reach::All).unwrap();
    let mut seen = Vec::new();
    let in_the_way = directory.0.join("segment-00000000000000ff");
    fs::create_dir(&in_the_way).unwrap();
    assert!(found.follow(directory.read()).read(&mut seen).is_err());
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(found.follow(directory.read()).read(&mut seen).unwrap(), Followed::Idle);
    let segment = newest(&directory.0);
    fs::remove_file(&segment).unwrap();
    fs::create_dir(&segment).unwrap();
    assert!(found.follow(directory.read()).read(&mut seen).is_err());
}

/// The writer removes files whenever it likes.
#[test]
fn a_file_that_goes_while_a_follower_looks_is_no_error() {
    let directory = Directory::new("goes");
    let mut log = directory.log();
    append(&mut log, 1);
    let found = look(&directory.read(), Reach::All).unwrap();
    let first = newest(&directory.0);
    let mut last = 1;
    while newest(&directory.0) == first {
        last += 1;
        append(&mut log, last);
    }
    let (next, away) = (newest(&directory.0), directory.0.join("away"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                fs::rename(&next, &away).unwrap();
                fs::rename(&away, &next).unwrap();
            }
        });
        // Until it was seen to its end often enough, between all the times it was away.
        let mut whole = 0;
        let mut failure = None;
        let limit = Instant::now() + Duration::from_secs(60);
        while whole < 100 && failure.is_none() && Instant::now() < limit {
            let (mut follower, mut seen) = (found.follow(directory.read()), Vec::new());
            let end = loop {
                match follower.read(&mut seen) {
                    Ok(Followed::More) => {}
                    end => break end,
                }
            };
            failure = end.err();
            whole += u32::from(follower.sequence() == last);
        }
        done.store(true, Ordering::Release);
        assert!(failure.is_none(), "{failure:?}");
        assert!(whole > 0);
    });
}

#[test]
fn a_look_goes_back_to_the_older_checkpoint_and_the_beginning() {
    let directory = Directory::new("reach");
    let mut log = directory.log();
    let numbers = |found: &journal::Look| -> Vec<u64> { found.frames.iter().map(|frame| frame.sequence).collect() };
    for number in 1..400 {
        append(&mut log, number);
        let all = look(&directory.read(), Reach::All).unwrap();
        let present = look(&directory.read(), Reach::Present).unwrap();
        let base = all.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.sequence);
        assert_eq!(numbers(&all), (base + 1..=number).collect::<Vec<_>>());
        assert!(present.frames.len() <= all.frames.len() && all.report.is_clean());
        let middle = base + (number - base) / 2;
        let to = look(&directory.read(), Reach::To(middle)).unwrap();
        assert!(to.checkpoint.is_none_or(|checkpoint| checkpoint.sequence <= middle));
        assert!(to.places.len() == to.frames.len() && to.report.last_sequence == number);
    }
}

#[test]
fn reading_leaves_everything_as_it_is() {
    let directory = Directory::new("still");
    let mut log = directory.log();
    append(&mut log, 1);
    drop(log);
    fs::remove_file(directory.0.join("lock")).unwrap();
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
    let before = listing(&directory.0);
    look(&directory.read(), Reach::All).unwrap().follow(directory.read()).read(&mut Vec::new()).unwrap();
    assert_eq!(listing(&directory.0), before);
    assert_eq!(fs::metadata(&directory.0).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(FileStorage::read_only(directory.0.join("nothing")).is_err() && !directory.0.join("nothing").exists());
}

fn listing(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn frames_of_a_copy_keep_their_numbers() {
    let directory = Directory::new("copy");
    let mut log = directory.log();
    log.skip_to(41);
    log.checkpoint(b"the state at 41").unwrap();
    for sequence in [42, 43, 60] {
        log.skip_to(sequence - 1);
        assert_eq!(log.append(b"x").unwrap(), sequence);
    }
    let found = look(&directory.read(), Reach::All).unwrap();
    assert_eq!(found.checkpoint.map(|checkpoint| checkpoint.sequence), Some(41));
    assert_eq!(found.frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), [42, 43, 60]);
}
