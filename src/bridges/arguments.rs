//! The command lines of bridges, which are all alike.

use std::fmt::Display;
use std::process::ExitCode;

use control::options::{CommandLine, OptionSpec, describe};

/// What a bridge says when it needs a session and there is none.
pub const NO_SESSION: &str = "UPSTART_SESSION isn't set in the environment. Unable to locate the Upstart instance.";

const fn option(short: Option<char>, long: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { short, long, value: None, help }
}

const OPTIONS: &[OptionSpec] = &[
    option(None, "daemon", "go to the background, for jobs with `expect daemon`"),
    option(None, "user", "talk to the init of the session ($UPSTART_SESSION)"),
    option(None, "debug", "tell of everything"),
    option(Some('v'), "verbose", "tell of every event"),
    option(Some('q'), "quiet", "print errors only"),
    option(None, "help", "print this text and exit"),
    option(None, "version", "print the version and exit"),
];

/// What the command line and the environment say.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--daemon`.
    pub daemon: bool,
    /// `--user`.
    pub user: bool,
    /// `--verbose` or `--debug`.
    pub verbose: bool,
    /// `$UPSTART_SESSION`.
    pub session: Option<String>,
}

/// Whether to go on.
#[derive(Debug)]
pub enum Start {
    /// With these options.
    Run(Options),
    /// No: a text was printed.
    Exit(ExitCode),
}

/// Reads the command line of the process.
pub fn read(program: &str, usage: &str) -> Start {
    let line = match CommandLine::parse(std::env::args_os().skip(1), OPTIONS) {
        Ok(line) => line,
        Err(error) => {
            let status = fail(program, &error);
            eprintln!("Try `{program} --help' for more information.");
            return Start::Exit(status);
        }
    };
    if line.has("help") {
        print!("{usage}{}", describe(OPTIONS));
        return Start::Exit(ExitCode::SUCCESS);
    }
    if line.has("version") {
        print!("{}", control::initctl::version(program));
        return Start::Exit(ExitCode::SUCCESS);
    }
    Start::Run(Options {
        daemon: line.has("daemon"),
        user: line.has("user"),
        verbose: line.has("verbose") || line.has("debug"),
        session: std::env::var("UPSTART_SESSION").ok().filter(|address| !address.is_empty()),
    })
}

/// Prints an error; returns the exit status that goes with it.
pub fn fail(program: &str, error: &dyn Display) -> ExitCode {
    eprintln!("{program}: {error}");
    ExitCode::FAILURE
}
