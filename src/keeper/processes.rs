//! System calls on child processes, one function each. Knows pids and statuses only.

#![allow(unsafe_code)] // nix's waitid fails for real-time signals, and the rest it does not have.

use keeper::protocol::ExitStatus;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::AtomicU32;

/// A child that has ended (and is still a zombie), or stopped.
fn wait(kind: libc::idtype_t, pid: i32, flags: i32) -> Option<libc::siginfo_t> {
    // SAFETY: all zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = flags | libc::WNOHANG | libc::__WALL;
    // SAFETY: info is valid for writing.
    let result = unsafe { libc::waitid(kind, pid.cast_unsigned(), &raw mut info, flags) };
    // SAFETY: waitid has filled it in; with WNOHANG and nothing there the pid stays 0.
    (result == 0 && unsafe { info.si_pid() } != 0).then_some(info)
}

fn status_of(info: &libc::siginfo_t) -> (i32, ExitStatus) {
    // SAFETY: waitid fills in both.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let status = match info.si_code {
        libc::CLD_EXITED => ExitStatus::Code(status),
        code => ExitStatus::Signal { signal: status, core_dumped: code == libc::CLD_DUMPED },
    };
    (pid, status)
}

/// Some child that has ended, left unreaped.
pub(crate) fn any_ended() -> Option<(i32, ExitStatus)> {
    wait(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT).as_ref().map(status_of)
}

/// How this child has ended, left unreaped; none while it lives.
pub(crate) fn ended(pid: i32) -> Option<ExitStatus> {
    wait(libc::P_PID, pid, libc::WEXITED | libc::WNOWAIT).as_ref().map(|info| status_of(info).1)
}

/// Whether this child has stopped with SIGSTOP since the last call.
pub(crate) fn stopped(pid: i32) -> bool {
    // SAFETY: waitid has filled it in.
    wait(libc::P_PID, pid, libc::WSTOPPED).is_some_and(|info| unsafe { info.si_status() } == libc::SIGSTOP)
}

/// Lets go of a child that has ended; its pid may be used anew from here on.
pub(crate) fn reap(pid: i32) {
    let _ = wait(libc::P_PID, pid, libc::WEXITED);
}

/// kill(2), for any number, real-time signals too; a negative pid is a process group.
pub(crate) fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: touches no memory.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Takes the next signal from a signalfd(2), into memory that outlives this image; whether there was one.
pub(crate) fn next_signal(signals: BorrowedFd<'_>, into: &[AtomicU32; 32]) -> bool {
    const _: () = assert!(size_of::<libc::signalfd_siginfo>() == size_of::<[AtomicU32; 32]>());
    // SAFETY: the kernel writes one siginfo, which fits; atomics may be written through a shared reference.
    let length = unsafe { libc::read(signals.as_raw_fd(), into.as_ptr().cast_mut().cast(), size_of_val(into)) };
    length.cast_unsigned() == size_of_val(into)
}

/// Whether a process leads its process group.
pub(crate) fn leads_group(pid: i32) -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::getpgid(pid) == pid }
}

/// Orphans come to this process (prctl(2), `PR_SET_CHILD_SUBREAPER`), and it is called `init` whatever was executed.
pub(crate) fn become_reaper(is_subreaper: bool) {
    // SAFETY: both touch no memory but the literal.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(is_subreaper));
        libc::prctl(libc::PR_SET_NAME, c"init".as_ptr());
    }
}

/// Has the kernel send PID 1 a SIGWINCH for the keyboard request (Alt-Up), console_ioctl(4).
pub(crate) fn accept_keyboard_request(console: BorrowedFd<'_>) {
    const KDSIGACCEPT: libc::Ioctl = 0x4B4E;
    // SAFETY: the argument is a number.
    unsafe { libc::ioctl(console.as_raw_fd(), KDSIGACCEPT, libc::SIGWINCH) };
}

/// reboot(2) with any command.
pub(crate) fn reboot(command: i32) -> Errno {
    // SAFETY: touches no memory.
    unsafe { libc::reboot(command) };
    Errno::last()
}

/// Takes over a descriptor that an earlier image of this process left open under this number.
pub(crate) fn take_over(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: only borrowed for the call, which judges whether it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    // SAFETY: it is open, and the table names every number once; only what starts this image calls this.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The same, left open over another exec: should this image fault before it is ready, the next one needs it.
pub(crate) fn take_over_open(number: RawFd) -> Option<OwnedFd> {
    let descriptor = take_over(number)?;
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty())).ok()?;
    Some(descriptor)
}
