//! `initctl`, and the same under the names `start`, `stop`, `restart`, `reload` and `status`.
//!
//! Knows command lines and what is printed. What the init does with a request is none of its business.

mod config;
mod environ;
mod jobs;
mod manager;
mod past;
mod sessions;
mod table;

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;

use crate::bus::{Bus, CallError, ConnectError, Target};
use crate::condition::BrokenNotation;
use crate::names;
use crate::options::{CommandLine, UsageError};
use crate::remote::Remote;
use table::{Command, Verb};

/// Version of the contract, which scripts look for.
const CONTRACT: &str = "1.13.2";

/// Why a command failed.
#[derive(Debug)]
enum Failure {
    Usage(UsageError),
    NoSession,
    NoRuntimeDirectory,
    SessionDirectory(String, std::io::Error),
    Connect(ConnectError),
    Call(CallError),
    Condition(String, BrokenNotation),
    Past(std::io::Error),
    /// `check-config` has found something, and has said so.
    Unsound,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(out),
            Self::NoSession => {
                out.write_str("UPSTART_SESSION isn't set in the environment. Unable to locate the Upstart instance.")
            }
            Self::NoRuntimeDirectory => {
                out.write_str("XDG_RUNTIME_DIR isn't set in the environment. Unable to locate sessions.")
            }
            Self::SessionDirectory(path, error) => {
                write!(out, "{path}: {}", crate::address::strerror(error))
            }
            Self::Connect(error) => error.fmt(out),
            Self::Call(error) => error.fmt(out),
            Self::Condition(job, error) => write!(out, "{job}: {error}"),
            Self::Past(error) => {
                write!(out, "init-history: {}; is it installed?", crate::address::strerror(error))
            }
            Self::Unsound => Ok(()),
        }
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// A command line whose command is known.
struct Invocation {
    command: &'static Command,
    line: CommandLine,
    /// The words after the command.
    words: Vec<String>,
}

impl Invocation {
    /// The first word, or the complaint that it is missing.
    fn first(&self, what: &'static str) -> Result<&str, UsageError> {
        self.words.first().map(String::as_str).ok_or(UsageError::Missing(what))
    }

    fn wait(&self) -> bool {
        !self.line.has("no-wait")
    }
}

/// Runs the program under the name it was called by; returns its exit status.
pub fn main(program: &str, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut output = String::new();
    let result = invocation(program, arguments).map_err(Failure::Usage);
    let quiet = result.as_ref().is_ok_and(|call| match call {
        Parsed::Run(invocation) => invocation.line.has("quiet"),
        Parsed::Print(_) => false,
    });
    let result = result.and_then(|parsed| match parsed {
        Parsed::Print(text) => {
            output = text;
            Ok(())
        }
        Parsed::Run(invocation) => crate::block_on(run(&invocation, &mut output)),
    });
    if !quiet {
        // A reader that has gone away (`initctl list | head`) is no failure of ours.
        let _ = std::io::stdout().write_all(output.as_bytes());
    }
    match result {
        Ok(()) => 0,
        Err(Failure::Unsound) => 1,
        Err(failure) => {
            eprintln!("{program}: {failure}");
            if matches!(failure, Failure::Usage(_)) {
                eprintln!("Try `{program} --help' for more information.");
            }
            1
        }
    }
}

enum Parsed {
    Print(String),
    Run(Invocation),
}

fn invocation(program: &str, arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, UsageError> {
    let line = CommandLine::parse(arguments, table::OPTIONS)?;
    let mut words = line.words.clone();
    let short_name = table::COMMANDS.iter().find(|command| command.has_link && command.name == program);
    let (command, title) = match short_name {
        Some(command) => (Some(command), program.to_owned()),
        None if words.is_empty() => (None, program.to_owned()),
        None => {
            let name = words.remove(0);
            let command = table::COMMANDS.iter().find(|command| command.name == name);
            if command.is_none() && !(line.has("help") || line.has("version")) {
                return Err(UsageError::InvalidCommand(name));
            }
            (command, format!("{program} {name}"))
        }
    };
    if line.has("version") {
        return Ok(Parsed::Print(version(program)));
    }
    if line.has("help") {
        return Ok(Parsed::Print(match command {
            Some(command) => command.help(&title),
            None => table::help(program),
        }));
    }
    let command = command.ok_or(UsageError::Missing("command"))?;
    if let Some(option) = line.first_not(|name| command.takes(name)) {
        return Err(UsageError::InvalidOption(option.to_owned()));
    }
    Ok(Parsed::Run(Invocation { command, line, words }))
}

/// The text of `--version`, for all programs of the package. Its first line has the form of Upstart's, because scripts
/// decide by it whether they are on an Upstart system.
pub fn version(program: &str) -> String {
    format!("{program} (upstart {CONTRACT})\nStayup {}\n", env!("CARGO_PKG_VERSION"))
}

/// Which init the options and the environment mean.
fn target(line: &CommandLine) -> Result<Target, Failure> {
    let name = line.value("dest").unwrap_or(names::BUS_NAME);
    if line.has("session") {
        return Ok(Target::session_bus(name));
    }
    if line.has("system") {
        return Ok(Target::system_bus(name));
    }
    match std::env::var("UPSTART_SESSION") {
        Ok(address) if !address.is_empty() => Ok(Target::Private(address)),
        _ if line.has("user") => Err(Failure::NoSession),
        _ => Ok(Target::system()),
    }
}

async fn run(invocation: &Invocation, output: &mut String) -> Result<(), Failure> {
    if invocation.command.verb == Verb::ListSessions {
        return sessions::list(output);
    }
    invocation.command.check_words(&invocation.words)?;
    if matches!(invocation.command.verb, Verb::Past | Verb::Log | Verb::CrashReport) {
        return Err(Failure::Past(past::ask(invocation)));
    }
    let bus = Bus::connect(&target(&invocation.line)?).await?;
    let remote = &mut Remote::new(bus);
    match invocation.command.verb {
        Verb::Request(request) => jobs::request(remote, invocation, request, output).await,
        Verb::Reload => jobs::reload(remote, invocation).await,
        Verb::Status => jobs::status(remote, invocation, output).await,
        Verb::List => jobs::list(remote, output).await,
        Verb::Usage => jobs::usage(remote, invocation, output).await,
        Verb::Emit => manager::emit(remote, invocation).await,
        Verb::ReloadConfiguration => Ok(remote.manager::<_, ()>("ReloadConfiguration", &()).await?),
        Verb::Version => manager::version(remote, output).await,
        Verb::LogPriority => manager::log_priority(remote, invocation, output).await,
        Verb::Notify(member) => manager::notify(remote, invocation, member).await,
        Verb::ShowConfig => config::show(remote, invocation, output).await,
        Verb::CheckConfig => config::check(remote, invocation, output).await,
        Verb::ListEnv => environ::list(remote, invocation, output).await,
        Verb::GetEnv => environ::get(remote, invocation, output).await,
        Verb::SetEnv => environ::set(remote, invocation).await,
        Verb::UnsetEnv => environ::unset(remote, invocation).await,
        Verb::Exit => manager::exit(remote, invocation).await,
        Verb::ResetEnv => environ::reset(remote, invocation).await,
        // Answered above, without an init.
        Verb::ListSessions | Verb::Past | Verb::Log | Verb::CrashReport => Ok(()),
    }
}

/// The job and the instance that the process belongs to: `$UPSTART_JOB` and `$UPSTART_INSTANCE`.
fn own_job() -> Option<(String, String)> {
    let job = std::env::var("UPSTART_JOB").ok().filter(|job| !job.is_empty())?;
    Some((job, std::env::var("UPSTART_INSTANCE").unwrap_or_default()))
}
