//! The session file: how clients find a session's init.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes the file with the session's address, whole or not at all.
///
/// # Errors
/// When the runtime directory cannot be written.
pub fn write(path: &Path, address: &str) -> io::Result<()> {
    use std::io::Write;
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let aside = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(format!("UPSTART_SESSION={address}\n").as_bytes())?;
    fs::rename(&aside, path)
}

/// Removes the file at the session's end.
pub fn remove(path: &Path) {
    // If it cannot be removed, clients find out that nobody listens there.
    let _ = fs::remove_file(path);
}
