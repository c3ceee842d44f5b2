//! `reboot`, `halt` and `poweroff`: ask for a shutdown, or, with `--force`, do it (reboot(8)).
//!
//! Jobs that end the shutdown call these programs in runlevels 0 and 6, where they do what they are called.

// reboot(2) with an argument for the boot loader has no safe form.
#![allow(unsafe_code)]

use std::ffi::{CString, OsString};
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;

use crate::options::{CommandLine, OptionSpec, UsageError, describe};
use crate::telinit::{self, require_root};
use crate::utmp::Utmp;

const fn option(short: char, long: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { short: Some(short), long, value: None, help }
}

const OPTIONS: &[OptionSpec] = &[
    option('f', "force", "do not ask init for a shutdown: do it at once"),
    option('p', "poweroff", "with halt: power off"),
    option('w', "wtmp-only", "only write the record of the shutdown"),
    option('d', "no-wtmp", "do not write that record"),
    option('n', "no-sync", "do not write what is still in memory to the disks first"),
    option('i', "interfaces", "accepted, as sysvinit's programs do; the kernel stops the network"),
    option('h', "disks", "accepted, as sysvinit's programs do; the kernel stops the disks"),
    option('q', "quiet", "print errors only"),
    option('v', "verbose", "accepted, as Upstart's programs do"),
    OptionSpec { short: None, long: "help", value: None, help: "print this text and exit" },
    OptionSpec { short: None, long: "version", value: None, help: "print the version and exit" },
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Reboot,
    Halt,
    PowerOff,
}

impl Mode {
    fn of(program: &str, line: &CommandLine) -> Self {
        match program {
            "poweroff" => Self::PowerOff,
            "halt" if line.has("poweroff") => Self::PowerOff,
            "halt" => Self::Halt,
            _ => Self::Reboot,
        }
    }

    /// The option of shutdown(8).
    fn option(self) -> &'static str {
        match self {
            Self::Reboot => "-r",
            Self::Halt => "-H",
            Self::PowerOff => "-P",
        }
    }

    /// The command of reboot(2).
    fn command(self) -> libc::c_int {
        match self {
            Self::Reboot => libc::LINUX_REBOOT_CMD_RESTART,
            Self::Halt => libc::LINUX_REBOOT_CMD_HALT,
            Self::PowerOff => libc::LINUX_REBOOT_CMD_POWER_OFF,
        }
    }
}

#[derive(Debug)]
enum Failure {
    Request(telinit::Failure),
    Shutdown(std::io::Error),
    Reboot(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(failure) => failure.fmt(out),
            Self::Shutdown(error) => write!(out, "Unable to execute shutdown: {error}"),
            Self::Reboot(error) => write!(out, "Unable to reboot: {}", error.desc()),
        }
    }
}

/// Runs the program under the name it was called by; returns its exit status.
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
    let usage = |error: UsageError| Failure::Request(telinit::Failure::Usage(error));
    let line = CommandLine::parse(arguments, OPTIONS).map_err(usage)?;
    if line.has("help") {
        println!("Usage: {program} [OPTION]... [REBOOTCOMMAND]");
        print!("{}", describe(OPTIONS));
        return Ok(());
    }
    if line.has("version") {
        print!("{}", crate::initctl::version(program));
        return Ok(());
    }
    require_root().map_err(Failure::Request)?;
    let mode = Mode::of(program, &line);
    let only_record = line.has("wtmp-only");
    if !only_record && !line.has("force") && !going_down() {
        return Err(ask_for_shutdown(mode));
    }
    if !line.has("no-wtmp")
        && let Err(error) = Utmp::default().write_shutdown()
    {
        let error = crate::address::strerror(&error);
        eprintln!("{program}: unable to record the shutdown: {error}");
    }
    if only_record {
        return Ok(());
    }
    if !line.has("no-sync") {
        nix::unistd::sync();
    }
    // Ctrl-Alt-Del at once, should it come to that: init is not listening any more.
    let _ = invoke(libc::LINUX_REBOOT_CMD_CAD_ON, None);
    let argument = line.words.first().filter(|_| mode == Mode::Reboot);
    match argument.and_then(|word| CString::new(word.as_str()).ok()) {
        Some(word) => invoke(libc::LINUX_REBOOT_CMD_RESTART2, Some(&word)),
        None => invoke(mode.command(), None),
    }
    .map_err(Failure::Reboot)
}

/// Whether this is runlevel 0 or 6; the environment of jobs knows it better than the record.
fn going_down() -> bool {
    let recorded = || {
        let found = Utmp::default().runlevel().ok().flatten();
        found.map(|runlevel| runlevel.level.to_string())
    };
    let level = std::env::var("RUNLEVEL").ok().or_else(recorded);
    level.is_some_and(|level| level == "0" || level == "6")
}

/// Becomes the shutdown program that lies beside this one; returns only if that fails.
fn ask_for_shutdown(mode: Mode) -> Failure {
    let beside = std::env::current_exe().map(|path| path.with_file_name("shutdown"));
    let program = match beside {
        Ok(path) if path.exists() => path,
        _ => "shutdown".into(),
    };
    Failure::Shutdown(Command::new(program).args([mode.option(), "now"]).exec())
}

fn invoke(command: libc::c_int, argument: Option<&CString>) -> Result<(), Errno> {
    let argument = argument.map_or(std::ptr::null(), |word| word.as_ptr());
    // SAFETY: the argument is null or a string that ends with a zero byte and lives through the call.
    let result = unsafe {
        libc::syscall(libc::SYS_reboot, libc::LINUX_REBOOT_MAGIC1, libc::LINUX_REBOOT_MAGIC2, command, argument)
    };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_says_what_it_does() {
        let mode = |program: &str, option: &str| {
            let arguments = Some(option).filter(|text| !text.is_empty());
            let line = CommandLine::parse(arguments.map(OsString::from), OPTIONS).unwrap();
            Mode::of(program, &line)
        };
        assert_eq!(mode("reboot", ""), Mode::Reboot);
        assert_eq!(mode("reboot", "-p"), Mode::Reboot);
        assert_eq!(mode("halt", ""), Mode::Halt);
        assert_eq!(mode("halt", "-p"), Mode::PowerOff);
        assert_eq!(mode("poweroff", "-f"), Mode::PowerOff);
    }

    #[test]
    fn scripts_that_were_written_for_sysvinit_end_the_machine() {
        for words in [vec!["-d", "-f", "-i"], vec!["-d", "-f", "-i", "-p", "-h"], vec!["-n", "-f"], vec!["-w"]] {
            let line = CommandLine::parse(words.iter().map(OsString::from), OPTIONS).unwrap();
            assert_eq!(line.has("no-wtmp"), words.contains(&"-d"));
            assert_eq!(line.has("no-sync"), words.contains(&"-n"));
        }
    }
}
