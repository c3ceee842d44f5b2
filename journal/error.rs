//! What can go wrong, typed: what was wrong, where, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

/// A file operation failed.
#[derive(Debug)]
pub struct StorageError {
    /// What was tried: "read", "create" …
    pub operation: &'static str,
    /// Name in the journal's directory; "." for the directory itself.
    pub file: String,
    /// What the system said.
    pub source: io::Error,
}

impl StorageError {
    pub(crate) fn of(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { operation, file: file.to_owned(), source }
    }

    pub(crate) fn is_no_room(&self) -> bool {
        crate::storage::is_no_room(&self.source)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, file, source } = self;
        write!(f, "journal: cannot {operation} {file}: {source}")
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Why a journal was not opened. Nothing in it was destroyed.
#[derive(Debug)]
pub enum OpenError {
    /// Another process writes to the same journal. End that one first.
    Locked,
    /// A file was written by a newer version of this program. Go back to that version, or move the journal away.
    NewerVersion {
        /// Name of the file.
        file: String,
        /// Its format version.
        found: u16,
        /// The newest that this program reads.
        supported: u16,
    },
    /// A segment or frame bears the largest number there is. No honest journal ever gets there: move it away.
    NumbersExhausted,
    /// A file operation failed.
    Storage(StorageError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("journal: another process is writing to it"),
            Self::NewerVersion { file, found, supported } => write!(
                f,
                "journal: {file} has format version {found}, this program reads up to {supported}; \
                 run the newer program, or move the journal away"
            ),
            Self::NumbersExhausted => f.write_str("journal: it bears the largest number there is; move it away"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Storage(error) => error.source(),
            _ => None,
        }
    }
}

/// Why a frame was not appended.
///
/// After every one of these the log can be used further, and the frames before are where they were.
#[derive(Debug)]
pub enum AppendError {
    /// The payload is larger than any frame. Nothing was written; split it.
    TooLarge {
        /// Its length in bytes.
        length_bytes: usize,
        /// What is allowed, in bytes.
        maximum_bytes: usize,
    },
    /// No room for a new segment, even after everything that is no longer needed was given up. Nothing was written.
    /// Take a checkpoint and try again; if that has no room either, make room in the file system.
    NoRoom {
        /// Size in bytes of the segment there was no room for.
        needed_bytes: u64,
    },
    /// The last sequence number has been given out. Nothing was written.
    SequenceExhausted,
    /// The write (or with [`Durability::Fsync`](crate::Durability::Fsync) the sync) failed. After a crash the frame may be found
    /// or not, until the next successful append, which makes it void for good. Its number is not used again.
    Storage(StorageError),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { length_bytes, maximum_bytes } => {
                write!(f, "journal: a frame of {length_bytes} bytes is larger than {maximum_bytes}")
            }
            Self::NoRoom { needed_bytes } => {
                write!(f, "journal: no room for a segment of {needed_bytes} bytes; take a checkpoint or free some room")
            }
            Self::SequenceExhausted => f.write_str("journal: the last sequence number is used"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl Error for AppendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Storage(error) => error.source(),
            _ => None,
        }
    }
}

/// Why a checkpoint was not taken. The ones before, and all frames, are where they were.
#[derive(Debug)]
pub enum CheckpointError {
    /// The state is larger than any checkpoint.
    TooLarge {
        /// Its length in bytes.
        length_bytes: usize,
        /// What is allowed, in bytes.
        maximum_bytes: usize,
    },
    /// No room for the state, even after everything that is no longer needed was given up.
    NoRoom {
        /// Size in bytes of the file there was no room for.
        needed_bytes: u64,
    },
    /// A file operation failed.
    Storage(StorageError),
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { length_bytes, maximum_bytes } => {
                write!(f, "journal: a state of {length_bytes} bytes is larger than {maximum_bytes}")
            }
            Self::NoRoom { needed_bytes } => {
                write!(f, "journal: no room for a checkpoint of {needed_bytes} bytes; free some room")
            }
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl Error for CheckpointError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Storage(error) => error.source(),
            _ => None,
        }
    }
}

/// Why frames were not set aside. Nothing has changed.
#[derive(Debug)]
pub enum QuarantineError {
    /// The frame is part of a checkpoint and cannot be taken out of it.
    InCheckpoint {
        /// The frame that was asked for.
        sequence: u64,
        /// The last one in the checkpoint.
        checkpoint_sequence: u64,
    },
    /// No room for the segment that would go on without the frames.
    NoRoom {
        /// Its size in bytes.
        needed_bytes: u64,
    },
    /// A file operation failed.
    Storage(StorageError),
}

impl fmt::Display for QuarantineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InCheckpoint { sequence, checkpoint_sequence } => {
                write!(f, "journal: frame {sequence} is part of the checkpoint of frame {checkpoint_sequence}")
            }
            Self::NoRoom { needed_bytes } => {
                write!(f, "journal: no room for a segment of {needed_bytes} bytes; free some room")
            }
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl Error for QuarantineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Storage(error) => error.source(),
            _ => None,
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<StorageError> for AppendError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<StorageError> for CheckpointError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<StorageError> for QuarantineError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
