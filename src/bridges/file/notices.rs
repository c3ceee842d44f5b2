//! What the kernel says about directories.
//!
//! Knows inotify(7) and nothing of jobs. Directories that are watched are known by their paths; two paths may lead to
//! the same directory.

// Registering a descriptor with the runtime is unsafe in general; see there.
#![allow(unsafe_code)]

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

struct Handle(Inotify);

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// What happened in a directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A name appeared.
    Created,
    /// A file was moved to this name.
    MovedTo,
    /// A file that was open for writing was closed.
    Written,
    /// A name is gone.
    Gone,
}

/// Something to act on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// Something happened to this name in this directory.
    Entry(PathBuf, String, Kind),
    /// Directories came or went, or notices were lost: look at everything again.
    LookAgain,
}

/// The directories that are watched.
pub struct Notices {
    inotify: AsyncFd<Handle>,
    watched: HashMap<WatchDescriptor, BTreeSet<PathBuf>>,
}

impl Notices {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// As from inotify_init1(2).
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // SAFETY: the handle owns its descriptor, and neither gives it away nor changes it.
        let inotify = unsafe { AsyncFd::register_with_interest(Handle(inotify), Interest::READABLE) }?;
        Ok(Self { inotify, watched: HashMap::new() })
    }

    /// Watches exactly these directories from now on; those that cannot be watched (any more) are left out.
    pub fn watch(&mut self, directories: &BTreeSet<PathBuf>) {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let inotify = &self.inotify.get_ref().0;
        let mut watched: HashMap<_, BTreeSet<PathBuf>> = HashMap::new();
        for directory in directories {
            if let Ok(descriptor) = inotify.add_watch(directory, flags) {
                watched.entry(descriptor).or_default().insert(directory.clone());
            }
        }
        for descriptor in self.watched.keys().filter(|old| !watched.contains_key(old)) {
            // The kernel may have dropped it already, together with the directory.
            let _ = inotify.rm_watch(*descriptor);
        }
        self.watched = watched;
    }

    /// Waits for notices.
    ///
    /// # Errors
    /// As from read(2).
    pub async fn next(&mut self) -> io::Result<Vec<Notice>> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match ready.get_inner().0.read_events() {
                Ok(events) => {
                    let notices: Vec<_> = events.iter().flat_map(|event| self.notices_of(event)).collect();
                    if !notices.is_empty() {
                        return Ok(notices);
                    }
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn notices_of(&self, event: &InotifyEvent) -> Vec<Notice> {
        let is = |flags| event.mask.intersects(flags);
        if is(AddWatchFlags::IN_Q_OVERFLOW) {
            return vec![Notice::LookAgain];
        }
        let Some(directories) = self.watched.get(&event.wd) else {
            return Vec::new();
        };
        let lost = AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_UNMOUNT
            | AddWatchFlags::IN_IGNORED;
        if is(lost) {
            return vec![Notice::LookAgain];
        }
        let kind = if is(AddWatchFlags::IN_CREATE) {
            Kind::Created
        } else if is(AddWatchFlags::IN_MOVED_TO) {
            Kind::MovedTo
        } else if is(AddWatchFlags::IN_CLOSE_WRITE) {
            Kind::Written
        } else {
            Kind::Gone
        };
        let name = event.name.as_deref().unwrap_or_default().to_string_lossy().into_owned();
        let entry = |path: &PathBuf| Notice::Entry(path.clone(), name.clone(), kind);
        let mut notices: Vec<_> = directories.iter().map(entry).collect();
        // A directory may be one that we are waiting for, or the way to it.
        if is(AddWatchFlags::IN_ISDIR) {
            notices.push(Notice::LookAgain);
        }
        notices
    }
}

/// The nearest directory that exists, from this one upwards.
pub fn nearest(directory: &Path) -> PathBuf {
    let exists = |path: &&Path| path.is_dir();
    directory.ancestors().find(exists).unwrap_or(Path::new("/")).to_owned()
}
