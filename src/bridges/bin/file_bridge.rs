//! The program `upstart-file-bridge`, a job of the system or of a session.

use std::path::PathBuf;
use std::process::ExitCode;

use bridges::arguments::{self, Start};
use bridges::file::Bridge;
use control::bus::Target;

const PROGRAM: &str = "upstart-file-bridge";

const USAGE: &str = "\
Usage: upstart-file-bridge [OPTION]...
Emit file events for the files that jobs wait for: file FILE=PATH EVENT=create|modify|delete [MATCH=PATH]
";

fn main() -> ExitCode {
    let options = match arguments::read(PROGRAM, USAGE) {
        Start::Run(options) => options,
        Start::Exit(status) => return status,
    };
    let target = match options.session {
        Some(address) => Target::Private(address),
        None if options.user => return arguments::fail(PROGRAM, &arguments::NO_SESSION),
        None => Target::system(),
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    if options.daemon
        && let Err(error) = bridges::daemon::daemonize()
    {
        return arguments::fail(PROGRAM, &error);
    }
    let result = control::block_on(async { Bridge::new(target, home, options.verbose)?.run().await });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => arguments::fail(PROGRAM, &error),
    }
}
