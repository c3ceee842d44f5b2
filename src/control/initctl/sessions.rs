//! `list-sessions`: the session inits of this user, by the files they leave while they run.

use std::fs;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::Failure;

pub(super) fn list(output: &mut String) -> Result<(), Failure> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").ok_or(Failure::NoRuntimeDirectory)?;
    let directory = PathBuf::from(runtime).join("upstart/sessions");
    let failed = |error| Failure::SessionDirectory(directory.display().to_string(), error);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut sessions = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_session = path.extension().is_some_and(|end| end == "session");
        let pid = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let (true, Some(pid)) = (is_session, pid) else {
            continue;
        };
        if kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
            eprintln!("initctl: ignoring stale session file: {}", path.display());
            continue;
        }
        // A session that ends in this very moment takes its file along.
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some(address) = address(&text) {
            sessions.push((pid, address.to_owned()));
        }
    }
    sessions.sort_unstable();
    for (pid, address) in sessions {
        output.push_str(&format!("{pid} {address}\n"));
    }
    Ok(())
}

/// The address in the text of a session file.
fn address(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("UPSTART_SESSION="))
}
