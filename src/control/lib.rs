//! What people use to talk to an init: `initctl` and its short names, `telinit`, and the programs that bring the
//! system down.
//!
//! Everything here is a client. It knows the D-Bus contract and the texts that scripts read; it must never know how
//! an init works inside. The bridges build on [`bus`] and [`remote`]. [`checkconf`] alone asks no init: it reads job files
//! with the parser of `machine`, so that what it says is what init will say.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod address;
pub mod bus;
pub mod checkconf;
pub mod clock;
pub mod condition;
pub mod glob;
pub mod initctl;
pub mod names;
pub mod options;
pub mod reboot;
pub mod remote;
pub mod shutdown;
pub mod status;
pub mod telinit;
pub mod utmp;
pub mod wall;

use std::future::Future;
use std::path::Path;

/// Runs a program of one thread to its end.
///
/// # Panics
/// If the kernel grants no epoll instance, without which nothing can be done.
pub fn block_on<T>(program: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("epoll is available").block_on(program)
}

/// The name a program was called by, without its directory, and its arguments.
pub fn program_name(fallback: &str) -> (String, impl Iterator<Item = std::ffi::OsString> + use<>) {
    let mut arguments = std::env::args_os();
    let name = arguments
        .next()
        .as_deref()
        .map(Path::new)
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    (name.unwrap_or_else(|| fallback.to_owned()), arguments)
}
