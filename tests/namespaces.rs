//! Processes in namespaces: the first of a new machine, and more in one that is there.
//!
//! Knows system calls and their order; must never know what the processes do. All of it happens between fork and exec of
//! `std::process::Command`, where only system calls on memory prepared before are allowed.
//!
//! Both kinds need a second fork there, because a process never changes its own pid namespace. The one in the middle (the
//! *holder*) is the child that the caller sees. It closes everything, waits for the inner one and ends as that did; when the
//! holder or the caller's thread dies, the kernel kills the inner one (`PR_SET_PDEATHSIG`), and with a process 1 its whole
//! machine.

#![allow(unsafe_code)] // fork, mmap and pre_exec have no safe forms.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::ffi::{CString, c_int};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// What is made in a new machine before its process 1 runs.
#[derive(Debug)]
pub(crate) enum Act {
    Mount { source: CString, target: CString, kind: Option<CString>, flags: MsFlags, data: Option<CString> },
    Directory { path: CString, mode: libc::mode_t, owner: u32 },
    File { path: CString, bytes: Vec<u8>, mode: libc::mode_t, owner: u32 },
}

/// Why a machine could not be started.
#[derive(Debug)]
pub struct StartError {
    step: String,
    is_namespace: bool,
    source: io::Error,
}

impl StartError {
    /// Whether this is the kernel's policy rather than a mistake: unprivileged namespaces are switched off here.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let errno = self.source.raw_os_error().map(Errno::from_raw);
        let denied = matches!(
            errno,
            Some(Errno::EPERM | Errno::EACCES | Errno::ENOSPC | Errno::EUSERS | Errno::EINVAL | Errno::ENOSYS)
        );
        self.is_namespace && denied
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_forbidden() {
            write!(
                out,
                "this kernel does not let an ordinary user make namespaces ({}: {}); \
                 run `sysctl kernel.unprivileged_userns_clone=1` (Debian) or \
                 `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu), or run this as root",
                self.step, self.source
            )
        } else {
            write!(out, "cannot {}: {}", self.step, self.source)
        }
    }
}

impl std::error::Error for StartError {}

/// What parent and forked child share: how far it got, and the pid of process 1 as seen from outside.
struct Progress {
    step: AtomicUsize,
    pid: AtomicI32,
}

const STEP_UNSHARE: usize = 1;
const STEP_MAP: usize = 2;
const STEP_FORK: usize = 3;
const STEP_ACTS: usize = 10;

/// A page that survives fork as shared memory.
struct Shared(*mut Progress);

// SAFETY: what it points to are atomics.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping, zeroed, of at least one page.
        let page = unsafe { libc::mmap(null_mut(), size_of::<Progress>(), protection, flags, -1, 0) };
        if page == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self(page.cast())) }
    }

    fn get(&self) -> &Progress {
        // SAFETY: mapped until drop; zeroes are valid atomics.
        unsafe { &*self.0 }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping this value owns.
        unsafe { libc::munmap(self.0.cast(), size_of::<Progress>()) };
    }
}

/// Starts `command` as process 1 of a new machine, in the namespaces `joined` and otherwise in its own. Gives the holder, and
/// the pid of process 1 as seen from here.
pub(crate) fn start(
    mut command: Command,
    acts: Vec<Act>,
    as_root: bool,
    joined: Vec<OwnedFd>,
) -> Result<(Child, i32), StartError> {
    let failure = |step: &str, source| StartError { step: step.to_owned(), is_namespace: false, source };
    let shared = std::sync::Arc::new(Shared::new().map_err(|error| failure("map a page", error))?);
    let maps = (!as_root && joined.is_empty()).then(|| {
        let map = |id: u32| format!("0 {id} 1").into_bytes();
        // SAFETY: these cannot fail.
        unsafe { [map(libc::getuid()), map(libc::getgid())] }
    });
    let (acts, child_shared) = (std::sync::Arc::new(acts), shared.clone());
    let child_acts = acts.clone();
    let parent = std::process::id().cast_signed();
    // SAFETY: system calls only, on memory prepared here.
    unsafe {
        command.pre_exec(move || become_first(child_shared.get(), &child_acts, maps.as_ref(), &joined, parent));
    }
    let holder = command.spawn().map_err(|source| {
        let reached = shared.get().step.load(Ordering::Relaxed);
        let step = match reached {
            STEP_UNSHARE => "make namespaces".to_owned(),
            STEP_MAP => "map the user into the new namespace".to_owned(),
            STEP_FORK => "fork".to_owned(),
            _ => match reached.checked_sub(STEP_ACTS).and_then(|index| acts.get(index)) {
                Some(Act::Mount { target, .. }) => format!("mount {}", target.to_string_lossy()),
                Some(Act::Directory { path, .. }) => format!("make the directory {}", path.to_string_lossy()),
                Some(Act::File { path, .. }) => format!("write {}", path.to_string_lossy()),
                None => "execute process 1".to_owned(),
            },
        };
        let is_mount = reached.checked_sub(STEP_ACTS).is_some_and(|at| matches!(acts.get(at), Some(Act::Mount { .. })));
        StartError { step, is_namespace: !as_root && (is_mount || reached <= STEP_MAP), source }
    })?;
    Ok((holder, shared.get().pid.load(Ordering::Relaxed)))
}

fn become_first(
    progress: &Progress,
    acts: &[Act],
    maps: Option<&[Vec<u8>; 2]>,
    joined: &[OwnedFd],
    parent: i32,
) -> io::Result<()> {
    die_with(parent)?;
    progress.step.store(STEP_UNSHARE, Ordering::Relaxed);
    let mut flags =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    for namespace in joined {
        setns(namespace.as_fd(), CloneFlags::empty())?;
    }
    if joined.is_empty() {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    if maps.is_some() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags)?;
    progress.step.store(STEP_MAP, Ordering::Relaxed);
    if let Some([users, groups]) = maps {
        write_file(c"/proc/self/setgroups", b"deny", libc::O_WRONLY, 0)?;
        write_file(c"/proc/self/uid_map", users, libc::O_WRONLY, 0)?;
        write_file(c"/proc/self/gid_map", groups, libc::O_WRONLY, 0)?;
    }
    // A change of credentials takes the parent-death signal away (prctl(2)).
    die_with(parent)?;
    progress.step.store(STEP_FORK, Ordering::Relaxed);
    fork_inside(Some(&progress.pid))?;
    // Process 1 from here on. That its parent has been forgotten by its pid namespace is as it should be: it reads as 0.
    // SAFETY: no memory is touched.
    unsafe { libc::setsid() };
    for (index, act) in acts.iter().enumerate() {
        progress.step.store(STEP_ACTS + index, Ordering::Relaxed);
        perform(act)?;
    }
    progress.step.store(STEP_ACTS + acts.len(), Ordering::Relaxed);
    if joined.is_empty() {
        raise_loopback()?;
    }
    nix::unistd::chdir(c"/")?;
    Ok(())
}

/// Forks. The child goes on; the parent stays in here, waits for the child, and ends as it does.
fn fork_inside(pid_place: Option<&AtomicI32>) -> io::Result<()> {
    // SAFETY: a fork without handlers; both sides only make system calls from here on.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid > 0 {
        if let Some(place) = pid_place {
            place.store(pid as i32, Ordering::Relaxed);
        }
        hold(pid as i32);
    }
    // SAFETY: prctl with integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    Ok(())
}

/// The rest of a holder's life.
fn hold(pid: i32) -> ! {
    // SAFETY: system calls on integers and locals. All descriptors go, so that nobody waits for the ends we would keep.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        let mut status: c_int = 0;
        while libc::waitpid(pid, &raw mut status, 0) < 0 && Errno::last() == Errno::EINTR {}
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            libc::signal(signal, libc::SIG_DFL);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            libc::kill(libc::getpid(), signal);
            libc::_exit(128 + signal);
        }
        libc::_exit(libc::WEXITSTATUS(status));
    }
}

/// Dies when the parent's thread does; at once if the parent is gone already.
fn die_with(parent: i32) -> io::Result<()> {
    // SAFETY: integers only.
    unsafe {
        Errno::result(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if libc::getppid() != parent {
            libc::_exit(127);
        }
    }
    Ok(())
}

fn perform(act: &Act) -> io::Result<()> {
    match act {
        Act::Mount { source, target, kind, flags, data } => {
            mount(Some(source.as_c_str()), target.as_c_str(), kind.as_deref(), *flags, data.as_deref())?;
        }
        Act::Directory { path, mode, owner } => {
            // SAFETY: valid strings.
            unsafe {
                if libc::mkdir(path.as_ptr(), *mode) < 0 && Errno::last() != Errno::EEXIST {
                    return Err(io::Error::last_os_error());
                }
                Errno::result(libc::chmod(path.as_ptr(), *mode))?;
                Errno::result(libc::chown(path.as_ptr(), *owner, *owner))?;
            }
        }
        Act::File { path, bytes, mode, owner } => {
            write_file(path, bytes, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, *mode)?;
            // SAFETY: a valid string.
            Errno::result(unsafe { libc::chown(path.as_ptr(), *owner, *owner) })?;
        }
    }
    Ok(())
}

fn write_file(path: &std::ffi::CStr, bytes: &[u8], flags: c_int, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: valid string and buffer; the descriptor is ours.
    unsafe {
        let descriptor = libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode);
        Errno::result(descriptor)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = libc::write(descriptor, rest.as_ptr().cast(), rest.len());
            if written < 0 {
                let error = io::Error::last_os_error();
                libc::close(descriptor);
                return Err(error);
            }
            rest = &rest[written as usize..];
        }
        libc::close(descriptor);
    }
    Ok(())
}

/// `ip link set lo up`.
fn raise_loopback() -> io::Result<()> {
    // SAFETY: a zeroed ifreq is valid; the name fits.
    unsafe {
        let descriptor = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        Errno::result(descriptor)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let result = Errno::result(libc::ioctl(descriptor, libc::SIOCSIFFLAGS as _, &raw const request));
        libc::close(descriptor);
        result?;
    }
    Ok(())
}

/// Has `command` run in the machine of these namespaces, as this user of it.
pub(crate) fn enter(command: &mut Command, namespaces: Vec<OwnedFd>, user: u32) {
    let parent = std::process::id().cast_signed();
    // SAFETY: system calls only, on memory prepared here.
    unsafe {
        command.pre_exec(move || {
            die_with(parent)?;
            for namespace in &namespaces {
                setns(namespace.as_fd(), CloneFlags::empty())?;
            }
            die_with(parent)?;
            fork_inside(None)?;
            nix::unistd::chdir(c"/")?;
            if user != 0 {
                Errno::result(libc::setgroups(0, null()))?;
                Errno::result(libc::setresgid(user, user, user))?;
                Errno::result(libc::setresuid(user, user, user))?;
                // Changed credentials take it away.
                Errno::result(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            }
            Ok(())
        });
    }
}
