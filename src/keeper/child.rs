//! From clone to exec. What runs here runs in the child: it may only call what is async-signal-safe, never allocates,
//! and tells the keeper of its failure through a close-on-exec pipe, whose end without a word is success.
//!
//! The child has its own copy of the keeper's memory (a small process: the copy costs some 50 µs), not a share in it.
//! So any number of children can be on their way to exec at once, an exec that hangs on a dead server holds up nobody,
//! and no fault in here can reach the keeper's memory.

#![allow(unsafe_code)] // clone3(2), and system calls that nix has in allocating form only.

use crate::launch::{Failure, Launch, Standard};
use keeper::protocol::Stage;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, chroot, setgid, setgroups, setsid, setuid};
use std::convert::Infallible;
use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd, RawFd};
use std::ptr::null;
use std::sync::atomic::AtomicI32;

/// Bytes the child writes before it gives up: the stage as a word, and the errno.
pub(crate) const REPORT_BYTES: usize = 12;

/// clone3(2), from linux/sched.h; libc has them in a type that is too small.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Exit status of a child that has reported its failure; nobody looks at it.
const FAILED_STATUS: i32 = 127;

/// Makes the process. The kernel stores its pid in `pid` before either side goes on, so that a crash right here cannot
/// lose it.
pub(crate) fn start(launch: &mut Launch, status: OwnedFd, pid: &AtomicI32) -> Result<(), Failure> {
    match clone(launch.cgroup, pid) {
        Ok(0) => run(launch, status.as_raw_fd()),
        Ok(_) => Ok(()),
        Err(errno) => Err((Stage::Clone, errno)),
    }
}

/// clone3(2) as a fork: 0 in the child.
fn clone(cgroup: Option<RawFd>, pid: &AtomicI32) -> Result<i64, Errno> {
    // The child must not run the keeper's crash handler (Linux 5.5).
    let mut flags = libc::CLONE_PARENT_SETTID as u64 | CLONE_CLEAR_SIGHAND;
    if cgroup.is_some() {
        // Linux 5.7.
        flags |= CLONE_INTO_CGROUP;
    }
    // SAFETY: all zero is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.parent_tid = pid.as_ptr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = cgroup.map_or(0, |number| number as u64);
    // SAFETY: no CLONE_VM: the child goes on with a copy of this stack. The keeper has one thread, so no lock is held
    // by another one. The pid is an atomic that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
    match Errno::result(result) {
        // A sandbox that does not know clone3; there the handler itself sees that it is in a child.
        Err(Errno::ENOSYS) if cgroup.is_none() => {
            // SAFETY: as above; it only takes fork's way.
            let result = unsafe { libc::fork() };
            if result > 0 {
                pid.store(result, std::sync::atomic::Ordering::Relaxed);
            }
            Errno::result(result).map(i64::from)
        }
        other => other,
    }
}

/// The child: never comes back.
fn run(launch: &mut Launch, status: RawFd) -> ! {
    // The status pipe must be out of the way of the numbers the process wants.
    let status = duplicate(status, launch.above_all).unwrap_or(status);
    let prepared = prepare(launch);
    if prepared.is_ok() && launch.stop_first {
        stop(launch);
    }
    let (stage, errno) = match prepared.and_then(|()| execute(launch)) {
        Err(failure) => failure,
        Ok(never) => match never {},
    };
    let mut report = [0; REPORT_BYTES];
    report[..8].copy_from_slice(&stage.to_word().to_le_bytes());
    report[8..].copy_from_slice(&(errno as i32).to_le_bytes());
    // SAFETY: the buffer is valid; _exit runs nothing of the keeper's.
    unsafe {
        libc::write(status, report.as_ptr().cast(), report.len());
        libc::_exit(FAILED_STATUS)
    }
}

/// Stops this process until somebody sends SIGCONT, with nothing open but what its program is to have: the keeper sees
/// the end of the status pipe, so for it the process runs; and nothing that the keeper closes meanwhile stays open here.
fn stop(launch: &Launch) {
    let mut from: libc::c_uint = 3;
    loop {
        let targets = launch.descriptors.iter().filter_map(|&(_, target)| libc::c_uint::try_from(target).ok());
        let next = targets.filter(|&target| target >= from).min();
        let last = next.map_or(libc::c_uint::MAX, |target| target.saturating_sub(1));
        if last >= from {
            // SAFETY: touches no memory; what is closed belongs to nobody in this child (Linux 5.9).
            unsafe { libc::syscall(libc::SYS_close_range, from, last, 0) };
        }
        match next {
            Some(target) => from = target.saturating_add(1),
            None => break,
        }
    }
    // Not raise(3), which takes this thread for the keeper's, whose memory it has copied.
    // SAFETY: touches no memory.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Everything before exec, in the order in which failures are told.
fn prepare(launch: &mut Launch) -> Result<(), Failure> {
    reset_dispositions();
    setsid().map_err(|errno| (Stage::Session, errno))?;
    place_descriptors(launch)?;
    set_limits(launch)?;
    if let Some(nice) = launch.nice {
        // SAFETY: touches no memory.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        Errno::result(result).map_err(|errno| (Stage::Nice, errno))?;
    }
    if let Some(mask) = launch.umask {
        umask(Mode::from_bits_truncate(mask as libc::mode_t));
    }
    if let Some(score) = &launch.oom_score {
        write_to(c"/proc/self/oom_score_adj", score).map_err(|errno| (Stage::OomScore, errno))?;
    }
    if let Some(change) = &launch.apparmor {
        // Here, where /proc is still in sight; it takes effect with exec.
        write_to(c"/proc/self/attr/apparmor/exec", change)
            .or_else(|_| write_to(c"/proc/self/attr/exec", change))
            .map_err(|errno| (Stage::AppArmor, errno))?;
    }
    if let Some(root) = &launch.chroot {
        chroot(root.as_c_str()).map_err(|errno| (Stage::Chroot, errno))?;
        // A working directory outside would be a way out; and a relative one begins here.
        chdir(c"/").map_err(|errno| (Stage::WorkingDirectory, errno))?;
    }
    if let Some(directory) = &launch.working_directory {
        chdir(directory.as_c_str()).map_err(|errno| (Stage::WorkingDirectory, errno))?;
    }
    change_identity(launch)
}

/// The group before the supplementary groups before the user: the last takes away the right to the others, and an
/// ordinary user's attempt is to be told as that of the group.
fn change_identity(launch: &Launch) -> Result<(), Failure> {
    if let Some(gid) = launch.identity.gid {
        setgid(Gid::from_raw(gid)).map_err(|errno| (Stage::Group, errno))?;
    }
    if let Some(groups) = &launch.identity.groups {
        // SAFETY: Gid is a transparent gid_t, which is u32 on Linux.
        let groups = unsafe { std::slice::from_raw_parts(groups.as_ptr().cast::<Gid>(), groups.len()) };
        setgroups(groups).map_err(|errno| (Stage::Groups, errno))?;
    }
    if let Some(uid) = launch.identity.uid {
        setuid(Uid::from_raw(uid)).map_err(|errno| (Stage::User, errno))?;
    }
    Ok(())
}

/// All signals as a new program expects them, those that the keeper was started with as ignored too.
fn reset_dispositions() {
    // Larger than the kernel's struct sigaction everywhere; all zero is the default action without flags or mask.
    let default = [0_u64; 8];
    for signal in 1..=64 {
        // Not sigaction(3), which refuses the C library's own signals, 32 and 33.
        // SAFETY: default is valid and no code; SIGKILL and SIGSTOP are refused.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), null::<u64>(), 8) };
    }
}

/// A close-on-exec copy whose number is `from` or above.
fn duplicate(number: RawFd, from: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: only borrowed for the call; a number that is not open gives EBADF.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(from))
}

fn place(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: replaces a number of the child's own table; nothing in the child owns it.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

fn open_device(path: &CStr, flags: OFlag) -> Result<RawFd, Errno> {
    open(path, flags | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty()).map(OwnedFd::into_raw_fd)
}

/// Puts every descriptor in its place, and has all others closed by exec.
fn place_descriptors(launch: &mut Launch) -> Result<(), Failure> {
    let console = |errno| (Stage::Console, errno);
    let base = launch.above_all;
    let null = || open_device(c"/dev/null", OFlag::O_RDWR).map_err(console);
    let mut takes_terminal = false;
    let mut standard = match launch.standard {
        Standard::Null => [null()?; 3],
        Standard::Output(number) => [null()?, number, number],
        Standard::Device { is_owner } => match open_device(c"/dev/console", OFlag::O_RDWR) {
            Ok(device) => {
                takes_terminal = is_owner;
                [device; 3]
            }
            Err(_) => [null()?; 3],
        },
        Standard::Given(numbers) => numbers,
    };
    // First out of the way of each other, then to their places.
    for number in &mut standard {
        *number = duplicate(*number, base).map_err(console)?;
    }
    for (moved, &(number, _)) in launch.moved.iter_mut().zip(&launch.descriptors) {
        *moved = duplicate(number, base).map_err(|errno| (Stage::Descriptor, errno))?;
    }
    // Everything the keeper opens is close-on-exec already; this is for what it was started with (Linux 5.11).
    // SAFETY: touches no memory.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    for (number, from) in (0..).zip(standard) {
        place(from, number).map_err(console)?;
    }
    for (&moved, &(_, target)) in launch.moved.iter().zip(&launch.descriptors) {
        place(moved, target).map_err(|errno| (Stage::Descriptor, errno))?;
    }
    if takes_terminal {
        // SAFETY: the argument is a number: take the terminal even from another session, where that is allowed.
        let steal = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 1) };
        // SAFETY: as above, without force.
        let result = if steal == 0 { 0 } else { unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } };
        Errno::result(result).map_err(console)?;
    }
    Ok(())
}

fn set_limits(launch: &Launch) -> Result<(), Failure> {
    let set = |resource: u32, soft, hard| {
        let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
        // SAFETY: the limit is valid; pid 0 is the child itself.
        Errno::result(unsafe { libc::prlimit64(0, resource as _, &raw const limit, std::ptr::null_mut()) })
    };
    let (soft, hard) = launch.open_files;
    if hard != 0 {
        // Lowering the keeper's own raised limit cannot fail in a way that matters to the process.
        let _ = set(libc::RLIMIT_NOFILE, soft, hard);
    }
    for &(resource, soft, hard) in &launch.limits {
        set(resource, soft, hard).map_err(|errno| (Stage::Limit(resource), errno))?;
    }
    Ok(())
}

fn write_to(path: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(file, bytes).map(drop)
}

/// execvp(3), with the program looked up beforehand.
fn execute(launch: &mut Launch) -> Result<Infallible, Failure> {
    // Only now: until here a signal would have hit a process that is not yet what it is to be.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let environment = launch.environment.pointers.as_ptr();
    let call = |path: *const c_char, arguments: *const *const c_char| {
        // SAFETY: all three are null-terminated and owned by the launch.
        unsafe { libc::execve(path, arguments, environment) };
        Errno::last()
    };
    let mut verdict = Errno::ENOENT;
    for path in &launch.paths {
        match call(path.as_ptr(), launch.arguments.pointers.as_ptr()) {
            Errno::ENOEXEC => {
                launch.shell_arguments.pointers[1] = path.as_ptr();
                call(c"/bin/sh".as_ptr(), launch.shell_arguments.pointers.as_ptr());
                return Err((Stage::Execute, Errno::ENOEXEC));
            }
            Errno::EACCES => verdict = Errno::EACCES,
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
            other => return Err((Stage::Execute, other)),
        }
    }
    Err((Stage::Execute, verdict))
}
