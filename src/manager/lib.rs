//! The manager: what joins the machine, the journal, the keeper and D-Bus. The program is `init-manager`.
//!
//! It may die at any instruction. Whatever it has told anybody is in the journal, and whatever must outlive it is held by
//! the keeper; the manager that comes after replays the one and takes over the other, see [`resume`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cgroup;
pub mod conf;
pub mod crash;
pub mod dbus;
pub mod dump;
pub mod early;
pub mod emergency;
pub mod image;
pub mod init;
pub mod last_words;
pub mod link;
pub mod mounts;
pub mod notify;
pub mod options;
pub mod origin;
pub mod output;
pub mod report;
pub mod resume;
pub mod scope;
pub mod session;
pub mod spawner;
pub mod times;
pub mod translate;
pub mod turn;
pub mod users;

/// How turns and states become bytes, for those who read what a manager has written.
pub use record as codec;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the manager to its end.
#[must_use]
pub fn run(words: Vec<OsString>) -> ExitCode {
    let options = match options::Options::parse(words) {
        Ok(options) => options,
        Err(error) => {
            // As all programs say it, with the hint on a line of its own, which a message of init cannot have.
            let _ = writeln!(std::io::stderr(), "init: {error}");
            return ExitCode::from(keeper::protocol::EXIT_USAGE);
        }
    };
    // With the keeper gone all that we could still do would be done behind the back of the next one. (The link says it too, but
    // not to a manager that hangs. A keeper that executes itself anew is the same process.)
    if let Err(errno) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL) {
        report::warn(&format!("cannot ask to be ended with the keeper: {}", errno.desc()));
    }
    // Executed as the copy that the keeper has kept, it would be called by a number.
    let _ = nix::sys::prctl::set_name(c"init-manager");
    last_words::tell_panics();
    if let Err(errno) = dump::install() {
        report::warn(&format!("a hang will leave no stack in the log: {}", errno.desc()));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report::error(&format!("cannot begin: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(init::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
