//! The only seam between the journal and files. Implementations know names and bytes, and must never know formats.

pub(crate) mod file;
pub(crate) mod memory;

use std::io;

/// Sub-directory for what was set aside for study.
pub const QUARANTINE: &str = "quarantine";
/// File that a writer locks.
pub const LOCK: &str = "lock";

/// A directory of files, as far as the journal needs one.
///
/// Names are plain names, or `quarantine/` and a plain name; that one sub-directory appears when it is first needed.
/// Errors are those of the system calls: [`io::ErrorKind::StorageFull`] and [`io::ErrorKind::QuotaExceeded`] mean that
/// there is no room, [`io::ErrorKind::NotFound`] that there is no such file.
pub trait Storage {
    /// An open file that is written to.
    type File;

    /// Makes this value the directory's only writer until it is dropped or its process ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is another writer.
    fn lock(&mut self) -> io::Result<()>;

    /// Names of the files in the directory, or in [`QUARANTINE`], in no particular order. A missing sub-directory is empty.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self, quarantine: bool) -> io::Result<Vec<String>>;

    /// Replaces the content of `into` with the first `limit` bytes of the file, or all of it if it is shorter, and returns the
    /// file's size in bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read(&self, name: &str, limit: u64, into: &mut Vec<u8>) -> io::Result<u64>;

    /// Makes a file of `size_bytes` zeros, all of its room reserved, in place of any file of that name.
    ///
    /// # Errors
    /// When there is no room: then there is no file either, and later writes within the size cannot fail for want of room.
    fn create(&mut self, name: &str, size_bytes: u64) -> io::Result<Self::File>;

    /// Opens a file that is there, to write to it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    fn open(&mut self, name: &str) -> io::Result<Self::File>;

    /// Writes at `offset` with one system call, and returns how many bytes were written.
    ///
    /// # Errors
    /// When nothing was written.
    fn write_at(&mut self, file: &mut Self::File, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Makes the bytes of the file survive a loss of power.
    ///
    /// # Errors
    /// When the medium did not take them.
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;

    /// Makes the names in the directory, and in [`QUARANTINE`], survive a loss of power.
    ///
    /// # Errors
    /// When the medium did not take them.
    fn sync_directory(&mut self) -> io::Result<()>;

    /// Gives a file another name, atomically, in place of any file that had it.
    ///
    /// # Errors
    /// When the file is not there or cannot be renamed.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. That it is not there is no error.
    ///
    /// # Errors
    /// When the file cannot be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// Whether an error of a [`Storage`] means that there is no room left.
pub(crate) fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
