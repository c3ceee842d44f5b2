//! What a process of an instance is started with, as far as the job file and the state say it.
//!
//! Derived from the state when it is needed, never stored: so a manager that comes back can ask the keeper again for what
//! it does not have.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::class::{Attributes, Class, Command, ConsoleKind, Expect};
use crate::environ::{self, Table};
use crate::input::Settings;
use crate::job::{Instance, ProcessKind};
use crate::root;
use crate::state::State;

/// A process to be started. Users, groups and files are still names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// Its name towards the keeper.
    pub ticket: u64,
    /// For the keeper's table; see [`label`].
    pub label: String,
    /// Name of the class.
    pub class: String,
    /// Name of the instance.
    pub instance: String,
    /// Which of its processes.
    pub kind: ProcessKind,
    /// What to execute.
    pub program: Program,
    /// `KEY=VALUE`, complete but for `UPSTART_FDS` and `NOTIFY_SOCKET`.
    pub environment: Table,
    /// Limits, users, directories and so on.
    pub attributes: Attributes,
    /// Where its output goes.
    pub console: ConsoleKind,
    /// What tells that it is ready; `None` for all but main.
    pub expect: Expect,
    /// Names of held descriptors to hand to it.
    pub files: Vec<String>,
    /// Whether it is to stop itself before it is executed.
    pub debug: bool,
}

/// What to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// These words.
    Words(Vec<String>),
    /// This line, by `/bin/sh -e -c`.
    Shell(String),
    /// This text of several lines, by `/bin/sh -e` from a file.
    Script(String),
}

/// Letters that only a shell can make sense of.
const SHELL_LETTERS: &[char] = &[
    '~', '`', '!', '$', '^', '&', '*', '(', ')', '=', '|', '\\', '{', '}', '[', ']', ';', '"', '\'', '<', '>', '?', '#',
];

/// Describes the process of a ticket; none if no instance wants it.
#[must_use]
pub fn describe(state: &State, ticket: u64) -> Option<Spawn> {
    let (_, instance, process) = state.process(ticket)?;
    let class = &state.class(&instance.class)?.definition;
    let kind = process.kind;
    let settings = state.settings();
    let is_main = kind == ProcessKind::Main;
    let mut attributes = class.attributes.as_ref().clone();
    if kind == ProcessKind::Security {
        // What it prepares is prepared by init, in the real root, whatever the job itself may do.
        attributes = Attributes::default();
    }
    if let Some(root) = root::of(&instance.class) {
        attributes.chroot = Some([root, attributes.chroot.as_deref().unwrap_or_default()].concat());
    }
    if !is_main || !settings.has_apparmor {
        attributes.apparmor_switch = None;
    }
    Some(Spawn {
        ticket,
        label: label(kind, &instance.class, &instance.name),
        class: instance.class.as_ref().into(),
        instance: instance.name.as_ref().into(),
        kind,
        program: if kind == ProcessKind::Security {
            // Nothing to do any longer, for a manager that was told other things than the one that asked for it.
            preparation(class, settings).unwrap_or_else(|| Program::Words(vec!["true".to_owned()]))
        } else {
            program(command(class, kind)?)
        },
        environment: environment(state, instance, kind),
        attributes,
        console: class.console.unwrap_or(settings.default_console),
        expect: if is_main { class.expect } else { Expect::None },
        files: instance.files.clone(),
        debug: class.debug && is_main,
    })
}

/// What the keeper's table says of a process: its kind, class and instance, parted by tabs. The kind comes first because
/// the table cuts long labels.
#[must_use]
pub fn label(kind: ProcessKind, class: &str, instance: &str) -> String {
    format!("{}\t{class}\t{instance}", kind.name())
}

/// The reverse of [`label`].
#[must_use]
pub fn read_label(label: &str) -> Option<(ProcessKind, &str, &str)> {
    let mut parts = label.splitn(3, '\t');
    Some((ProcessKind::of_name(parts.next()?)?, parts.next()?, parts.next()?))
}

/// The command of a process kind.
#[must_use]
pub fn command(class: &Class, kind: ProcessKind) -> Option<&Command> {
    match kind {
        ProcessKind::Main => class.main.as_ref(),
        ProcessKind::PreStart => class.pre_start.as_ref(),
        ProcessKind::PostStart => class.post_start.as_ref(),
        ProcessKind::PreStop => class.pre_stop.as_ref(),
        ProcessKind::PostStop => class.post_stop.as_ref(),
        ProcessKind::Security => None,
    }
}

fn program(command: &Command) -> Program {
    match command {
        Command::Exec(line) if line.contains(SHELL_LETTERS) => Program::Shell(format!("exec {line}")),
        Command::Exec(line) => Program::Words(line.split_whitespace().map(ToOwned::to_owned).collect()),
        Command::Script(text) if text.trim_end().contains('\n') || text.len() > 1024 => Program::Script(text.clone()),
        Command::Script(text) => Program::Shell(text.trim_end_matches('\n').to_owned()),
    }
}

/// What comes before pre-start: files are made as `tmpfiles` says, and the AppArmor profile is loaded; none where there is
/// nothing to prepare, or nothing to do it with. Files that cannot be made do not keep the job from starting.
pub(crate) fn preparation(class: &Class, settings: &Settings) -> Option<Program> {
    const MAKE: &str =
        "systemd-tmpfiles --create \"$@\" || echo \"tmpfiles: systemd-tmpfiles failed with status $?\" >&2";
    let profile = class.attributes.apparmor_load.as_deref().filter(|_| settings.has_apparmor);
    let makes_files = settings.has_tmpfiles && !class.tmpfiles.is_empty();
    let words = match (makes_files, profile) {
        (false, None) => return None,
        (false, Some(profile)) => vec!["apparmor_parser", "-r", "-W", profile],
        (true, _) => {
            let load = "; exec apparmor_parser -r -W \"$0\"";
            let text = format!("{MAKE}{}", if profile.is_some() { load } else { "" });
            let words = ["/bin/sh", "-c", &text, profile.unwrap_or("tmpfiles")];
            let words = words.into_iter().chain(class.tmpfiles.iter().map(String::as_str));
            return Some(Program::Words(words.map(ToOwned::to_owned).collect()));
        }
    };
    Some(Program::Words(words.into_iter().map(ToOwned::to_owned).collect()))
}

fn environment(state: &State, instance: &Instance, kind: ProcessKind) -> Table {
    let mut table = instance.environment.clone();
    if matches!(kind, ProcessKind::PreStop | ProcessKind::PostStop) {
        environ::extend(&mut table, &instance.stop_environment, &[]);
    }
    environ::put(&mut table, "UPSTART_JOB", root::bare(&instance.class));
    environ::put(&mut table, "UPSTART_INSTANCE", &instance.name);
    if let Some(address) = &state.settings().session_address {
        environ::put(&mut table, "UPSTART_SESSION", address);
    }
    table
}
