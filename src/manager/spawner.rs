//! From what the machine wants started to what the keeper can start.
//!
//! Descriptors are made here: the pseudo-terminal of `console log`, whose master goes to the keeper in the same packet as
//! the spawn so that it cannot die with us, and the memory file of a long script.

use std::io::Write;
use std::os::fd::OwnedFd;

use keeper::protocol::{Console, Environment, Identity, SpawnRequest, Stage};
use machine::class::{ConsoleKind, Expect, Resource};
use machine::parse::bytes_of;
use machine::spawn::{Program, Spawn};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;

/// Number of the descriptor a long script is read from.
const SCRIPT_FD: i32 = 9;

/// Longer ones the kernel takes for no argument (execve(2), `MAX_ARG_STRLEN` of 32 pages).
const ARGUMENT_MAX_BYTES: usize = 128 * 1024;

/// Number of the first descriptor that an event brought along.
const FIRST_FILE_FD: i32 = 10;

/// A request with its descriptors.
#[derive(Debug)]
pub struct Prepared {
    /// What to send.
    pub request: SpawnRequest,
    /// The descriptors it refers to by index.
    pub descriptors: Vec<OwnedFd>,
    /// The pseudo-terminal's master, if its output is to be logged: (name it is held under, our copy).
    pub output: Option<(String, OwnedFd)>,
}

/// What the machine does not know of a process.
#[derive(Debug, Default)]
pub struct Extras {
    /// The numbers of its user and groups.
    pub identity: Option<Identity>,
    /// The directory of its control group.
    pub cgroup: Option<OwnedFd>,
    /// Where it is to say that it is ready.
    pub notify_address: Option<String>,
}

/// Prepares a spawn.
///
/// `extras` are what the manager adds to what the machine knows; `open` gives a copy of a held descriptor by its name.
///
/// # Errors
/// When a descriptor cannot be made: the reason in the words of the log.
pub fn prepare(
    spawn: &Spawn,
    extras: Extras,
    log_file: &str,
    open: impl Fn(&str) -> Option<OwnedFd>,
) -> Result<Prepared, String> {
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    let mut request = SpawnRequest {
        ticket: spawn.ticket,
        label: spawn.label.clone(),
        umask: spawn.attributes.umask,
        nice: spawn.attributes.nice,
        oom_score_adj: spawn.attributes.oom_score_adj,
        limits: spawn.attributes.limits.iter().map(|l| (number_of(l.resource), l.soft, l.hard)).collect(),
        chroot: spawn.attributes.chroot.as_deref().map(|path| bytes_of(path).into_owned()),
        working_directory: spawn.attributes.chdir.as_deref().map(|path| bytes_of(path).into_owned()),
        apparmor_profile: spawn.attributes.apparmor_switch.clone(),
        identity: extras.identity,
        follow_forks: if matches!(spawn.expect, Expect::Fork | Expect::Daemon) { spawn.expect.awaits() } else { 0 },
        report_stop: spawn.expect == Expect::Stop,
        stop_first: spawn.debug,
        ..SpawnRequest::default()
    };
    request.argv = words(spawn, &mut request.descriptors, &mut descriptors)?;
    let passed = pass_files(spawn, &mut request.descriptors, &mut descriptors, open);
    let ours = [("UPSTART_FDS=", passed), ("NOTIFY_SOCKET=", extras.notify_address)];
    request.environment = environment(spawn, &ours)?;
    if let Some(group) = extras.cgroup {
        request.cgroup = Some(index(&descriptors));
        descriptors.push(group);
    }
    let output = give_console(spawn.console, spawn.ticket, log_file, &mut request, &mut descriptors)?;
    Ok(Prepared { request, descriptors, output })
}

/// The environment: that of the machine, and what is known only here (name with `=`, value), which goes before it.
fn environment(spawn: &Spawn, ours: &[(&str, Option<String>)]) -> Result<Environment, String> {
    let bytes = spawn.environment.iter().map(|entry| entry.len() + 1).sum();
    let mut environment = Environment::with_capacity(bytes);
    let ours = || ours.iter().filter_map(|(name, value)| value.as_ref().map(|value| (*name, value)));
    let theirs = spawn.environment.iter().filter(|entry| !ours().any(|(name, _)| entry.starts_with(name)));
    theirs
        .map(|entry| bytes_of(entry))
        .chain(ours().map(|(name, value)| format!("{name}{value}").into_bytes().into()))
        .try_for_each(|entry| environment.push(&entry))
        .map_err(|errno| failed("pass the environment", errno))?;
    Ok(environment)
}

/// The program's arguments; a script of several lines goes into a memory file.
fn words(spawn: &Spawn, numbers: &mut Vec<(u16, i32)>, descriptors: &mut Vec<OwnedFd>) -> Result<Vec<Vec<u8>>, String> {
    let shell = |rest: &[&str]| {
        let words = ["/bin/sh", "-e"].iter().chain(rest);
        words.map(|word| bytes_of(word).into_owned()).collect()
    };
    match &spawn.program {
        Program::Words(words) => Ok(words.iter().map(|word| bytes_of(word).into_owned()).collect()),
        Program::Shell(line) => Ok(shell(&["-c", line])),
        // In a chroot there may be no /proc to read it from.
        Program::Script(text) if spawn.attributes.chroot.is_some() && text.len() < ARGUMENT_MAX_BYTES => {
            Ok(shell(&["-c", text]))
        }
        Program::Script(text) => {
            let file =
                memfd_create(c"script", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed("make a script", errno))?;
            let mut file = std::fs::File::from(file);
            file.write_all(&bytes_of(text)).map_err(|error| format!("unable to make a script: {error}"))?;
            numbers.push((index(descriptors), SCRIPT_FD));
            descriptors.push(file.into());
            Ok(shell(&[&format!("/proc/self/fd/{SCRIPT_FD}")]))
        }
    }
}

/// Descriptors that came with the job's events; their numbers, for `UPSTART_FDS`.
fn pass_files(
    spawn: &Spawn,
    numbers: &mut Vec<(u16, i32)>,
    descriptors: &mut Vec<OwnedFd>,
    open: impl Fn(&str) -> Option<OwnedFd>,
) -> Option<String> {
    let mut passed: Vec<String> = Vec::new();
    for file in spawn.files.iter().filter_map(|name| open(name)) {
        let number = FIRST_FILE_FD + i32::try_from(passed.len()).unwrap_or(0);
        numbers.push((index(descriptors), number));
        descriptors.push(file);
        passed.push(number.to_string());
    }
    (!passed.is_empty()).then(|| passed.join(" "))
}

fn give_console(
    console: ConsoleKind,
    ticket: u64,
    log_file: &str,
    request: &mut SpawnRequest,
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Option<(String, OwnedFd)>, String> {
    match console {
        ConsoleKind::None => Ok(None),
        ConsoleKind::Output => {
            request.console = Console::Output;
            Ok(None)
        }
        ConsoleKind::Owner => {
            request.console = Console::Owner;
            Ok(None)
        }
        ConsoleKind::Log => {
            let (ours, theirs) = output_channel()?;
            let copy = ours.try_clone().map_err(|error| format!("unable to hold the job's output: {error}"))?;
            let name = crate::output::hold_name(ticket, log_file);
            request.console = Console::Log(index(descriptors));
            descriptors.push(theirs);
            request.hold.push((name.clone(), index(descriptors)));
            descriptors.push(ours);
            Ok(Some((name, copy)))
        }
    }
}

/// Our end and the job's end of what its output goes through: a pseudo-terminal, or a pipe where there is none to be had
/// (`kernel.pty.max` is 4,096 for the whole machine, a chroot may lack /dev/pts), because output through a pipe is better
/// than a job that does not start.
fn output_channel() -> Result<(OwnedFd, OwnedFd), String> {
    let (ours, theirs) = match openpty(None, None) {
        Ok(pty) => (pty.master, pty.slave),
        Err(_) => pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed("make a pipe for output", errno))?,
    };
    let flags = OFlag::from_bits_retain(fcntl(&ours, FcntlArg::F_GETFL).unwrap_or_default());
    fcntl(&ours, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(|errno| failed("set up output", errno))?;
    Ok((ours, theirs))
}

fn index(descriptors: &[OwnedFd]) -> u16 {
    u16::try_from(descriptors.len()).unwrap_or(u16::MAX)
}

fn failed(what: &str, errno: Errno) -> String {
    format!("unable to {what}: {}", errno.desc())
}

/// The number of a resource, for setrlimit(2).
fn number_of(resource: Resource) -> u32 {
    use nix::sys::resource::Resource as Number;
    let number = match resource {
        Resource::As => Number::RLIMIT_AS,
        Resource::Core => Number::RLIMIT_CORE,
        Resource::Cpu => Number::RLIMIT_CPU,
        Resource::Data => Number::RLIMIT_DATA,
        Resource::Fsize => Number::RLIMIT_FSIZE,
        Resource::Memlock => Number::RLIMIT_MEMLOCK,
        Resource::Msgqueue => Number::RLIMIT_MSGQUEUE,
        Resource::Nice => Number::RLIMIT_NICE,
        Resource::Nofile => Number::RLIMIT_NOFILE,
        Resource::Nproc => Number::RLIMIT_NPROC,
        Resource::Rss => Number::RLIMIT_RSS,
        Resource::Rtprio => Number::RLIMIT_RTPRIO,
        Resource::Sigpending => Number::RLIMIT_SIGPENDING,
        Resource::Stack => Number::RLIMIT_STACK,
    };
    number as u32
}

/// The name of a resource in messages.
fn name_of(number: u32) -> &'static str {
    const NAMES: [(Resource, &str); 14] = [
        (Resource::As, "as"),
        (Resource::Core, "core"),
        (Resource::Cpu, "cpu"),
        (Resource::Data, "data"),
        (Resource::Fsize, "fsize"),
        (Resource::Memlock, "memlock"),
        (Resource::Msgqueue, "msgqueue"),
        (Resource::Nice, "nice"),
        (Resource::Nofile, "nofile"),
        (Resource::Nproc, "nproc"),
        (Resource::Rss, "rss"),
        (Resource::Rtprio, "rtprio"),
        (Resource::Sigpending, "sigpending"),
        (Resource::Stack, "stack"),
    ];
    NAMES.into_iter().find(|(resource, _)| number_of(*resource) == number).map_or("unknown", |(_, name)| name)
}

/// What the keeper could not do, in the words of the log.
#[must_use]
pub fn reason(stage: Stage, errno: i32) -> String {
    let what = match stage {
        Stage::Request => "read the request".to_owned(),
        Stage::Clone => "fork".to_owned(),
        Stage::Session => "begin a session".to_owned(),
        Stage::Console => "open console".to_owned(),
        Stage::Descriptor => "pass a descriptor".to_owned(),
        Stage::Limit(resource) => format!("set \"{}\" resource limit", name_of(resource)),
        Stage::Nice => "set priority".to_owned(),
        Stage::OomScore if errno == Errno::EACCES as i32 => {
            // In a container, and in a session.
            return format!(
                "unable to set oom adjustment: {} (to lower it takes CAP_SYS_RESOURCE)",
                Errno::EACCES.desc()
            );
        }
        Stage::OomScore => "set oom adjustment".to_owned(),
        Stage::Chroot => "change root directory".to_owned(),
        Stage::WorkingDirectory => "change working directory".to_owned(),
        Stage::Groups => "set groups".to_owned(),
        Stage::Group => "setgid".to_owned(),
        Stage::User => "setuid".to_owned(),
        Stage::AppArmor => "switch security profile".to_owned(),
        Stage::Execute => "execute".to_owned(),
    };
    format!("unable to {what}: {}", Errno::from_raw(errno).desc())
}
