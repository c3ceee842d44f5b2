//! The shared mapping under the table: one file in memory (a memfd, or a session's file on a tmpfs), mapped once at its
//! largest size, so that its address never changes and the crash handler can trust it at any instruction.
//!
//! Knows bytes and how many of them are there. Must never know what they mean.

#![allow(unsafe_code)] // maps memory and hands out references into it.

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Address space set aside, in bytes; memory is used only for what the file really has.
pub(crate) const MAPPED_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A type made of atomics only, for which every bit pattern is a valid value.
///
/// # Safety
/// Both must be true, and the alignment must divide 8.
pub(crate) unsafe trait Atomics {}

/// A file and its mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    file: File,
    base: NonNull<u8>,
    length: AtomicUsize,
}

// SAFETY: the mapping is reached through atomics only, and the address never changes.
unsafe impl Sync for Mapping {}
// SAFETY: as above; nothing is tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// A new memfd of this size, zeroed.
    pub(crate) fn create(length: usize) -> Result<Self, Errno> {
        Self::create_in(memfd_create(c"keeper-table", MFdFlags::MFD_CLOEXEC)?, length)
    }

    /// An empty file, of memory too, made as long as this.
    pub(crate) fn create_in(file: OwnedFd, length: usize) -> Result<Self, Errno> {
        let mapping = Self::adopt(file)?;
        mapping.grow(length)?;
        Ok(mapping)
    }

    /// The mapping of a file that an earlier image made.
    pub(crate) fn adopt(file: OwnedFd) -> Result<Self, Errno> {
        let file = File::from(file);
        let length = file.metadata().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?.len();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAPPED_MAX_BYTES {
            return Err(Errno::EFBIG);
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            use std::os::fd::AsRawFd as _;
            libc::mmap(std::ptr::null_mut(), MAPPED_MAX_BYTES, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // A child that goes wrong between clone and exec must not be able to write into the keeper's table.
        // SAFETY: the mapping made above, whole.
        Errno::result(unsafe { libc::madvise(base, MAPPED_MAX_BYTES, libc::MADV_DONTFORK) })?;
        let base = NonNull::new(base.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Self { file, base, length: AtomicUsize::new(length) })
    }

    /// How many bytes there are.
    pub(crate) fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Makes the file so long; what is new is zero.
    pub(crate) fn grow(&self, length: usize) -> Result<(), Errno> {
        if length > MAPPED_MAX_BYTES {
            return Err(Errno::ENOSPC);
        }
        // Not only ftruncate: memory that is not there must be an error now, not a SIGBUS later.
        let from = self.length();
        nix::fcntl::fallocate(&self.file, nix::fcntl::FallocateFlags::empty(), from as i64, (length - from) as i64)?;
        self.length.store(length, Ordering::Relaxed);
        Ok(())
    }

    /// The file.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// `count` values at `offset`, fewer if the file ends before.
    pub(crate) fn slice<T: Atomics>(&self, offset: usize, count: usize) -> &[T] {
        assert_eq!(offset % 8, 0);
        let there = self.length().saturating_sub(offset) / size_of::<T>();
        // SAFETY: inside of the file (which never shrinks) and of the mapping, aligned to 8 bytes, valid for every bit
        // pattern, and only ever reached through atomics.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset).cast(), count.min(there)) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping this value owns; references into it borrow from this value.
        unsafe { libc::munmap(self.base.as_ptr().cast(), MAPPED_MAX_BYTES) };
    }
}
