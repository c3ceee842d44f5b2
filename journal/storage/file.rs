//! A journal in a real directory, reached through one directory descriptor, so that it stays the same directory
//! whatever is mounted or renamed above it.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate, open, openat, posix_fallocate, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{LOCK, QUARANTINE, Storage};

/// Files in one directory of mode 0700.
#[derive(Debug)]
pub struct FileStorage {
    directory: OwnedFd,
    lock: Option<File>,
}

impl FileStorage {
    /// Opens the directory, and makes it (and missing ones above it) first if need be. Takes the permissions of group and
    /// others away if it has any.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn at(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path)?;
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        Self::from_directory(open(path, flags, Mode::empty())?)
    }

    /// Takes over an open directory, for example one that another process kept.
    ///
    /// # Errors
    /// When the descriptor is not one of a directory, or its permissions cannot be narrowed to 0700.
    pub fn from_directory(directory: OwnedFd) -> io::Result<Self> {
        let directory = File::from(directory);
        let metadata = directory.metadata()?;
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            directory.set_permissions(std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(Self { directory: directory.into(), lock: None })
    }

    /// Opens a directory that is there, to read only: it is left as it is, permissions and all.
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    pub fn read_only(path: impl AsRef<Path>) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        Ok(Self { directory: open(path.as_ref(), flags, Mode::empty())?, lock: None })
    }

    /// Whether the directory is on tmpfs (statfs(2)). Elsewhere the journal works, but a write may wait for a disk.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn is_on_tmpfs(&self) -> io::Result<bool> {
        Ok(fstatfs(&self.directory)?.filesystem_type() == TMPFS_MAGIC)
    }

    pub(crate) fn open_to_read(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK)
    }

    fn open_with(&self, name: &str, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        Ok(openat(&self.directory, name, flags, mode)?.into())
    }

    /// Runs `action` again after making the sub-directory, if that was what it lacked.
    fn with_quarantine<T>(&self, name: &str, mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match action() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with(QUARANTINE) => {
                match mkdirat(&self.directory, QUARANTINE, Mode::S_IRWXU) {
                    Ok(()) | Err(Errno::EEXIST) => action(),
                    Err(errno) => Err(errno.into()),
                }
            }
            other => other,
        }
    }

    fn open_quarantine(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        openat(&self.directory, QUARANTINE, flags, Mode::empty())
    }
}

impl Storage for FileStorage {
    type File = File;

    fn lock(&mut self) -> io::Result<()> {
        let file = self.open_with(LOCK, OFlag::O_RDWR | OFlag::O_CREAT)?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, quarantine: bool) -> io::Result<Vec<String>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        // Opened anew, because the position of a directory is shared between duplicates of a descriptor.
        let opened =
            if quarantine { self.open_quarantine() } else { openat(&self.directory, ".", flags, Mode::empty()) };
        let mut directory = match opened {
            Ok(directory) => Dir::from_fd(directory)?,
            Err(Errno::ENOENT) if quarantine => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        };
        let mut names = Vec::new();
        for entry in directory.iter() {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, limit: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        let file = self.open_to_read(name)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        into.clear();
        into.reserve(metadata.len().min(limit) as usize);
        let read = file.take(limit).read_to_end(into)?;
        Ok(metadata.len().max(read as u64))
    }

    fn create(&mut self, name: &str, size_bytes: u64) -> io::Result<File> {
        let file = self.with_quarantine(name, || {
            // Never truncated in place: whoever still reads the old file keeps it.
            self.remove_file(name)?;
            self.open_with(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)
        })?;
        if let Err(error) = reserve(&file, size_bytes) {
            self.remove_file(name)?;
            return Err(error);
        }
        Ok(file)
    }

    fn open(&mut self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlag::O_RDWR)
    }

    fn write_at(&mut self, file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        match self.open_quarantine() {
            Ok(quarantine) => nix::unistd::fsync(&quarantine)?,
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(nix::unistd::fsync(self.directory.as_fd())?)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.with_quarantine(to, || Ok(renameat(&self.directory, from, &self.directory, to)?))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.remove_file(name)
    }
}

impl FileStorage {
    fn remove_file(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Reserves room for the whole file, so that no later write within it can fail for want of room.
fn reserve(file: &File, size_bytes: u64) -> io::Result<()> {
    if size_bytes == 0 {
        return Ok(());
    }
    let length = i64::try_from(size_bytes).map_err(|_| io::Error::from(Errno::EFBIG))?;
    loop {
        let outcome = match fallocate(file, FallocateFlags::empty(), 0, length) {
            // posix_fallocate(3) writes zeros where the file system cannot reserve.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => posix_fallocate(file, 0, length),
            other => other,
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
