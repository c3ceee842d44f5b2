//! Where the notes are of when output was printed: not among the logs themselves, in which people, `logrotate` and scripts
//! expect nothing but logs.

use std::path::{Path, PathBuf};

/// The directory with the notes on the logs of a directory, one file for each log, of the same name: in /var/log/stayup of
/// the system, in `$XDG_STATE_HOME/stayup` of a session (XDG Base Directory Specification 0.8: logs and history).
#[must_use]
pub fn log_notes(is_session: bool, log_dir: &Path) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state_home = || {
        let home = || variable("HOME").unwrap_or_else(|| "/".into()).join(".local/state");
        variable("XDG_STATE_HOME").filter(|path| path.is_absolute()).unwrap_or_else(home)
    };
    let place = if is_session { state_home().join("stayup") } else { "/var/log/stayup".into() };
    // Two directories may get the same name: each file of notes says which log it is of.
    let name = log_dir.to_string_lossy().trim_matches('/').replace('/', "-");
    place.join("log-times").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_of_logs_has_notes_of_its_own_outside_of_it() {
        let of = |path| log_notes(false, Path::new(path));
        assert_eq!(of("/var/log/upstart"), Path::new("/var/log/stayup/log-times/var-log-upstart"));
        assert_ne!(of("/srv/logs"), of("/var/log/upstart"));
        assert!(log_notes(true, Path::new("/home/a/.cache/upstart")).ends_with("log-times/home-a-.cache-upstart"));
    }
}
