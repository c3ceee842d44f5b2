//! Where a journal is: a directory, the directory of a crash bundle, an exported file, or that of the init we belong to.

use std::path::{Path, PathBuf};

/// The system's.
pub const SYSTEM_JOURNAL: &str = "/run/stayup/journal";

/// Where the system keeps its archive.
pub const SYSTEM_ARCHIVE: &str = "/var/lib/stayup/history";

/// A journal to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory of segments and checkpoints.
    Directory(PathBuf),
    /// A file that `initjournal export` or `initctl crash-report` has written.
    File(PathBuf),
}

impl Source {
    /// What a path on the command line means. A directory that has a `journal` in it stands for that one.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        if path.is_file() {
            return Self::File(path.to_path_buf());
        }
        let inner = path.join("journal");
        Self::Directory(if inner.is_dir() { inner } else { path.to_path_buf() })
    }

    /// The journal of the session that `$UPSTART_SESSION` names, else the system's.
    #[must_use]
    pub fn of_surroundings() -> Self {
        let session = std::env::var("UPSTART_SESSION").ok().and_then(|address| session_journal(&address));
        Self::Directory(session.unwrap_or_else(|| SYSTEM_JOURNAL.into()))
    }

    /// The path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::File(path) => path,
        }
    }
}

/// The journal of the session init with this D-Bus address.
#[must_use]
pub fn session_journal(address: &str) -> Option<PathBuf> {
    let name = address.strip_prefix("unix:abstract=/com/ubuntu/upstart-session/")?;
    let (uid, pid) = name.split_once('/')?;
    let pid: u32 = pid.split(',').next()?.parse().ok()?;
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let places = [
        runtime.map(|runtime| runtime.join("stayup")),
        Some(PathBuf::from(format!("/run/user/{uid}/stayup"))),
        Some(PathBuf::from(format!("/dev/shm/stayup-{uid}"))),
    ];
    let mut journals = places.into_iter().flatten().map(|place| place.join(format!("{pid}/journal")));
    journals.find(|path| path.is_dir())
}
