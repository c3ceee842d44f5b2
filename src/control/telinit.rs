//! `telinit`: runlevels and the other requests of SysV init.
//!
//! A runlevel is nothing but an event and a record; this module knows both and must never know what jobs make of it.
//! With `--user` the requests `q` and `u` go to the init of the session, which is how a session job has its init
//! execute itself anew.

use std::ffi::OsString;
use std::fmt;

use crate::bus::{Bus, CallError, ConnectError, Target};
use crate::options::{CommandLine, OptionSpec, UsageError, describe};
use crate::remote::Remote;
use crate::utmp::{Runlevel, Utmp};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        short: Some('e'),
        long: "",
        value: Some("KEY=VALUE"),
        help: "a further variable of the runlevel event; may be repeated",
    },
    OptionSpec {
        short: None,
        long: "user",
        value: None,
        help: "talk to the init of the session ($UPSTART_SESSION); for q and u only",
    },
    OptionSpec {
        short: Some('t'),
        long: "",
        value: Some("SECONDS"),
        help: "accepted and without effect: each job has its own kill timeout",
    },
    OptionSpec { short: Some('q'), long: "quiet", value: None, help: "print errors only" },
    OptionSpec { short: Some('v'), long: "verbose", value: None, help: "accepted, as Upstart's programs do" },
    OptionSpec { short: None, long: "help", value: None, help: "print this text and exit" },
    OptionSpec { short: None, long: "version", value: None, help: "print the version and exit" },
];

const USAGE: &str = "\
Usage: telinit [OPTION]... RUNLEVEL
Change the runlevel, or make a request of init.

RUNLEVEL is one of 0 (halt), 1 (single user), 2 to 5, 6 (reboot), S or s (single user, at once),
or a request: Q or q to read all job files again, U or u to execute init anew.
";

/// What the only argument asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    Runlevel(char),
    Reload,
    Restart,
}

impl Request {
    fn parse(word: &str) -> Result<Self, UsageError> {
        match word {
            "0" | "1" | "2" | "3" | "4" | "5" | "6" => Ok(Self::Runlevel(word.chars().next().unwrap_or('0'))),
            "S" | "s" => Ok(Self::Runlevel('S')),
            "Q" | "q" => Ok(Self::Reload),
            "U" | "u" => Ok(Self::Restart),
            _ => Err(UsageError::Illegal("runlevel", word.to_owned())),
        }
    }
}

/// Why a request of init failed. Also of the other programs that change the runlevel.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(UsageError),
    /// Only root may do this.
    NotRoot,
    /// `--user` outside of a session.
    NoSession,
    /// There is no connection to init.
    Connect(ConnectError),
    /// Init refused.
    Call(CallError),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(out),
            Self::NotRoot => out.write_str("Need to be root"),
            Self::NoSession => {
                out.write_str("UPSTART_SESSION isn't set in the environment. Unable to locate the Upstart instance.")
            }
            Self::Connect(error) => error.fmt(out),
            Self::Call(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for Failure {}

/// Fails for anyone but root; root of a user namespace is root, too.
///
/// # Errors
/// `NotRoot`.
pub fn require_root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(Failure::NotRoot) }
}

/// Prints what went wrong and where to find help; returns the exit status.
pub fn report(program: &str, result: Result<(), Failure>) -> u8 {
    let Err(failure) = result else { return 0 };
    eprintln!("{program}: {failure}");
    if matches!(failure, Failure::Usage(_)) {
        eprintln!("Try `{program} --help' for more information.");
    }
    1
}

/// Runs the program; returns its exit status.
pub fn main(program: &str, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    report(program, run(program, arguments))
}

fn run(program: &str, arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let line = CommandLine::parse(arguments, OPTIONS).map_err(Failure::Usage)?;
    if line.has("help") {
        print!("{USAGE}{}", describe(OPTIONS));
        return Ok(());
    }
    if line.has("version") {
        print!("{}", crate::initctl::version(program));
        return Ok(());
    }
    let user = line.has("user");
    let word = line.words.first();
    let word = word.ok_or(Failure::Usage(UsageError::Missing("runlevel")))?;
    let request = Request::parse(word).map_err(Failure::Usage)?;
    let target = if user {
        if let Request::Runlevel(_) = request {
            let error = UsageError::Illegal("request of a session", word.clone());
            return Err(Failure::Usage(error));
        }
        let address = std::env::var("UPSTART_SESSION").map_err(|_| Failure::NoSession)?;
        Target::Private(address)
    } else {
        require_root()?;
        Target::system()
    };
    crate::block_on(async {
        match request {
            Request::Runlevel(level) => {
                let env: Vec<_> = line.values("e").map(str::to_owned).collect();
                change_runlevel(program, level, &env).await
            }
            Request::Reload => {
                let mut remote = connect(&target).await?;
                let done = remote.manager("ReloadConfiguration", &()).await;
                done.map_err(Failure::Call)
            }
            Request::Restart => {
                let mut remote = connect(&target).await?;
                remote.restart().await.map_err(Failure::Call)
            }
        }
    })
}

async fn connect(target: &Target) -> Result<Remote, Failure> {
    let bus = Bus::connect(target).await.map_err(Failure::Connect)?;
    Ok(Remote::new(bus))
}

/// Emits the runlevel event with these further variables, and writes it down. Returns without waiting for the jobs.
///
/// Records that cannot be written are a warning: the system must come down all the same.
///
/// # Errors
/// `Connect` before anything is written, or `Call`.
pub async fn change_runlevel(program: &str, level: char, env: &[String]) -> Result<(), Failure> {
    let mut remote = connect(&Target::system()).await?;
    let place = Utmp::default();
    let recorded = place.runlevel().ok().flatten().map(|found| found.level);
    let from_environment = std::env::var("RUNLEVEL").ok();
    let previous = previous_level(from_environment.as_deref(), recorded);
    let runlevel = Runlevel { level, previous };
    if let Err(error) = place.write_runlevel(runlevel) {
        let error = crate::address::strerror(&error);
        eprintln!("{program}: unable to record the runlevel: {error}");
    }
    let mut variables = vec![format!("RUNLEVEL={level}"), format!("PREVLEVEL={previous}")];
    variables.extend_from_slice(env);
    let emitted = remote.emit("runlevel", &variables, false).await;
    emitted.map_err(Failure::Call)
}

/// The level we come from: that of the environment is preferred to the recorded one (telinit(8)).
fn previous_level(environment: Option<&str>, recorded: Option<char>) -> char {
    let given = environment.and_then(|text| {
        let mut letters = text.chars();
        let level = letters.next().filter(|_| letters.next().is_none())?;
        matches!(level, '0'..='6' | 'S' | 'N').then_some(level)
    });
    given.or(recorded).unwrap_or('N')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runlevels_or_requests() {
        assert_eq!(Request::parse("3"), Ok(Request::Runlevel('3')));
        assert_eq!(Request::parse("s"), Ok(Request::Runlevel('S')));
        assert_eq!(Request::parse("Q"), Ok(Request::Reload));
        assert_eq!(Request::parse("u"), Ok(Request::Restart));
        for word in ["7", "", "22", "x", "\u{e9}"] {
            assert!(Request::parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn the_environment_knows_the_level_better_than_the_record() {
        assert_eq!(previous_level(None, None), 'N');
        assert_eq!(previous_level(None, Some('2')), '2');
        assert_eq!(previous_level(Some("3"), Some('2')), '3');
        assert_eq!(previous_level(Some("33"), Some('2')), '2');
        assert_eq!(previous_level(Some("x"), None), 'N');
    }
}
