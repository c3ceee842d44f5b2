//! `history`, `log`, `boot`, `boots`, `metrics`, `crashes` and `crash-report`: the program of the archive answers them, so that nothing of
//! its database is in here.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::Invocation;

const PROGRAM: &str = "init-history";

/// Becomes the program that answers; returns only if there is none.
pub(super) fn ask(invocation: &Invocation) -> io::Error {
    let line = &invocation.line;
    let mut command = Command::new(program());
    command.arg(invocation.command.name);
    for name in ["boot", "since", "until", "lines", "logdir"] {
        command.args(line.value(name).map(|value| format!("--{name}={value}")));
    }
    for name in ["failed", "json", "no-pager", "with-values"] {
        command.args(line.has(name).then(|| format!("--{name}")));
    }
    if !invocation.words.is_empty() {
        command.arg("--").args(&invocation.words);
    }
    if line.has("system") {
        command.env_remove("UPSTART_SESSION");
    }
    command.exec()
}

/// The one that was installed with us, or else whichever is found.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    beside.filter(|path| path.exists()).unwrap_or_else(|| PROGRAM.into())
}
