//! Where a session's table lies, so that it outlives its keeper: in a file on the tmpfs that logins have, locked by the keeper
//! for as long as it lives. A keeper that starts for the same session takes over the table of one that was killed.
//!
//! The lock is a record lock (fcntl_locking(2)): the kernel lets go of it when the process dies, children do not inherit it,
//! and it survives execve(2). It is lost when *any* descriptor of the file is closed, so the file is opened once, here.
//! Knows files and whose they are. Must never know what is in a table.

use keeper::place;
use keeper::table::{Owner, Table, hash};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Numbers of sessions are pids; where that of this process is taken by a session that was taken over, this is added to it
/// until it is free. Larger than any pid (`PID_MAX_LIMIT`, proc_sys_kernel(5)).
const BEYOND_PIDS: i32 = 1 << 22;

/// A session's table and number.
#[derive(Debug)]
pub(crate) enum Home {
    /// A new session.
    New(Table, i32),
    /// One whose keeper was killed.
    Orphaned(Table, i32),
}

/// The table that this keeper goes on from. None where the next one could not find it anyway: without a tmpfs of this user's.
pub(crate) fn find_or_make() -> Option<Home> {
    let directory = sessions_directory()?;
    let owner = owner()?;
    let mut found: Vec<(u64, i32)> = sessions(&directory);
    // The one that was alive last.
    found.sort_unstable_by(|one, other| other.cmp(one));
    for (_, number) in found {
        if let Some(table) = claim(&directory, number, &owner) {
            return Some(Home::Orphaned(table, number));
        }
    }
    let pid = std::process::id().cast_signed();
    let number =
        (0..).map(|round| pid + round * BEYOND_PIDS).take(500).find(|&number| is_free(&directory, number, &owner))?;
    match make(&directory, number, &owner) {
        Ok(table) => Some(Home::New(table, number)),
        Err(errno) => {
            let at = place::session(number);
            crate::report::say!(
                "no table in {}: {}; if this process is killed, nobody takes over its jobs",
                at.display(),
                errno.desc()
            );
            None
        }
    }
}

/// The end of the session: nothing is left to take over.
pub(crate) fn leave(number: i32) {
    let directory = place::session(number);
    let _ = std::fs::remove_file(directory.join(place::TABLE));
    // The manager has removed what is its own; what others have put there stays.
    let _ = std::fs::remove_dir(&directory);
    let _ = directory.parent().map(std::fs::remove_dir);
}

fn sessions_directory() -> Option<OwnedFd> {
    let path: PathBuf = place::session(0).parent()?.to_owned();
    let mode = Mode::from_bits_truncate(0o700);
    // $XDG_RUNTIME_DIR itself is somebody else's to make.
    let _ = nix::unistd::mkdir(&path, mode);
    open_own(None, &path)
}

/// A directory on a tmpfs, if it is this user's own.
fn open_own(at: Option<&OwnedFd>, path: &Path) -> Option<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    let directory = match at {
        Some(at) => openat(at, path, flags, Mode::empty()).ok()?,
        None => open(path, flags, Mode::empty()).ok()?,
    };
    let is_own = fstat(&directory).is_ok_and(|stat| stat.st_uid == geteuid().as_raw());
    let is_memory = fstatfs(&directory).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC);
    (is_own && is_memory).then_some(directory)
}

/// Who this keeper is; none without /proc.
fn owner() -> Option<Owner> {
    use std::os::unix::fs::MetadataExt as _;
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let login = std::env::var_os("XDG_SESSION_ID").unwrap_or_default();
    Some(Owner {
        boot_id: u128::from_str_radix(&digits, 16).ok()?,
        pid_namespace: std::fs::metadata("/proc/self/ns/pid").ok()?.ino(),
        login: u64::from(hash(login.into_encoded_bytes())),
    })
}

/// When the last manager of each session was started (not by the clock on the wall, which may have been set since), and its
/// number.
fn sessions(directory: &OwnedFd) -> Vec<(u64, i32)> {
    let Ok(copy) = openat(directory, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) else {
        return Vec::new();
    };
    let Ok(mut entries) = nix::dir::Dir::from_fd(copy) else { return Vec::new() };
    let numbers = entries.iter().flatten().filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok());
    let alive = |number: i32| Some((Table::last_manager_start(&open_table(directory, number).ok()?)?, number));
    numbers.filter_map(alive).collect()
}

/// The file of a session's table, if no keeper that lives has it; from here on it is ours.
fn lock(file: &File) -> bool {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLK(&whole)).is_ok()
}

fn open_table(directory: &OwnedFd, number: i32) -> Result<File, Errno> {
    let path = format!("{number}/{}", place::TABLE);
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(directory, path.as_str(), flags, Mode::empty()).map(File::from)
}

/// The table of a session of this owner whose keeper is dead.
fn claim(directory: &OwnedFd, number: i32, owner: &Owner) -> Option<Table> {
    let file = open_table(directory, number).ok()?;
    let is_own = fstat(&file).is_ok_and(|stat| stat.st_uid == geteuid().as_raw());
    if !is_own || !Table::is_of(&file, owner) || !lock(&file) {
        return None;
    }
    // Its end, if it has ended in order meanwhile, takes the file away.
    if fstat(&file).is_ok_and(|stat| stat.st_nlink == 0) {
        return None;
    }
    match Table::adopt(file.into()) {
        Ok((table, damages)) => {
            damages.iter().for_each(|damage| crate::report::say!("{damage}"));
            Some(table)
        }
        Err(error) => {
            crate::report::say!("session {number}: {error}");
            None
        }
    }
}

/// Whether a number can be taken: nobody lives under it, and nobody died under it whom a keeper may still take over from.
fn is_free(directory: &OwnedFd, number: i32, owner: &Owner) -> bool {
    match open_table(directory, number) {
        Err(Errno::ENOENT) => true,
        Err(_) => false,
        Ok(file) => !Table::is_of_boot(&file, owner) && lock(&file),
    }
}

fn make(directory: &OwnedFd, number: i32, owner: &Owner) -> Result<Table, Errno> {
    let name = number.to_string();
    match mkdirat(directory, name.as_str(), Mode::from_bits_truncate(0o700)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let own = open_own(Some(directory), Path::new(&name)).ok_or(Errno::EPERM)?;
    let aside = format!("{}.new", place::TABLE);
    match unlinkat(&own, aside.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = File::from(openat(&own, aside.as_str(), flags, Mode::from_bits_truncate(0o600))?);
    if !lock(&file) {
        return Err(Errno::EAGAIN);
    }
    let made = Table::create_in(file.into()).and_then(|table| {
        table.head().set_owner(owner);
        // Only now can others find it.
        nix::fcntl::renameat(own.as_fd(), aside.as_str(), own.as_fd(), place::TABLE)?;
        Ok(table)
    });
    if made.is_err() {
        let _ = unlinkat(&own, aside.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    made
}
