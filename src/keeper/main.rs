//! `init`: the keeper. PID 1, or with `--user` the root of a session; started otherwise it is telinit.
//!
//! It starts, watches and reaps processes for the manager, and outlives both the manager's crashes and its own. It knows
//! tickets, processes and descriptors, and must never know what a job is. One thread, one epoll loop, no policy.

// Rust's own start aborts where /dev/null is missing, and takes SIGSEGV for itself: not for PID 1.
#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code, unused_imports, clippy::unwrap_used))]

mod adopt;
mod child;
mod crash;
mod early;
mod emergency;
mod ends;
mod follow;
mod home;
mod launch;
mod options;
mod proc;
mod processes;
mod raw;
mod reap;
mod report;
mod signals;
mod spawn;
mod supervise;
mod vault;
mod watch;

use crate::options::{Options, Role};
use crate::report::say;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::fd::{BorrowedFd, IntoRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(not(test))]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    let texts = (0..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: the C library gives `count` null-terminated strings, which live for ever.
        let text = unsafe { CStr::from_ptr(*arguments.add(index)) };
        OsStr::from_bytes(text.to_bytes()).to_owned()
    });
    run(texts.collect(), arguments)
}

/// The program; gives back its exit status.
fn run(arguments: Vec<OsString>, raw_arguments: *const *const c_char) -> c_int {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_else(|| "init".into());
    let rest: Vec<OsString> = arguments.collect();
    let options = Options::new(rest.iter().cloned());
    let is_first = std::process::id() == 1 && options.state.is_none() && options.role(1) == Role::System;
    let problems = if is_first { early::mount_missing() } else { early::Problems::new() };
    open_standard_descriptors();
    problems.iter().for_each(|problem| say!("{problem}"));
    if is_first {
        early::set_up_console();
    }
    match options.role(std::process::id().cast_signed()) {
        Role::Help => print(options::HELP),
        Role::Version => print(&format!("{}\n", options::version())),
        Role::Telinit => telinit(&own_path(&name), &rest),
        role => {
            let has_past = options.state.is_some() || role == Role::System;
            crash::install(has_past.then_some(raw_arguments));
            supervise::run(options, role, own_path(&name))
        }
    }
}

fn print(text: &str) -> c_int {
    use std::io::Write as _;
    c_int::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

/// The kernel may start PID 1 without: then the console, or nothing at all, takes their places.
fn open_standard_descriptors() {
    for number in 0..=2 {
        #[allow(unsafe_code)]
        // SAFETY: only borrowed for the call, which judges whether it is open.
        let standard = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl(standard, FcntlArg::F_GETFD).is_ok() {
            continue;
        }
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
        let device = open("/dev/console", flags, Mode::empty()).or_else(|_| open("/dev/null", flags, Mode::empty()));
        // The lowest free number is the one that is missing. Without any device the numbers stay free: all that uses
        // them can live with that.
        let _ = device.map(OwnedFd::into_raw_fd);
    }
}

/// The path this program was started by, which after an upgrade leads to the new one.
fn own_path(name: &OsStr) -> PathBuf {
    let name = Path::new(name);
    if name.components().count() > 1 {
        return std::path::absolute(name).unwrap_or_else(|_| name.to_owned());
    }
    // Found by a shell in its PATH, or by the kernel.
    std::fs::read_link("/proc/self/exe").unwrap_or_else(|_| "/sbin/init".into())
}

/// `init 3` at a shell has always meant `telinit 3`.
fn telinit(own_path: &Path, arguments: &[OsString]) -> c_int {
    let program = own_path.with_file_name("telinit");
    let error = Command::new(&program).arg0("telinit").args(arguments).exec();
    say!("not process 1 and not --user, so this is telinit, but {} cannot be executed: {error}", program.display());
    1
}
