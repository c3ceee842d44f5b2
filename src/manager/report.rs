//! Where init's own messages go.
//!
//! Warnings and worse go to standard error with `init: ` before them, the rest to standard output as it is: what tools
//! that read Upstart's output expect. On a real boot both are the console, and the kernel's log (/dev/kmsg) is the better
//! place, since nobody reads the console and syslog is not there yet.
//!
//! Nothing here waits: a pipe that nobody reads, or a terminal that was stopped, must not stop init. What cannot be written at
//! once is not written.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use machine::effect::Priority;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::last_words;

static KERNEL_LOG: OnceLock<Option<File>> = OnceLock::new();

/// Has messages go to the kernel's log, if standard error is a console and the log can be written.
pub fn use_kernel_log() {
    let _ = KERNEL_LOG.get_or_init(|| {
        let is_console = io::stderr().is_terminal();
        is_console.then(|| OpenOptions::new().write(true).open("/dev/kmsg").ok()).flatten()
    });
}

/// Longest message in the kernel's log, in bytes; longer records than about 1,000 are refused (`PRINTKRB_RECORD_MAX`).
const KERNEL_LOG_MAX_BYTES: usize = 900;

/// Writes one message. Whether its priority is wanted was decided before.
pub fn write(priority: Priority, text: &str) {
    let text = &one_line(text);
    last_words::keep(text);
    if let Some(Some(kernel_log)) = KERNEL_LOG.get() {
        let level = match priority {
            Priority::Debug => 7,
            Priority::Info => 6,
            Priority::Message => 5,
            Priority::Warn => 4,
            Priority::Error => 3,
            Priority::Fatal => 2,
        };
        let most = text.len().min(KERNEL_LOG_MAX_BYTES);
        let end = (0..=most).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        let text = &text[..end];
        // A message that cannot be written has no better place to go.
        let _ = (&*kernel_log).write_all(format!("<{level}>init: {text}\n").as_bytes());
    } else if priority >= Priority::Warn {
        write_now(io::stderr().as_fd(), format!("init: {text}\n"));
    } else {
        write_now(io::stdout().as_fd(), format!("{text}\n"));
    }
}

/// Longest line, in bytes: what a pipe that polls as writable takes without waiting (`PIPE_BUF`, pipe(7)).
const LINE_MAX_BYTES: usize = 4096;

/// Writes a line if that does not wait.
fn write_now(to: BorrowedFd<'_>, mut line: String) {
    if line.len() > LINE_MAX_BYTES {
        let end = (0..LINE_MAX_BYTES).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
        line.truncate(end);
        line.push('\n');
    }
    let mut ready = [PollFd::new(to, PollFlags::POLLOUT)];
    let is_writable = poll(&mut ready, PollTimeout::ZERO) == Ok(1)
        && ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT));
    if is_writable {
        // A message that cannot be written has no better place to go.
        let _ = nix::unistd::write(to, line.as_bytes());
    }
}

/// The text without characters that would make it look like several messages, or do things to a terminal: names of
/// instances come from events, and may hold anything.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let shown = |letter: char| {
        let escape = letter.is_control().then(|| letter.escape_default());
        escape.into_iter().flatten().chain((!letter.is_control()).then_some(letter))
    };
    Cow::Owned(text.chars().flat_map(shown).collect())
}

/// A warning.
pub fn warn(text: &str) {
    write(Priority::Warn, text);
}

/// An error.
pub fn error(text: &str) {
    write(Priority::Error, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_is_not_waited_for() {
        let (reader, writer) = std::io::pipe().unwrap();
        for _ in 0..100 {
            write_now(writer.as_fd(), "x".repeat(2_000) + "\n");
        }
        drop(writer);
        let read = std::io::read_to_string(reader).unwrap();
        assert!(read.len() >= 32_000 && read.lines().all(|line| line.len() == 2_000), "whole lines, as many as fit");
    }

    #[test]
    fn a_forged_message_stays_within_its_line() {
        assert_eq!(one_line("many (\u{fc}) started"), "many (\u{fc}) started");
        assert_eq!(one_line("many (1\ninit: root\u{1b}[2J) ended"), "many (1\\ninit: root\\u{1b}[2J) ended");
    }
}
