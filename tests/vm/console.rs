//! A serial line of the machine: what it said, and typing on it.

use crate::error::VmError;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So much of the end is told when something did not come, in bytes.
const TAIL_BYTES: usize = 2_000;

#[derive(Debug, Default)]
struct Heard {
    text: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Heard {
    fn text(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Console {
    line: UnixStream,
    heard: Arc<Heard>,
    /// Everything before has been waited for.
    seen: usize,
}

impl Console {
    /// A line whose words also go to a file.
    pub(crate) fn new(line: UnixStream, record: &Path) -> Result<Self, VmError> {
        let heard = Arc::new(Heard::default());
        let mut record_file = std::fs::File::create(record).map_err(VmError::at("write", record))?;
        let mut reader = line.try_clone().map_err(VmError::at("read the line of", record))?;
        let shared = heard.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let _ = record_file.write_all(&buffer[..count]);
                // A terminal's carriage returns would only be in the way.
                let clean = buffer[..count].iter().copied().filter(|&byte| byte != b'\r');
                shared.text().extend(clean);
                shared.more.notify_all();
            }
        });
        Ok(Self { line, heard, seen: 0 })
    }

    /// Types a line.
    pub(crate) fn send(&mut self, text: &str) -> Result<(), VmError> {
        let all = format!("{text}\n");
        self.line.write_all(all.as_bytes()).map_err(|source| VmError::File { what: format!("type {text:?}"), source })
    }

    /// Waits for one of these after all that has been waited for; gives which, and what came before it.
    pub(crate) fn wait_for_any(&mut self, wanted: &[&str], patience: Duration) -> Result<(usize, String), VmError> {
        let limit = Instant::now() + patience;
        let mut text = self.heard.text();
        loop {
            let new = &text[self.seen..];
            let found = wanted.iter().enumerate().filter_map(|(index, one)| Some((find(new, one.as_bytes())?, index)));
            if let Some((at, index)) = found.min() {
                let before = String::from_utf8_lossy(&new[..at]).into_owned();
                self.seen += at + wanted[index].len();
                return Ok((index, before));
            }
            let Some(left) = limit.checked_duration_since(Instant::now()) else {
                let tail = &new[new.len().saturating_sub(TAIL_BYTES)..];
                let seen = String::from_utf8_lossy(tail).into_owned();
                return Err(VmError::Never { what: format!("{wanted:?} within {} s", patience.as_secs()), seen });
            };
            text = self.heard.more.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same for one.
    pub(crate) fn wait_for(&mut self, wanted: &str, patience: Duration) -> Result<String, VmError> {
        self.wait_for_any(&[wanted], patience).map(|(_, before)| before)
    }

    /// Whether it has ever said this.
    pub(crate) fn has_said(&self, wanted: &str) -> bool {
        find(&self.heard.text(), wanted.as_bytes()).is_some()
    }

    /// All it has ever said.
    pub(crate) fn all(&self) -> String {
        String::from_utf8_lossy(&self.heard.text()).into_owned()
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
