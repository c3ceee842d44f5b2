//! The last restart generation that the session has been told of, across restarts of the bridge.
//!
//! Knows one small file, which is replaced as a whole. It lives as long as the session's runtime directory; each
//! session has its own, because one user may have several.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The file, or nothing where there is no runtime directory.
#[derive(Debug)]
pub struct Ledger {
    path: Option<PathBuf>,
}

impl Ledger {
    /// The ledger of the session at this address, below `$XDG_RUNTIME_DIR`.
    pub fn of_session(address: &str) -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
        Self { path: runtime.map(|path| Self::place(Path::new(&path), address)) }
    }

    /// The ledger in this file.
    pub fn at(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    /// Next to the journal of the session where its address ends in the pid of its keeper.
    fn place(runtime: &Path, address: &str) -> PathBuf {
        let first = address.split([',', ';']).next().unwrap_or_default();
        let last = first.rsplit('/').next().unwrap_or_default();
        let name: String =
            last.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
        runtime
            .join("stayup")
            .join(if name.is_empty() { "session".to_owned() } else { name })
            .join("event-bridge.generation")
    }

    /// The generation announced last; `None` before the first, or when the file makes no sense.
    pub fn read(&self) -> Option<u64> {
        let text = fs::read_to_string(self.path.as_ref()?).ok()?;
        text.trim().parse().ok()
    }

    /// Writes down an announced generation. When that fails the bridge goes on without: the worst that can happen is
    /// that a restarted bridge announces it again.
    pub fn write(&self, generation: u64) {
        let Some(path) = &self.path else { return };
        if let Err(error) = replace(path, generation) {
            eprintln!("upstart-event-bridge: {}: {error}", path.display());
        }
    }
}

fn replace(path: &Path, generation: u64) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let aside = path.with_extension("new");
    fs::write(&aside, format!("{generation}\n"))?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_has_its_own_file() {
        let place = |address| Ledger::place(Path::new("/run"), address);
        assert_eq!(
            place("unix:abstract=/com/ubuntu/upstart-session/1000/42"),
            Path::new("/run/stayup/42/event-bridge.generation")
        );
        assert_eq!(place("unix:path=/tmp/x.y,guid=1"), Path::new("/run/stayup/x_y/event-bridge.generation"));
        assert_eq!(place("unix:path=/tmp/.."), Path::new("/run/stayup/__/event-bridge.generation"));
    }

    #[test]
    fn a_broken_file_counts_as_none() {
        let path = std::env::temp_dir().join(format!("ledger-{}", std::process::id()));
        let ledger = Ledger::at(path.join("generation"));
        assert_eq!(ledger.read(), None);
        ledger.write(7);
        assert_eq!(ledger.read(), Some(7));
        fs::write(path.join("generation"), "seven").unwrap();
        assert_eq!(ledger.read(), None);
        fs::remove_dir_all(path).unwrap();
    }
}
