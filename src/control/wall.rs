//! Messages to everybody who is logged in.
//!
//! Knows terminals, and the records of who sits at them. A terminal that cannot be written to is passed over.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::clock;
use crate::utmp::Utmp;

/// Writes the text to all terminals, under a line that says who sends it.
pub fn broadcast(text: &str) {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    let user = user.ok().flatten().map_or("root".to_owned(), |user| user.name);
    let minute = clock::minute_of_day();
    let message = format!(
        "\x07\nBroadcast message from {user}@{}\n\tat {}:{:02} ...\n\n{text}\n",
        host.to_string_lossy(),
        minute / 60,
        minute % 60
    );
    let message = message.replace('\n', "\r\n");
    for line in Utmp::default().terminals().unwrap_or_default() {
        write_to(&line, &message);
    }
}

/// Does not wait for a terminal that is stopped, and never makes it our own.
fn write_to(line: &str, message: &str) {
    // A line such as `../shm/x` or `:0` is no terminal.
    if line.contains("..") || line.starts_with(':') {
        return;
    }
    let path = Path::new("/dev").join(line.trim_start_matches('/'));
    let terminal = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    if let Ok(mut terminal) = terminal
        && std::io::IsTerminal::is_terminal(&terminal)
    {
        let _ = terminal.write_all(message.as_bytes());
    }
}
