//! The last words of a manager: what it says is kept beside the journal, in bounded files in memory, until the manager that
//! comes after it knows why it is gone.
//!
//! Nothing of it is needed to come back: what cannot be written is not there, and that is all.

use std::backtrace::Backtrace;
use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use crate::{origin, report};

/// The newer half of what was said, and the older one.
const FILES: [&str; 2] = ["last-words", "last-words.before"];

/// How large a half may become, in bytes.
const HALF_BYTES: u64 = 16 << 10;

/// So many lines are handed to the next manager, the last ones.
const LINES: usize = 200;

/// So many lines of a stack are written at the most: a frame takes one or two.
const STACK_LINES: usize = 120;

static KEPT: OnceLock<Mutex<Kept>> = OnceLock::new();

#[derive(Debug)]
struct Kept {
    directory: PathBuf,
    file: File,
    bytes: u64,
}

/// Begins to keep what is said in a directory, and returns what the manager before has said last.
///
/// # Errors
/// When nothing can be kept there.
pub fn begin(directory: &Path) -> io::Result<Vec<String>> {
    let (words, kept) = renew(directory)?;
    // There is one manager in a process.
    let _ = KEPT.set(Mutex::new(kept));
    Ok(words)
}

fn renew(directory: &Path) -> io::Result<(Vec<String>, Kept)> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if fs::symlink_metadata(directory)?.uid() != nix::unistd::geteuid().as_raw() {
        // It may be in /dev/shm, which is open to everybody.
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut lines = VecDeque::new();
    for name in FILES.iter().rev() {
        let text = fs::read(directory.join(name)).unwrap_or_default();
        lines.extend(String::from_utf8_lossy(&text).lines().map(ToOwned::to_owned));
    }
    lines.drain(..lines.len().saturating_sub(LINES));
    remove(directory);
    let kept = Kept { directory: directory.to_path_buf(), file: create(directory)?, bytes: 0 };
    Ok((lines.into(), kept))
}

/// Removes what was kept.
pub fn remove(directory: &Path) {
    for name in FILES {
        let _ = fs::remove_file(directory.join(name));
    }
}

fn create(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options.open(directory.join(FILES[0]))
}

/// Keeps a line that was said. Never waits: the handler of a signal may say something in the middle of this.
pub(crate) fn keep(line: &str) {
    let Some(Ok(mut kept)) = KEPT.get().map(Mutex::try_lock) else { return };
    let _ = kept.keep(line);
}

impl Kept {
    fn keep(&mut self, line: &str) -> io::Result<()> {
        if self.bytes >= HALF_BYTES {
            fs::rename(self.directory.join(FILES[0]), self.directory.join(FILES[1]))?;
            self.file = create(&self.directory)?;
            self.bytes = 0;
        }
        let since_boot_us = origin::since_boot_us();
        let line = format!("[{:6}.{:06}] {line}\n", since_boot_us / 1_000_000, since_boot_us % 1_000_000);
        self.bytes += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }
}

/// Has a panic say where it was, in the log and among the last words.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(panicked));
}

fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    report::error(&format!("the manager has panicked{place}: {}", text.unwrap_or("?")));
    tell_stack();
}

/// Writes the stack of this thread to the log.
pub(crate) fn tell_stack() {
    let stack = Backtrace::force_capture().to_string();
    for line in stack.lines().take(STACK_LINES) {
        report::error(line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_bounded_and_the_last_ones_are_there() {
        let place = std::env::temp_dir().join(format!("stayup-words-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        let (words, mut kept) = renew(&place).unwrap();
        assert_eq!(words, Vec::<String>::new());
        for number in 0..5_000 {
            kept.keep(&format!("line {number}")).unwrap();
        }
        let bytes: u64 = FILES.iter().map(|name| fs::metadata(place.join(name)).unwrap().len()).sum();
        assert!(bytes < 2 * HALF_BYTES + 100);
        let words = renew(&place).unwrap().0;
        assert_eq!(words.len(), LINES);
        assert!(words.iter().zip(4_800..).all(|(line, number)| line.ends_with(&format!("] line {number}"))));
        assert_eq!(renew(&place).unwrap().0, Vec::<String>::new(), "said once");
        fs::remove_dir_all(&place).unwrap();
    }
}
