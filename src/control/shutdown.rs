//! `shutdown`: warns, waits and changes the runlevel (shutdown(8)).
//!
//! Knows times, warnings and the one shutdown that may be under way. What a runlevel means is the business of jobs.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::{self, DAY_MIN};
use crate::options::{CommandLine, OptionSpec, UsageError, describe};
use crate::telinit::{self, change_runlevel, require_root};
use crate::wall;

/// Whoever holds the lock of this file is the shutdown under way.
const LOCK_FILE: &str = "/run/shutdown.pid";
/// While this is there, pam_nologin(8) lets only root in. It is gone after a boot.
const NO_LOGIN: &str = "/run/nologin";
/// Logins are prevented in the last minutes.
const NO_LOGIN_MIN: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);

const fn option(short: char, help: &'static str) -> OptionSpec {
    OptionSpec { short: Some(short), long: "", value: None, help }
}

const fn long(long: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { short: None, long, value: None, help }
}

const OPTIONS: &[OptionSpec] = &[
    option('r', "reboot"),
    option('h', "halt or power off, whichever the system prefers"),
    option('H', "halt"),
    option('P', "power off"),
    option('c', "cancel the shutdown that is under way; MESSAGE is told to all"),
    option('k', "only warn, and keep people from logging in"),
    option('q', "print errors only"),
    option('v', "accepted, as Upstart's programs do"),
    long("help", "print this text and exit"),
    long("version", "print the version and exit"),
];

const USAGE: &str = "\
Usage: shutdown [OPTION]... TIME [MESSAGE]
Bring the system down: without an option, to single-user mode.

TIME is `now', +MINUTES or HH:MM.
";

/// What the system comes down for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    Maintenance,
    Reboot,
    HaltOrPowerOff,
    Halt,
    PowerOff,
}

impl Action {
    fn of(line: &CommandLine) -> Self {
        if line.has("r") {
            Self::Reboot
        } else if line.has("P") {
            Self::PowerOff
        } else if line.has("H") {
            Self::Halt
        } else if line.has("h") {
            Self::HaltOrPowerOff
        } else {
            Self::Maintenance
        }
    }

    fn runlevel(self) -> char {
        match self {
            Self::Maintenance => '1',
            Self::Reboot => '6',
            Self::HaltOrPowerOff | Self::Halt | Self::PowerOff => '0',
        }
    }

    /// The further variable of the runlevel event.
    fn env(self) -> Vec<String> {
        match self {
            Self::Halt => vec!["INIT_HALT=HALT".to_owned()],
            Self::PowerOff => vec!["INIT_HALT=POWEROFF".to_owned()],
            _ => Vec::new(),
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::Reboot => "reboot",
            Self::HaltOrPowerOff | Self::Halt => "halt",
            Self::PowerOff => "power off",
        }
    }
}

/// Why there is no shutdown.
#[derive(Debug)]
enum Failure {
    Request(telinit::Failure),
    AlreadyRunning(Pid),
    NotRunning,
    Lock(io::Error),
    Signals(io::Error),
    Cancel(Errno),
    Cancelled,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(failure) => failure.fmt(out),
            Self::AlreadyRunning(pid) => write!(out, "already running, process {pid}"),
            Self::NotRunning => out.write_str("Shutdown is not running"),
            Self::Lock(error) => write!(out, "{LOCK_FILE}: {error}"),
            Self::Signals(error) => write!(out, "unable to wait for signals: {error}"),
            Self::Cancel(error) => write!(out, "unable to cancel: {}", error.desc()),
            Self::Cancelled => out.write_str("Shutdown cancelled"),
        }
    }
}

impl From<telinit::Failure> for Failure {
    fn from(failure: telinit::Failure) -> Self {
        Self::Request(failure)
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Request(telinit::Failure::Usage(error))
    }
}

/// Runs the program; returns its exit status.
pub fn main(program: &str, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    match run(program, arguments) {
        Ok(()) => 0,
        Err(Failure::Request(failure)) => telinit::report(program, Err(failure)),
        Err(failure) => {
            eprintln!("{program}: {failure}");
            1
        }
    }
}

fn run(program: &str, arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let line = CommandLine::parse(arguments, OPTIONS)?;
    if line.has("help") {
        print!("{USAGE}{}", describe(OPTIONS));
        return Ok(());
    }
    if line.has("version") {
        print!("{}", crate::initctl::version(program));
        return Ok(());
    }
    if line.has("c") {
        require_root()?;
        return cancel(&line.words.join(" "));
    }
    let (time, message) = match line.words.split_first() {
        Some((time, message)) => (time, message.join(" ")),
        None => return Err(UsageError::Missing("time").into()),
    };
    let minutes =
        minutes_until(time, clock::minute_of_day()).ok_or_else(|| UsageError::Illegal("time", time.clone()))?;
    require_root()?;
    let _lock = lock()?;
    let plan = Plan { action: Action::of(&line), only_warn: line.has("k"), message };
    crate::block_on(plan.carry_out(program, minutes))
}

/// Minutes from now until the time that was typed; `None` if it is none.
fn minutes_until(time: &str, now_min: u32) -> Option<u32> {
    if time == "now" {
        return Some(0);
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    if let Some((hour, minute)) = time.split_once(':') {
        let (hour, minute) = (number(hour)?, number(minute)?);
        let then = hour * 60 + minute;
        return (hour < 24 && minute < 60).then_some((then + DAY_MIN - now_min) % DAY_MIN);
    }
    number(time.strip_prefix('+').unwrap_or(time))
}

struct Plan {
    action: Action,
    only_warn: bool,
    message: String,
}

impl Plan {
    async fn carry_out(&self, program: &str, minutes: u32) -> Result<(), Failure> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
        for left in (0..=minutes).rev() {
            if left <= NO_LOGIN_MIN && minutes > 0 {
                // The warning is worth more than the file, should it fail.
                let _ = std::fs::write(NO_LOGIN, format!("{}\n", self.warning(left)));
            }
            if left == minutes || is_worth_a_warning(left) {
                wall::broadcast(&self.warning(left));
            }
            if left == 0 {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(MINUTE) => {}
                _ = interrupt.recv() => return cancelled(),
                _ = terminate.recv() => return cancelled(),
            }
        }
        if self.only_warn {
            return Ok(());
        }
        let (level, env) = (self.action.runlevel(), self.action.env());
        let changed = change_runlevel(program, level, &env).await;
        if changed.is_err() || self.action == Action::Maintenance {
            allow_logins();
        }
        Ok(changed?)
    }

    fn warning(&self, left_min: u32) -> String {
        let when = match left_min {
            0 => "NOW".to_owned(),
            1 => "in 1 minute".to_owned(),
            minutes => format!("in {minutes} minutes"),
        };
        let purpose = self.action.purpose();
        let message = if self.message.is_empty() { String::new() } else { format!("\n{}", self.message) };
        format!("The system is going down for {purpose} {when}!{message}")
    }
}

fn cancelled() -> Result<(), Failure> {
    allow_logins();
    Err(Failure::Cancelled)
}

fn allow_logins() {
    let _ = std::fs::remove_file(NO_LOGIN);
}

/// The nearer the end, the more often.
fn is_worth_a_warning(left_min: u32) -> bool {
    match left_min {
        0..10 => true,
        10..60 => left_min.is_multiple_of(15),
        60..180 => left_min.is_multiple_of(30),
        _ => left_min.is_multiple_of(60),
    }
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Who holds the lock, as fcntl(2) tells it; a process that has ended holds none.
fn holder(file: &File) -> io::Result<Option<Pid>> {
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    let free = i32::from(lock.l_type) == libc::F_UNLCK;
    Ok((!free).then(|| Pid::from_raw(lock.l_pid)))
}

fn lock() -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(LOCK_FILE).map_err(Failure::Lock)?;
    match fcntl(&file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))) {
        Ok(_) => Ok(file),
        Err(error) => Err(match holder(&file) {
            Ok(Some(pid)) => Failure::AlreadyRunning(pid),
            _ => Failure::Lock(error.into()),
        }),
    }
}

fn cancel(message: &str) -> Result<(), Failure> {
    let file = match OpenOptions::new().write(true).open(Path::new(LOCK_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failure::NotRunning),
        Err(error) => return Err(Failure::Lock(error)),
    };
    let pid = holder(&file).map_err(Failure::Lock)?;
    let pid = pid.ok_or(Failure::NotRunning)?;
    kill(pid, Signal::SIGINT).map_err(Failure::Cancel)?;
    if !message.is_empty() {
        wall::broadcast(message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_or_of_the_day() {
        let noon = 12 * 60;
        for (time, minutes) in [
            ("now", Some(0)),
            ("+5", Some(5)),
            ("5", Some(5)),
            ("12:00", Some(0)),
            ("12:01", Some(1)),
            ("11:59", Some(DAY_MIN - 1)),
            ("24:00", None),
            ("1:60", None),
            ("+", None),
            ("-5", None),
            ("+-5", None),
            ("later", None),
            ("99999999999", None),
        ] {
            assert_eq!(minutes_until(time, noon), minutes, "{time}");
        }
    }

    #[test]
    fn options_choose_the_runlevel_and_what_jobs_are_told() {
        let action = |text: &str| {
            let line = CommandLine::parse([OsString::from(text)], OPTIONS).unwrap();
            let action = Action::of(&line);
            (action.runlevel(), action.env().concat())
        };
        assert_eq!(action("now"), ('1', String::new()));
        assert_eq!(action("-r"), ('6', String::new()));
        assert_eq!(action("-h"), ('0', String::new()));
        assert_eq!(action("-hP"), ('0', "INIT_HALT=POWEROFF".to_owned()));
        assert_eq!(action("-H"), ('0', "INIT_HALT=HALT".to_owned()));
    }
}
