//! A manager that hangs says where, before it is replaced: the keeper asks with a signal ([`keeper::protocol::DUMP`]), whose
//! handler writes the stack of the main thread to the log and ends the process.
//!
//! What the handler calls is not async-signal-safe: interrupted in the middle of an allocation it may wait for itself. Nothing
//! is at stake any more by then; the keeper kills the process shortly after.

#![allow(unsafe_code)] // a signal handler.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Installs the handler.
///
/// # Errors
/// When the kernel refuses; then the signal ends the process without a word.
pub fn install() -> nix::Result<()> {
    let handler = SigHandler::Handler(on_dump);
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    let signal = Signal::try_from(keeper::protocol::DUMP)?;
    // SAFETY: the handler never comes back to what it has interrupted.
    unsafe { sigaction(signal, &action) }.map(drop)
}

extern "C" fn on_dump(_signal: i32) {
    crate::report::error("the manager did not answer; it was in the middle of this:");
    crate::last_words::tell_stack();
    // SAFETY: runs nothing of ours.
    unsafe { nix::libc::_exit(1) }
}
