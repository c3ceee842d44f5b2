//! Typing commands in a machine, and reading what comes back in one text.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use testkit::{Answer, PROGRAMS, Setup, World};

/// Where the short names are, inside: links to the programs, as packages install them.
pub(crate) const LINKS: &str = "/run/links";

/// The short names and what they are links to.
const SHORT_NAMES: [(&str, &str); 7] = [
    ("start", "initctl"),
    ("stop", "initctl"),
    ("restart", "initctl"),
    ("reload", "initctl"),
    ("status", "initctl"),
    ("halt", "reboot"),
    ("poweroff", "reboot"),
];

/// A machine where the short names can be typed, too.
pub(crate) fn machine(setup: Setup) -> Option<World> {
    let world = setup.directory(LINKS).start_or_skip()?;
    for (name, program) in SHORT_NAMES {
        symlink(format!("{PROGRAMS}/{program}"), world.path(&format!("{LINKS}/{name}"))).unwrap();
    }
    world.await_init();
    Some(world)
}

/// The environment of jobs that run the programs, as a stanza.
pub(crate) fn path_stanza() -> String {
    format!("env PATH={LINKS}:{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin\n")
}

/// Somebody who types.
pub(crate) struct Shell<'w> {
    world: &'w World,
    is_user: bool,
    environment: Vec<(String, String)>,
}

impl<'w> Shell<'w> {
    /// Root of the machine.
    pub(crate) fn root(world: &'w World) -> Self {
        Self { world, is_user: false, environment: Vec::new() }
    }

    /// The user of sessions.
    pub(crate) fn user(world: &'w World) -> Self {
        Self { is_user: true, ..Self::root(world) }
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The command of this line, whose words are separated by blanks.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let program = SHORT_NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, program)| program);
        let mut command = if self.is_user { self.world.user_command(program) } else { self.world.command(program) };
        command.arg0(name).args(words).envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// What the line has printed: errors after `! `, a failure's status in brackets, and every pid as `P`.
    pub(crate) fn says(&self, line: &str) -> String {
        transcript(&self.command(line).output().unwrap().into())
    }

    /// Types each line and compares what it has printed.
    pub(crate) fn expect(&self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            assert_eq!(self.says(line), *expected, "$ {line}");
        }
    }
}

pub(crate) fn transcript(answer: &Answer) -> String {
    let mut lines: Vec<_> = answer.out.lines().map(without_pid).collect();
    lines.extend(answer.err.lines().map(|line| format!("! {line}").trim_end().to_owned()));
    if answer.status != 0 {
        lines.push(format!("[exit {}]", answer.status));
    }
    lines.join("\n")
}

fn without_pid(line: &str) -> String {
    match line.rsplit_once("process ") {
        Some((before, pid)) if pid.parse::<u32>().is_ok() => format!("{before}process P"),
        _ => line.to_owned(),
    }
}
