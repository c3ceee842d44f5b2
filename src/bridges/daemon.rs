//! Going to the background, for jobs with `expect daemon`.
//!
//! Knows fork(2) and nothing of bridges. It forks twice, because that is what `expect daemon` counts.

// fork(2) is unsafe where there are several threads; here there is one.
#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::process;

use nix::errno::Errno;
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

/// Continues as a grandchild of the calling process, in a session of its own, at `/`, without the terminal; the
/// calling process ends with status 0. To be called before there is any other thread.
///
/// # Errors
/// As from fork(2), setsid(2) and chdir(2).
pub fn daemonize() -> Result<(), Errno> {
    fork_away()?;
    setsid()?;
    fork_away()?;
    chdir("/")?;
    // Without /dev/null (early at boot) the standard files stay what they are.
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        dup2_stdin(null.as_fd())?;
        dup2_stdout(null.as_fd())?;
        dup2_stderr(null.as_fd())?;
    }
    Ok(())
}

fn fork_away() -> Result<(), Errno> {
    // SAFETY: the process has one thread, so the child finds all locks free.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => process::exit(0),
        ForkResult::Child => Ok(()),
    }
}
