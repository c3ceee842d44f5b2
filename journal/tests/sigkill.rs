//! The writer may be killed for real, at any instruction.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use journal::{Durability, FileStorage, Identity, Log, Options, Severity};

use crate::common::payload;

const DIRECTORY: &str = "STAYUP_JOURNAL_TEST_DIRECTORY";

/// A directory on tmpfs where there is one; removed in the end.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new(purpose: &str) -> Self {
        let shared_memory = Path::new("/dev/shm");
        let parent = if shared_memory.is_dir() { shared_memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("stayup-journal-{purpose}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options() -> Options {
    Options {
        segment_bytes: 64 * 1024,
        checkpoint_bytes: 100_000,
        durability: Durability::None,
        identity: Identity::of_this_system().unwrap(),
    }
}

/// Mostly small, some close to a page, some of several pages.
fn payload_of(sequence: u64) -> Vec<u8> {
    let sizes = [20, 128, 300, 128, 1000, 64, 4000, 128, 30_000, 5000, 128];
    payload(sequence as usize, sizes[sequence as usize % sizes.len()])
}

/// The process that is killed. Not a test: it runs only as a child of the one below.
#[test]
#[ignore = "the child of acknowledged_frames_survive_sigkill"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let (mut log, _) = Log::open(FileStorage::at(directory).unwrap(), options()).unwrap();
    let mut pipe = std::io::stderr().lock();
    loop {
        let sequence = log.append(&payload_of(log.next_sequence())).unwrap();
        if pipe.write_all(&sequence.to_le_bytes()).is_err() {
            return;
        }
        if log.wants_checkpoint() {
            log.checkpoint(&sequence.to_le_bytes()).unwrap();
        }
    }
}

fn spawn(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "sigkill::child", "--ignored", "--nocapture"]).env(DIRECTORY, directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn acknowledged_frames_survive_sigkill() {
    let directory = TemporaryDirectory::new("sigkill");
    let mut acknowledged = 0;
    for round in 0..25u64 {
        let mut child = spawn(directory.path());
        let mut pipe = child.stderr.take().unwrap();
        let mut bytes = vec![0; 8 * (1 + (round * 7919 % 997) as usize)];
        pipe.read_exact(&mut bytes).unwrap();
        child.kill().unwrap();
        pipe.read_to_end(&mut bytes).unwrap();
        child.wait().unwrap();
        let whole = bytes.len() / 8 * 8;
        let last: [u8; 8] = bytes[whole - 8..whole].try_into().unwrap();
        assert!(u64::from_le_bytes(last) > acknowledged, "{}", String::from_utf8_lossy(&bytes));
        acknowledged = u64::from_le_bytes(last);

        let (_log, found) = Log::open(FileStorage::at(directory.path()).unwrap(), options()).unwrap();
        assert!(found.report.severity() <= Severity::Repaired, "{:?}", found.report);
        assert!(found.report.last_sequence >= acknowledged, "{acknowledged}: {:?}", found.report);
        if let Some(checkpoint) = &found.checkpoint {
            assert_eq!(checkpoint.state, checkpoint.sequence.to_le_bytes());
        }
        for frame in &found.frames {
            assert_eq!(*frame.payload, payload_of(frame.sequence));
        }
    }
}
