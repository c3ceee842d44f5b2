//! From clone to exec. What runs here runs in the child: it may only call what is async-signal-safe, never allocates,
//! and tells the keeper of its failure through a close-on-exec pipe, whose end without a word is success.
//!
//! Most children share the keeper's memory until they execute their program, on stacks of their own: a copy of even a small
//! process costs a fifth of starting one. The keeper does not wait for them meanwhile, as after vfork(2). So any number
//! of children can be on their way to exec at once, and an exec that hangs on a dead server holds up nobody. What a child
//! reads, its launch, is kept until it has left the memory; it writes to its launch and its stack only, and makes its
//! system calls without a C library ([`crate::raw`]), which would store errno in the keeper's.
//!
//! Children that the kernel would treat as one with the keeper in a way that matters get a copy: see
//! [`Launch::needs_copy`].

#![allow(unsafe_code)] // system calls by number on memory that was prepared for them.

use crate::launch::{Failure, Launch, Standard};
use crate::raw::{self, Stack, call};
use keeper::protocol::Stage;
use nix::errno::Errno;
use std::convert::Infallible;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};

/// Bytes the child writes before it gives up: the stage as a word, and the errno.
pub(crate) const REPORT_BYTES: usize = 12;

/// clone3(2), from linux/sched.h; libc has them in a type that is too small.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Exit status of a child that has reported its failure; nobody looks at it.
const FAILED_STATUS: usize = 127;

/// Memory that a child uses as long as it has not executed its program.
#[derive(Debug)]
pub(crate) struct Lent {
    launch: NonNull<Launch>,
    stack: Stack,
}

impl Lent {
    /// The child has executed its program or has ended. Gives back the stack for the next one.
    pub(crate) fn take_back(self) -> Stack {
        // SAFETY: made by `start` from a box, and nobody else's any more.
        drop(unsafe { Box::from_raw(self.launch.as_ptr()) });
        self.stack
    }
}

/// Makes the process. The kernel stores its pid in `pid` before either side goes on, so that a crash right here cannot
/// lose it. What it gives back must be kept until the process has executed its program or has ended. The launch comes back with
/// a failure, for another attempt.
pub(crate) fn start(
    mut launch: Box<Launch>,
    status: &OwnedFd,
    pid: &AtomicI32,
    stack: impl FnOnce() -> Result<Stack, Errno>,
) -> Result<Option<Lent>, (Failure, Box<Launch>)> {
    launch.status = status.as_raw_fd();
    let stack = match launch.needs_copy() || !raw::CAN_SHARE {
        true => None,
        false => match stack() {
            Ok(stack) => Some(stack),
            Err(errno) => return Err(((Stage::Clone, errno), launch)),
        },
    };
    let extent = stack.as_ref().map(Stack::extent);
    let cgroup = launch.cgroup;
    let launch = NonNull::from(Box::leak(launch));
    let result = clone(launch, extent, cgroup, pid);
    match (stack, result) {
        (Some(stack), Ok(())) => Ok(Some(Lent { launch, stack })),
        (_, result) => {
            // SAFETY: leaked above, and a child, if there is one, has a copy.
            let launch = unsafe { Box::from_raw(launch.as_ptr()) };
            result.map(|()| None).map_err(|errno| ((Stage::Clone, errno), launch))
        }
    }
}

/// clone3(2), on this stack (lowest address, length) if there is one.
fn clone(
    launch: NonNull<Launch>,
    stack: Option<(u64, u64)>,
    cgroup: Option<RawFd>,
    pid: &AtomicI32,
) -> Result<(), Errno> {
    // The child must not run the keeper's crash handler (Linux 5.5).
    let mut flags = libc::CLONE_PARENT_SETTID as u64 | CLONE_CLEAR_SIGHAND;
    if cgroup.is_some() {
        // Linux 5.7.
        flags |= CLONE_INTO_CGROUP;
    }
    // SAFETY: all zero is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    if let Some((lowest, length)) = stack {
        flags |= libc::CLONE_VM as u64;
        (arguments.stack, arguments.stack_size) = (lowest, length);
    }
    arguments.flags = flags;
    arguments.parent_tid = pid.as_ptr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = cgroup.map_or(0, |number| number as u64);
    // SAFETY: the keeper has one thread, so no lock is held by another one. The pid is an atomic that outlives the call; a
    // child that shares memory has its own stack, and it and the launch stay in place (`Lent`).
    match unsafe { raw::clone(&arguments, enter, launch.as_ptr().cast()) } {
        // A sandbox that does not know clone3; there the crash handler itself sees that it is in a child.
        Err(Errno::ENOSYS) if cgroup.is_none() => {
            // SAFETY: the child goes on with a copy of everything.
            match Errno::result(unsafe { libc::fork() })? {
                0 => {
                    // SAFETY: the child's own copy.
                    unsafe { (*launch.as_ptr()).ignored = u64::MAX };
                    enter(launch.as_ptr().cast())
                }
                child => pid.store(child, Ordering::Relaxed),
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Where a child begins.
extern "C" fn enter(launch: *mut c_void) -> ! {
    // SAFETY: made by `start`; the keeper leaves it alone as long as this runs.
    run(unsafe { &mut *launch.cast::<Launch>() })
}

/// The child: never comes back.
fn run(launch: &mut Launch) -> ! {
    // The status pipe must be out of the way of the numbers the process wants.
    let status = clear(launch.status, launch.above_all).unwrap_or(launch.status);
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
    let _ = write(status, &report);
    loop {
        // SAFETY: runs nothing of the keeper's.
        let _ = unsafe { call(libc::SYS_exit_group, [FAILED_STATUS, 0, 0, 0, 0]) };
    }
}

/// A system call on numbers alone.
fn simple(number: libc::c_long, arguments: [usize; 3]) -> Result<usize, Errno> {
    let [first, second, third] = arguments;
    // SAFETY: its callers here give it numbers and strings that live as long as the call; it touches no other memory.
    unsafe { call(number, [first, second, third, 0, 0]) }
}

fn word(number: impl Into<i64>) -> usize {
    number.into() as usize
}

fn string(text: &CStr) -> usize {
    text.as_ptr() as usize
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
            // What is closed belongs to nobody in this child (Linux 5.9).
            let _ = simple(libc::SYS_close_range, [word(from), word(last), 0]);
        }
        match next {
            Some(target) => from = target.saturating_add(1),
            None => break,
        }
    }
    if let Ok(own) = simple(libc::SYS_getpid, [0; 3]) {
        let _ = simple(libc::SYS_kill, [own, word(libc::SIGSTOP), 0]);
    }
}

/// Everything before exec, in the order in which failures are told.
fn prepare(launch: &mut Launch) -> Result<(), Failure> {
    reset_dispositions(launch.ignored);
    simple(libc::SYS_setsid, [0; 3]).map_err(|errno| (Stage::Session, errno))?;
    place_descriptors(launch)?;
    set_limits(launch)?;
    if let Some(nice) = launch.nice {
        let priority = [word(libc::PRIO_PROCESS), 0, word(nice)];
        simple(libc::SYS_setpriority, priority).map_err(|errno| (Stage::Nice, errno))?;
    }
    if let Some(mask) = launch.umask {
        let _ = simple(libc::SYS_umask, [word(mask), 0, 0]);
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
        simple(libc::SYS_chroot, [string(root), 0, 0]).map_err(|errno| (Stage::Chroot, errno))?;
        // A working directory outside would be a way out; and a relative one begins here.
        change_directory(c"/")?;
    }
    if let Some(directory) = &launch.working_directory {
        change_directory(directory)?;
    }
    change_identity(launch)
}

fn change_directory(path: &CStr) -> Result<(), Failure> {
    simple(libc::SYS_chdir, [string(path), 0, 0]).map(drop).map_err(|errno| (Stage::WorkingDirectory, errno))
}

/// The group before the supplementary groups before the user: the last takes away the right to the others, and an
/// ordinary user's attempt is to be told as that of the group.
fn change_identity(launch: &Launch) -> Result<(), Failure> {
    // Machines that had 16 bits for these at first have the calls for 32 under other names.
    #[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
    use libc::{SYS_setgid as SETGID, SYS_setgroups as SETGROUPS, SYS_setuid as SETUID};
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    use libc::{SYS_setgid32 as SETGID, SYS_setgroups32 as SETGROUPS, SYS_setuid32 as SETUID};
    if let Some(gid) = launch.identity.gid {
        simple(SETGID, [word(gid), 0, 0]).map_err(|errno| (Stage::Group, errno))?;
    }
    if let Some(groups) = &launch.identity.groups {
        let list = [groups.len(), groups.as_ptr() as usize, 0];
        simple(SETGROUPS, list).map_err(|errno| (Stage::Groups, errno))?;
    }
    if let Some(uid) = launch.identity.uid {
        simple(SETUID, [word(uid), 0, 0]).map_err(|errno| (Stage::User, errno))?;
    }
    Ok(())
}

/// Larger than the kernel's struct sigaction everywhere; its first word is the handler, and all zero is the default action
/// without flags or mask.
type Disposition = [u64; 8];

/// The signals, as bits from signal 1 on, that this process was started with as ignored. Those with handlers are the
/// keeper's own, and clone resets them.
pub(crate) fn ignored_signals() -> u64 {
    (1..=64).fold(0, |ignored, signal| {
        let mut now = Disposition::default();
        // Not sigaction(3), which refuses the C library's own signals, 32 and 33.
        // SAFETY: the kernel writes less than there is room for.
        let result = unsafe { call(libc::SYS_rt_sigaction, [signal, 0, now.as_mut_ptr() as usize, 8, 0]) };
        let is_ignored = result.is_ok() && now[0] as usize == libc::SIG_IGN;
        ignored | u64::from(is_ignored) << (signal - 1)
    })
}

/// These signals as a new program expects them.
fn reset_dispositions(ignored: u64) {
    let default = Disposition::default();
    for signal in (1..=64_usize).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        // SAFETY: default is valid and no code; SIGKILL and SIGSTOP are refused.
        let _ = unsafe { call(libc::SYS_rt_sigaction, [signal, default.as_ptr() as usize, 0, 8, 0]) };
    }
}

/// The same file under a number that is `from` or above: itself, or a close-on-exec copy.
fn clear(number: RawFd, from: RawFd) -> Result<RawFd, Errno> {
    if number >= from {
        return Ok(number);
    }
    simple(libc::SYS_fcntl, [word(number), word(libc::F_DUPFD_CLOEXEC), word(from)]).map(|copy| copy as RawFd)
}

/// Replaces a number of the child's own table; nothing in the child owns it. The two differ: `from` is above all targets.
fn place(from: RawFd, to: RawFd) -> Result<(), Errno> {
    simple(libc::SYS_dup3, [word(from), word(to), 0]).map(drop)
}

fn open(path: &CStr, flags: c_int) -> Result<RawFd, Errno> {
    let flags = flags | libc::O_NOCTTY | libc::O_CLOEXEC;
    simple(libc::SYS_openat, [word(libc::AT_FDCWD), string(path), word(flags)]).map(|number| number as RawFd)
}

fn write(descriptor: RawFd, bytes: &[u8]) -> Result<(), Errno> {
    simple(libc::SYS_write, [word(descriptor), bytes.as_ptr() as usize, bytes.len()]).map(drop)
}

/// Puts every descriptor in its place, and has all others closed by exec.
fn place_descriptors(launch: &mut Launch) -> Result<(), Failure> {
    let console = |errno| (Stage::Console, errno);
    let base = launch.above_all;
    // A container may have no devices at all: then what is our own is better than no process.
    let null = launch.null;
    let nothing = || match null.map_or_else(|| open(c"/dev/null", libc::O_RDWR), Ok) {
        Ok(null) => Ok([null; 3]),
        Err(Errno::ENOENT) => Ok([0, 1, 2]),
        Err(errno) => Err(console(errno)),
    };
    let mut takes_terminal = false;
    let mut standard = match launch.standard {
        Standard::Null => nothing()?,
        Standard::Output(number) => [nothing()?[0], number, number],
        Standard::Device { is_owner, is_own_else } => match open(c"/dev/console", libc::O_RDWR) {
            Ok(device) => {
                takes_terminal = is_owner;
                [device; 3]
            }
            Err(_) if is_own_else => [nothing()?[0], 1, 2],
            Err(_) => nothing()?,
        },
        Standard::Given(numbers) => numbers,
    };
    // First out of the way of each other, then to their places.
    for number in &mut standard {
        *number = clear(*number, base).map_err(console)?;
    }
    for (moved, &(number, _)) in launch.moved.iter_mut().zip(&launch.descriptors) {
        *moved = clear(number, base).map_err(|errno| (Stage::Descriptor, errno))?;
    }
    // Everything the keeper opens is close-on-exec already; this is for what it was started with (Linux 5.11).
    let all = [3, word(libc::c_uint::MAX), word(libc::CLOSE_RANGE_CLOEXEC)];
    let _ = simple(libc::SYS_close_range, all);
    for (number, from) in (0..).zip(standard) {
        place(from, number).map_err(console)?;
    }
    for (&moved, &(_, target)) in launch.moved.iter().zip(&launch.descriptors) {
        place(moved, target).map_err(|errno| (Stage::Descriptor, errno))?;
    }
    if takes_terminal {
        // Even from another session, where that is allowed.
        let take = |force| simple(libc::SYS_ioctl, [0, libc::TIOCSCTTY as usize, force]);
        take(1).or_else(|_| take(0)).map_err(console)?;
    }
    Ok(())
}

fn set_limits(launch: &Launch) -> Result<(), Failure> {
    let set = |resource: i64, soft, hard| {
        let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
        let limit = std::ptr::from_ref(&limit) as usize;
        // SAFETY: the limit is valid for the call; pid 0 is the child itself.
        unsafe { call(libc::SYS_prlimit64, [0, word(resource), limit, 0, 0]) }
    };
    let (soft, hard) = launch.open_files;
    if hard != 0 {
        // Lowering the keeper's own raised limit cannot fail in a way that matters to the process.
        let _ = set(i64::from(libc::RLIMIT_NOFILE), soft, hard);
    }
    for &(resource, soft, hard) in &launch.limits {
        set(i64::from(resource), soft, hard).map_err(|errno| (Stage::Limit(resource), errno))?;
    }
    Ok(())
}

fn write_to(path: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    let file = open(path, libc::O_WRONLY)?;
    write(file, bytes)
}

/// execvp(3), with the program looked up beforehand.
fn execute(launch: &mut Launch) -> Result<Infallible, Failure> {
    // Only now: until here a signal would have hit a process that is not yet what it is to be.
    let none = 0_u64;
    let mask = [word(libc::SIG_SETMASK), std::ptr::from_ref(&none) as usize, 0, 8, 0];
    // SAFETY: the kernel reads eight bytes of a set of signals.
    let _ = unsafe { call(libc::SYS_rt_sigprocmask, mask) };
    let environment = launch.environment.pointers.as_ptr();
    let execve = |path: *const c_char, arguments: *const *const c_char| {
        // All three are null-terminated and owned by the launch.
        match simple(libc::SYS_execve, [path as usize, arguments as usize, environment as usize]) {
            Err(errno) => errno,
            Ok(_) => Errno::EIO,
        }
    };
    let mut verdict = Errno::ENOENT;
    for path in &launch.paths {
        match execve(path.as_ptr(), launch.arguments.pointers.as_ptr()) {
            Errno::ENOEXEC => {
                launch.shell_arguments.pointers[1] = path.as_ptr();
                execve(c"/bin/sh".as_ptr(), launch.shell_arguments.pointers.as_ptr());
                return Err((Stage::Execute, Errno::ENOEXEC));
            }
            Errno::EACCES => verdict = Errno::EACCES,
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
            other => return Err((Stage::Execute, other)),
        }
    }
    Err((Stage::Execute, verdict))
}
