//! The program `upstart-event-bridge`, a job of every session.

use std::process::ExitCode;

use bridges::arguments::{self, Start};
use bridges::event::Bridge;

const USAGE: &str = "\
Usage: upstart-event-bridge [OPTION]...
Emit the events of the system init as events :sys:NAME of the session, and :sys:restarted when it was restarted.
";

fn main() -> ExitCode {
    let options = match arguments::read("upstart-event-bridge", USAGE) {
        Start::Run(options) => options,
        Start::Exit(status) => return status,
    };
    let Some(session) = options.session else {
        return arguments::fail("upstart-event-bridge", &arguments::NO_SESSION);
    };
    let bridge = Bridge::new(session, options.verbose);
    if options.daemon
        && let Err(error) = bridges::daemon::daemonize()
    {
        return arguments::fail("upstart-event-bridge", &error);
    }
    control::block_on(bridge.run());
    ExitCode::SUCCESS
}
