//! The one who kills: on a thread of its own, at a time or at a place in the journal.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long is waited for the journal to come to a place: the manager may have nothing more to write.
const JOURNAL_PATIENCE: Duration = Duration::from_millis(20);

/// When.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// After this time.
    After(Duration),
    /// As soon as the journal has so many frames more than now.
    Frames(u32),
}

/// Whom, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victim {
    /// Which process.
    pub(super) pid: i32,
    /// By which signal.
    pub(super) signal: Signal,
    /// The first SIGSEGV that another process sends to a Rust program only takes away the handler that std has put there to
    /// tell of stack overflows; the second one kills it.
    pub(super) is_twice: bool,
}

/// Kills in a moment; gives back when it was done.
pub(super) fn strike(journal: &Path, victim: Victim, when: When) -> JoinHandle<Option<Instant>> {
    let Victim { pid, signal, is_twice } = victim;
    let tail = match when {
        When::Frames(_) => Tail::of(journal),
        When::After(_) => None,
    };
    std::thread::spawn(move || {
        match (when, tail) {
            (When::After(time), _) => std::thread::sleep(time),
            (When::Frames(frames), Some(mut tail)) => {
                let begin = Instant::now();
                let mut seen = 0;
                while seen < frames && begin.elapsed() < JOURNAL_PATIENCE {
                    seen += tail.advance();
                }
            }
            (When::Frames(_), None) => {}
        }
        let at = Instant::now();
        let struck = kill(Pid::from_raw(pid), signal).ok().map(|()| at);
        if is_twice {
            // One that comes while another is pending is none; so until nobody is there to take it.
            for _ in 0..500 {
                std::thread::sleep(Duration::from_millis(1));
                if kill(Pid::from_raw(pid), signal).is_err() {
                    break;
                }
            }
        }
        struck
    })
}

/// The end of the newest segment, as FORMAT.md describes it.
#[derive(Debug)]
struct Tail {
    file: File,
    offset: u64,
}

impl Tail {
    fn of(journal: &Path) -> Option<Self> {
        let names = fs::read_dir(journal).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let newest = names.filter(|name| name.starts_with("segment-") && !name.ends_with(".new")).max()?;
        let file = File::open(journal.join(newest)).ok()?;
        let mut tail = Self { file, offset: u64::from(journal::SEGMENT_HEADER_BYTES as u32) };
        tail.advance();
        Some(tail)
    }

    /// Goes to the end; how many frames that were.
    fn advance(&mut self) -> u32 {
        let mut frames = 0;
        loop {
            let mut header = [0; 16];
            if self.file.read_exact_at(&mut header, self.offset).is_err() {
                return frames;
            }
            if header.starts_with(b"SuPadPad") {
                self.offset = (self.offset / 4096 + 1) * 4096;
            } else if header.starts_with(b"SuF") {
                let length = u64::from(u32::from_le_bytes([header[12], header[13], header[14], header[15]]));
                self.offset += (24 + length).next_multiple_of(8);
                frames += 1;
            } else {
                return frames;
            }
        }
    }
}
