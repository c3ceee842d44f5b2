//! One line on standard error, for people. Never waits: a full pipe or a stopped terminal must not stop PID 1.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt::Arguments;
use std::io::stderr;
use std::os::fd::AsFd as _;

/// Longest line, in bytes: what a pipe that polls as writable takes without waiting (`PIPE_BUF`, pipe(7)).
const LINE_MAX_BYTES: usize = 4096;

/// Writes `init: MESSAGE`, or nothing when that would wait.
pub(crate) fn line(message: Arguments<'_>) {
    let mut text = format!("init: {message}");
    while text.len() >= LINE_MAX_BYTES {
        text.pop();
    }
    text.push('\n');
    let errors = stderr();
    let mut ready = [PollFd::new(errors.as_fd(), PollFlags::POLLOUT)];
    let is_writable = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count == 1)
        && ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT));
    if is_writable {
        // Not through std's locked stderr: the panic hook comes here from anywhere.
        let _ = nix::unistd::write(errors.as_fd(), text.as_bytes());
    }
}

/// See [`line`].
macro_rules! say {
    ($($argument:tt)*) => { $crate::report::line(format_args!($($argument)*)) };
}
pub(crate) use say;
