//! How the keeper outlives its own faults: the handler executes the keeper anew, in the same process, with the table.
//!
//! Everything the handler needs is prepared here, before; in it only system calls are made. The image that runs is
//! tried first (it has worked so far), the installed path second. PID 1 never gives up; a session's keeper that cannot
//! be executed at all dies of the signal.

#![allow(unsafe_code)] // signal handlers, execve(2) with prepared pointers.

use keeper::table::View;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::Mode;
use std::ffi::{CString, OsString, c_char, c_int, c_void};
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::ptr::null;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};

/// The signals of a fault, and of abort(3).
pub(crate) const FATAL: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGABRT, Signal::SIGILL, Signal::SIGFPE];

/// A crash so soon after the start counts as one of a row, in milliseconds.
const ROW_MS: u64 = 5_000;

/// So many crashes in a row cost no time; each further one doubles the wait, from 50 ms to 5 s.
const FREE_CRASHES: u32 = 3;

/// What to execute and with what; leaked, so that the handler finds it for ever.
struct Image {
    path: CString,
    arguments: Vec<*const c_char>,
}

// SAFETY: the pointers are to leaked strings that nobody changes.
unsafe impl Sync for Image {}
// SAFETY: as above.
unsafe impl Send for Image {}

static IMAGE: OnceLock<Image> = OnceLock::new();
/// The arguments this image was started with: what there is to go by before [`prepare`].
static OWN_ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
static TABLE: OnceLock<View> = OnceLock::new();
static RUNNING_IMAGE: AtomicI32 = AtomicI32::new(-1);
static PROCESS: AtomicI32 = AtomicI32::new(0);
static STARTED_MS: AtomicU64 = AtomicU64::new(0);
static IS_CRASHING: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    /// The environment as it was given to this process, environ(7).
    static environ: *const *const c_char;
}

/// Installs the handler. From here on a fault costs this image only. To be called first of all, with the arguments of
/// this image if a fault before [`prepare`] is to be tried again too: then there are processes that depend on it.
pub(crate) fn install(arguments: Option<*const *const c_char>) {
    OWN_ARGUMENTS.store(arguments.unwrap_or(null()).cast_mut(), Ordering::Relaxed);
    PROCESS.store(std::process::id().cast_signed(), Ordering::Relaxed);
    STARTED_MS.store(now_ms(), Ordering::Relaxed);
    let running = open("/proc/self/exe", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    RUNNING_IMAGE.store(running.map_or(-1, OwnedFd::into_raw_fd), Ordering::Relaxed);
    let stack = vec![0_u8; 64 * 1024].leak();
    let alternate = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the stack is leaked, the handler has the signature of SA_SIGINFO, and makes system calls only.
    unsafe {
        libc::sigaltstack(&raw const alternate, std::ptr::null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        // NODEFER: a fault inside the handler must come back to it, not kill.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        for signal in FATAL {
            libc::sigaction(signal as c_int, &raw const action, std::ptr::null_mut());
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        crate::report::say!("this is a bug: {panic}");
        std::process::abort();
    }));
    // All others wait for the signalfd. This also ends the block that an exec out of the handler came with.
    let mut mask = SigSet::all();
    for signal in FATAL {
        mask.remove(signal);
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
}

/// Tells the handler what to execute (`path`, with its arguments) and what to carry over.
pub(crate) fn prepare(path: &Path, arguments: &[OsString], table: View) {
    let state = ["--state-fd".to_owned().into(), table.descriptor().to_string().into()];
    let all = std::iter::once(path.as_os_str().to_owned()).chain(state).chain(arguments.iter().cloned());
    let to_c = |string: OsString| CString::new(string.into_vec()).unwrap_or_default();
    let pointers = all.map(|argument| to_c(argument).into_raw().cast_const());
    let arguments = pointers.chain([null()]).collect();
    let _ = IMAGE.set(Image { path: to_c(path.as_os_str().to_owned()), arguments });
    let _ = TABLE.set(table);
    keep_descriptors(false);
}

/// Executes the installed keeper, or if that is not possible the running one, and comes back only if neither can be.
pub(crate) fn execute_installed() -> Errno {
    let Some(image) = IMAGE.get() else { return Errno::EINVAL };
    keep_descriptors(true);
    let before = sigprocmask_all();
    // SAFETY: prepared pointers.
    unsafe { libc::execve(image.path.as_ptr(), image.arguments.as_ptr(), environ) };
    let errno = Errno::last();
    crate::report::say!(
        "cannot execute {}: {}; staying with the running program",
        image.path.to_string_lossy(),
        errno.desc()
    );
    execute_running(image.arguments.as_ptr());
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    keep_descriptors(false);
    errno
}

fn sigprocmask_all() -> SigSet {
    let mut before = SigSet::empty();
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
    before
}

/// Clears, or sets again, close-on-exec of what the next image needs.
fn keep_descriptors(keep: bool) {
    let flags = if keep { 0 } else { libc::FD_CLOEXEC };
    for number in TABLE.get().iter().flat_map(|table| table.surviving_descriptors()) {
        // SAFETY: touches no memory; a number that is not open gives EBADF.
        unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
    }
}

fn execute_running(arguments: *const *const c_char) {
    let running = RUNNING_IMAGE.load(Ordering::Relaxed);
    // SAFETY: prepared pointers.
    unsafe {
        libc::syscall(libc::SYS_execveat, running, c"".as_ptr(), arguments, environ, libc::AT_EMPTY_PATH);
    }
}

fn now_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: now is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000 + now.tv_nsec.cast_unsigned() / 1_000_000
}

fn sleep_ms(duration_ms: u64) {
    let time = libc::timespec {
        tv_sec: (duration_ms / 1_000).cast_signed(),
        tv_nsec: (duration_ms % 1_000 * 1_000_000).cast_signed(),
    };
    // SAFETY: time is valid.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// The handler. Async-signal-safe: system calls and atomics only.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: getpid has no conditions.
    if unsafe { libc::getpid() } != PROCESS.load(Ordering::Relaxed) {
        // A child before its exec, in the rare case that it still has the handler.
        // SAFETY: ends the child only.
        unsafe { libc::_exit(127) };
    }
    if IS_CRASHING.swap(true, Ordering::Relaxed) {
        // SAFETY: the kernel gives a valid siginfo_t.
        if unsafe { (*info).si_code } == libc::SI_USER {
            // Somebody's kill(1) while the handler is at work already: it goes on.
            return;
        }
        sleep_ms(200);
    } else {
        record(signal);
        keep_descriptors(true);
    }
    sigprocmask_all();
    let own = OWN_ARGUMENTS.load(Ordering::Relaxed).cast_const();
    let arguments = IMAGE.get().map_or(own, |image| image.arguments.as_ptr());
    while !arguments.is_null() {
        execute_running(arguments);
        if let Some(image) = IMAGE.get() {
            // SAFETY: prepared pointers.
            unsafe { libc::execve(image.path.as_ptr(), arguments, environ) };
        }
        if PROCESS.load(Ordering::Relaxed) != 1 {
            break;
        }
        sleep_ms(1_000);
    }
    die_of(signal);
}

/// Counts the crash, and waits when there have been too many in a row.
fn record(signal: c_int) {
    let life_ms = now_ms().saturating_sub(STARTED_MS.load(Ordering::Relaxed));
    let Some(table) = TABLE.get() else {
        // So early that there is no table to count in: slow enough in any case.
        return sleep_ms(200);
    };
    let head = table.head();
    head.crash_signal.store(signal, Ordering::Relaxed);
    let before = if life_ms < ROW_MS { head.crash_streak.load(Ordering::Relaxed) } else { 0 };
    let streak = before.saturating_add(1);
    head.crash_streak.store(streak, Ordering::Relaxed);
    if streak > FREE_CRASHES {
        sleep_ms((50_u64 << (streak - FREE_CRASHES - 1).min(7)).min(5_000));
    }
}

/// The end of a session's keeper that nothing can be done for.
fn die_of(signal: c_int) -> ! {
    // SAFETY: default action, unblocked, raised: does not come back.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        libc::raise(signal);
        libc::_exit(128 + signal)
    }
}
