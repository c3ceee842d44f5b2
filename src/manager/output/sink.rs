//! Log files, and the memory files that stand in for them while they cannot be written.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use tokio::sync::mpsc::UnboundedSender;

use super::Places;
use super::times::Times;
use super::{Request, splice_some, spool_name};
use crate::origin;

/// How many log files are kept open between writes.
const OPEN_MAX: usize = 256;

/// How much of one job's output is kept in memory at the most, in bytes; after that the job waits.
const SPOOL_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Output in memory.
struct Spool {
    file: File,
    /// So much of it is in the log file already, in bytes. A manager that is killed in the middle of writing a spool
    /// writes that part twice: better than not at all.
    written: i64,
}

/// Where output ends up.
pub(super) struct Sink {
    directory: PathBuf,
    makes_directory: bool,
    open: HashMap<String, File>,
    spools: HashMap<String, Spool>,
    times: Times,
    requests: UnboundedSender<Request>,
}

impl Sink {
    pub(super) fn new(places: Places, requests: UnboundedSender<Request>) -> Self {
        let times = Times::in_directory(places.notes);
        let (directory, makes_directory) = (places.logs, places.makes_logs);
        Self { directory, makes_directory, open: HashMap::new(), spools: HashMap::new(), times, requests }
    }

    /// Deletes what nobody needs any more.
    pub(super) fn sweep(&self) {
        self.times.sweep(&self.directory);
    }

    /// Takes up a spool that the manager before has left.
    pub(super) fn resume_spool(&mut self, file: &str, spool: File) {
        self.spools.insert(file.into(), Spool { file: spool, written: 0 });
    }

    pub(super) fn has_spools(&self) -> bool {
        !self.spools.is_empty()
    }

    /// Whether so much of a job's output is in memory that the job has to wait.
    pub(super) fn is_full(&self, file: &str) -> bool {
        let spool = self.spools.get(file).and_then(|spool| spool.file.metadata().ok());
        spool.is_some_and(|metadata| metadata.len() >= SPOOL_MAX_BYTES)
    }

    /// Moves some of what is in the pipe, which the process of a ticket has printed, into a file; whether there may be more.
    pub(super) fn take(&mut self, file: &str, ticket: u64, pipe: BorrowedFd<'_>) -> io::Result<bool> {
        if !self.spools.contains_key(file) {
            match self.splice_to_log(file, ticket, pipe) {
                Ok(moved) => return Ok(moved > 0),
                Err(error) if is_empty_pipe(&error) => return Ok(false),
                Err(error) => self.begin_spool(file, &error)?,
            }
        }
        let Some(spool) = self.spools.get_mut(file) else { return Ok(false) };
        spool.file.seek(SeekFrom::End(0))?;
        match splice_some(pipe, spool.file.as_fd()) {
            Ok(moved) => Ok(moved > 0),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn splice_to_log(&mut self, name: &str, ticket: u64, pipe: BorrowedFd<'_>) -> io::Result<usize> {
        let (log, end) = self.log_file(name)?;
        let moved = splice_some(pipe, log.as_fd())?;
        if moved > 0 {
            let log = log.metadata()?;
            self.times.note(name, &log, end, ticket, origin::stamp().wall_us);
        }
        Ok(moved)
    }

    /// The log file, at its end, and where that is; opened anew if it was deleted or moved away.
    fn log_file(&mut self, name: &str) -> io::Result<(&mut File, u64)> {
        let path = self.directory.join(name);
        let is_current = match (self.open.get(name).map(File::metadata), fs::metadata(&path)) {
            (Some(Ok(open)), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            _ => false,
        };
        if !is_current {
            self.open.remove(name);
            if self.open.len() >= OPEN_MAX {
                self.open.clear();
            }
            if self.makes_directory {
                fs::create_dir_all(&self.directory)?;
            }
            // Not for appending: splice(2) refuses such files. We are the only writer, so the end is where we were.
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o640)
                .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
                .open(&path)?;
            self.open.insert(name.into(), file);
        }
        let file = self.open.get_mut(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let end = file.seek(SeekFrom::End(0))?;
        Ok((file, end))
    }

    /// Closes these log files, if they are open.
    pub(super) fn close(&mut self, is_done: impl Fn(&str) -> bool) {
        self.open.retain(|name, _| !is_done(name));
    }

    fn begin_spool(&mut self, name: &str, why: &io::Error) -> io::Result<()> {
        let spool = File::from(memfd_create(c"spool", MFdFlags::MFD_CLOEXEC)?);
        let _ = self.requests.send(Request::Hold(spool_name(name), spool.try_clone()?.into()));
        // A system that boots has no log directory yet, and that is nothing to tell.
        if why.kind() != io::ErrorKind::NotFound && why.kind() != io::ErrorKind::ReadOnlyFilesystem {
            let path = self.directory.join(name);
            let text = format!("{}: {why}; output is kept in memory until it can be written", path.display());
            let _ = self.requests.send(Request::Warn(text));
        }
        self.spools.insert(name.into(), Spool { file: spool, written: 0 });
        Ok(())
    }

    /// Writes what was kept in memory, as far as that is possible now.
    pub(super) fn write_spools(&mut self) {
        let names: Vec<String> = self.spools.keys().cloned().collect();
        for name in names {
            let Some(mut spool) = self.spools.remove(&name) else { continue };
            match self.write_spool(&name, &mut spool) {
                Ok(()) => {
                    let _ = self.requests.send(Request::Release(spool_name(&name)));
                }
                Err(_) => {
                    self.spools.insert(name, spool);
                }
            }
        }
    }

    /// Copies a spool to its log file.
    fn write_spool(&mut self, name: &str, spool: &mut Spool) -> io::Result<()> {
        let (log, end) = self.log_file(name)?;
        let length = spool.file.metadata()?.len();
        while u64::try_from(spool.written).is_ok_and(|written| written < length) {
            if sendfile(&*log, &spool.file, Some(&mut spool.written), 1 << 20)? == 0 {
                break;
            }
        }
        let log = log.metadata()?;
        // When it was printed is not known any more.
        self.times.note(name, &log, end, 0, origin::stamp().wall_us);
        Ok(())
    }
}

fn is_empty_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
