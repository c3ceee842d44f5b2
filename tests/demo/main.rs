//! `cargo demo`: the system init restarts, every session follows, and no job notices. Played for real on a machine of its
//! own, told as a timeline, and believed only when seen.

mod options;
mod rounds;
mod show;
mod timeline;

use options::{Options, Parsed};
use std::process::ExitCode;

/// Exit status where the kernel does not let us make a machine: nothing was tried. That of skipped tests elsewhere.
const EXIT_SKIPPED: u8 = 77;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Parsed::Run(options) => options,
        Parsed::Help => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Parsed::Wrong(what) => {
            eprintln!("demo: {what}\n{}", options::USAGE);
            return ExitCode::FAILURE;
        }
    };
    // What goes wrong panics in the testkit, with all that init printed; here it is an exit status.
    match std::panic::catch_unwind(|| show::run(&options)) {
        Ok(Ok(problems)) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(Ok(_)) | Err(_) => ExitCode::FAILURE,
        Ok(Err(error)) => {
            eprintln!("demo: {error}");
            if error.is_forbidden() { ExitCode::from(EXIT_SKIPPED) } else { ExitCode::FAILURE }
        }
    }
}
