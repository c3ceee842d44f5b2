//! Where a session's own things are: its journal, its notify socket and the keeper's table. One answer for keeper and manager.
//!
//! A session goes by a number: the pid of the keeper that began it. A keeper that takes over from one that was killed takes
//! the number over, too, so that addresses and paths that jobs were told stay true.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the keeper's table is called in the session's directory.
pub const TABLE: &str = "table";

/// The directory in which each session of this user has one of its own, named after its number: below `runtime`
/// (`$XDG_RUNTIME_DIR`), which counts when it is absolute, or else in memory. The latter lies in a directory that is open to
/// everybody, so whoever uses it must look whose it is.
#[must_use]
pub fn sessions(runtime: Option<OsString>, uid: u32) -> PathBuf {
    match runtime.map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(runtime) => runtime.join("stayup"),
        None => {
            let shm = Path::new("/dev/shm");
            let parent = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
            parent.join(format!("stayup-{uid}"))
        }
    }
}

/// The directory of one session of this process's user and environment.
#[must_use]
pub fn session(number: i32) -> PathBuf {
    let uid = nix::unistd::geteuid().as_raw();
    sessions(std::env::var_os("XDG_RUNTIME_DIR"), uid).join(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_or_missing_runtime_directory_is_none() {
        assert_eq!(sessions(Some("/run/user/7".into()), 7), Path::new("/run/user/7/stayup"));
        for runtime in [None, Some(OsString::new()), Some("here".into())] {
            assert!(sessions(runtime, 7).ends_with("stayup-7"));
        }
    }
}
