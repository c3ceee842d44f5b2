//! The commands of `initctl`: their names, options and help texts.

use super::own_job;
use crate::options::{OptionSpec, UsageError, describe};
use crate::remote::Request;

/// What a command does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Request(Request),
    Reload,
    Status,
    List,
    Usage,
    Emit,
    ReloadConfiguration,
    Version,
    LogPriority,
    Notify(&'static str),
    ShowConfig,
    CheckConfig,
    ListEnv,
    GetEnv,
    SetEnv,
    UnsetEnv,
    ResetEnv,
    ListSessions,
    Past,
    Log,
    CrashReport,
    Exit,
}

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) verb: Verb,
    /// Whether it is also a program of its own.
    pub(super) has_link: bool,
    /// What follows the name in the usage line.
    synopsis: &'static str,
    summary: &'static str,
    /// Options besides those that all commands take.
    options: &'static [&'static str],
}

const fn option(
    short: Option<char>,
    long: &'static str,
    value: Option<&'static str>,
    help: &'static str,
) -> OptionSpec {
    OptionSpec { short, long, value, help }
}

const COMMON: usize = 8;

/// All options of all commands; the first [`COMMON`] go with any command.
pub(super) const OPTIONS: &[OptionSpec] = &[
    option(None, "user", None, "talk to the init of the session ($UPSTART_SESSION)"),
    option(None, "session", None, "go through the D-Bus session bus"),
    option(None, "system", None, "go through the D-Bus system bus"),
    option(None, "dest", Some("NAME"), "bus name of the init, with --session or --system"),
    option(Some('q'), "quiet", None, "print errors only"),
    option(Some('v'), "verbose", None, "accepted, as Upstart's programs do"),
    option(None, "help", None, "print this text and exit"),
    option(None, "version", None, "print the version and exit"),
    option(Some('n'), "no-wait", None, "return at once, not when the request is done"),
    option(Some('e'), "enumerate", None, "one line for each event of a condition"),
    option(Some('i'), "ignore-events", Some("EVENT,..."), "take these events as known"),
    option(Some('w'), "warn", None, "complain of every unknown job and event"),
    option(Some('g'), "global", None, "the table for all jobs, not that of the job we run in"),
    option(Some('r'), "retain", None, "leave variables that are set already"),
    option(None, "boot", Some("NUMBER"), "of this boot only: 0 is the newest, -1 the one before"),
    option(None, "since", Some("TIME"), "not before this time, such as \"4 hours ago\""),
    option(None, "until", Some("TIME"), "not after this time"),
    option(None, "lines", Some("NUMBER"), "the newest so many lines"),
    option(None, "failed", None, "failures only"),
    option(None, "json", None, "one JSON object a line"),
    option(None, "no-pager", None, "print, instead of showing it in $PAGER"),
    option(None, "logdir", Some("DIR"), "directory of the logs, if init was told another one"),
    option(None, "with-values", None, "leave the values of environment variables in"),
];

const fn command(
    name: &'static str,
    verb: Verb,
    synopsis: &'static str,
    summary: &'static str,
    options: &'static [&'static str],
) -> Command {
    Command { name, verb, has_link: false, synopsis, summary, options }
}

const fn linked(command: Command) -> Command {
    Command { has_link: true, ..command }
}

const JOB: &str = "JOB [KEY=VALUE]...";

/// All commands, in the order of `--help`.
pub(super) const COMMANDS: &[Command] = &[
    linked(command("start", Verb::Request(Request::Start), JOB, "start a job", &["no-wait"])),
    linked(command("stop", Verb::Request(Request::Stop), JOB, "stop a job", &["no-wait"])),
    linked(command(
        "restart",
        Verb::Request(Request::Restart),
        JOB,
        "stop a running job and start it again, from the configuration it was started with",
        &["no-wait"],
    )),
    linked(command("reload", Verb::Reload, JOB, "send a job its reload signal", &[])),
    linked(command("status", Verb::Status, JOB, "tell the state of a job", &[])),
    command("list", Verb::List, "", "tell the state of all jobs", &[]),
    command("emit", Verb::Emit, "EVENT [KEY=VALUE]...", "emit an event", &["no-wait"]),
    command("reload-configuration", Verb::ReloadConfiguration, "", "read all job files again", &[]),
    command("version", Verb::Version, "", "tell the version of the init", &[]),
    command(
        "log-priority",
        Verb::LogPriority,
        "[PRIORITY]",
        "tell or set the least priority of messages that init prints: debug, info, message, warn, error or fatal",
        &[],
    ),
    command(
        "show-config",
        Verb::ShowConfig,
        "[JOB]...",
        "show the conditions and the emitted events of jobs",
        &["enumerate"],
    ),
    command(
        "check-config",
        Verb::CheckConfig,
        "[JOB]...",
        "find jobs that can never be started or stopped; exit with 1 if there are any",
        &["ignore-events", "warn"],
    ),
    command("usage", Verb::Usage, "JOB", "show how a job wants to be started", &[]),
    command("list-env", Verb::ListEnv, "", "list the variables of a job environment table", &["global"]),
    command("get-env", Verb::GetEnv, "VARIABLE", "show a variable of a job environment table", &["global"]),
    command(
        "set-env",
        Verb::SetEnv,
        "VARIABLE[=VALUE]...",
        "set variables in a job environment table",
        &["global", "retain"],
    ),
    command("unset-env", Verb::UnsetEnv, "VARIABLE...", "remove variables from a job environment table", &["global"]),
    command("reset-env", Verb::ResetEnv, "", "undo all changes of a job environment table", &["global"]),
    command("exit", Verb::Exit, "[STATUS]", "stop all jobs of a session or container, then have its init exit", &[]),
    command("list-sessions", Verb::ListSessions, "", "list the running session inits", &[]),
    command(
        "history",
        Verb::Past,
        "[JOB[/INSTANCE]]",
        "tell what jobs have done, as far back as it is known",
        &["boot", "since", "until", "lines", "failed", "json", "no-pager"],
    ),
    command(
        "log",
        Verb::Log,
        "JOB[/INSTANCE]",
        "show what a job has printed, with what has happened to it between the lines",
        &["since", "until", "lines", "json", "no-pager", "logdir"],
    ),
    command("boot", Verb::Past, "", "tell when each job of this boot began to start and ran", &["json"]),
    command("boots", Verb::Past, "", "list the boots that are known", &["json"]),
    command("metrics", Verb::Past, "", "print figures of the init in OpenMetrics text", &[]),
    command("crashes", Verb::Past, "", "list the crashes that init has come back from and kept", &["json"]),
    command(
        "crash-report",
        Verb::CrashReport,
        "NUMBER [FILE]",
        "make one file of a crash, for a bug report",
        &["with-values"],
    ),
    command(
        "notify-disk-writeable",
        Verb::Notify("NotifyDiskWriteable"),
        "",
        "tell init that job logs can be written now",
        &[],
    ),
    command(
        "notify-dbus-address",
        Verb::Notify("NotifyDBusAddress"),
        "ADDRESS",
        "tell a session init the address of the D-Bus session bus",
        &[],
    ),
    command(
        "notify-cgroup-manager-address",
        Verb::Notify("NotifyCGroupManagerAddress"),
        "ADDRESS",
        "tell init the address of the CGroup manager",
        &[],
    ),
];

impl Command {
    /// Whether the command knows the option of this long name.
    pub(super) fn takes(&self, option: &str) -> bool {
        let common = OPTIONS.iter().take(COMMON);
        common.into_iter().any(|spec| spec.long == option) || self.options.contains(&option)
    }

    /// Complains of words that are missing, before anything is asked of an init.
    pub(super) fn check_words(&self, words: &[String]) -> Result<(), UsageError> {
        let missing = match self.verb {
            Verb::Request(_) | Verb::Reload | Verb::Status if own_job().is_some() => None,
            Verb::Request(_) | Verb::Reload | Verb::Status | Verb::Usage | Verb::Log => Some("job name"),
            Verb::Emit => Some("event name"),
            Verb::GetEnv | Verb::SetEnv | Verb::UnsetEnv => Some("variable name"),
            Verb::CrashReport => Some("number"),
            Verb::Notify("NotifyDiskWriteable") => None,
            Verb::Notify(_) => Some("address"),
            _ => None,
        };
        match missing {
            Some(what) if words.is_empty() => Err(UsageError::Missing(what)),
            _ => Ok(()),
        }
    }

    /// The text of `initctl COMMAND --help`; `title` is how the command is called.
    pub(super) fn help(&self, title: &str) -> String {
        let options: Vec<_> = OPTIONS.iter().filter(|spec| self.takes(spec.long)).copied().collect();
        let usage = format!("Usage: {title} [OPTION]... {}", self.synopsis);
        let summary = self.summary;
        let mut letters = summary.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let sentence: String = first.into_iter().chain(letters).collect();
        format!("{}\n{sentence}.\n{}", usage.trim_end(), describe(&options))
    }
}

/// The text of `initctl --help`.
pub(super) fn help(program: &str) -> String {
    let mut text = format!("Usage: {program} [OPTION]... COMMAND [OPTION]... ARG...\n\nCommands:\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<30} {}\n", command.name, command.summary));
    }
    text.push_str(&describe(&OPTIONS[..COMMON]));
    text
}
