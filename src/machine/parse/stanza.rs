//! What each stanza does to the class.

use super::error::{ErrorKind, Expected, ParseError};
use super::lexer::Cursor;
use super::{on, value};
use crate::class::{Class, Command, ConsoleKind, Expect};
use crate::condition::Condition;

/// The stanzas, for hints.
pub(super) const STANZAS: &[&str] = &[
    "apparmor",
    "author",
    "cgroup",
    "chdir",
    "chroot",
    "console",
    "debug",
    "description",
    "emits",
    "env",
    "exec",
    "expect",
    "export",
    "import",
    "instance",
    "kill",
    "limit",
    "manual",
    "nice",
    "normal",
    "oom",
    "post-start",
    "post-stop",
    "pre-start",
    "pre-stop",
    "reload",
    "respawn",
    "script",
    "setgid",
    "setuid",
    "start",
    "stop",
    "task",
    "tmpfiles",
    "umask",
    "usage",
    "version",
];

type Parsed<T> = Result<T, ParseError>;

/// Reads stanzas up to the end of the text.
pub(super) fn stanzas(cursor: &mut Cursor<'_>, class: &mut Class) -> Parsed<()> {
    loop {
        cursor.skip_empty();
        if cursor.peek().is_none() {
            return Ok(());
        }
        stanza(cursor, class)?;
    }
}

fn stanza(cursor: &mut Cursor<'_>, class: &mut Class) -> Parsed<()> {
    let word = value::word(cursor, Expected::Stanza)?;
    match &*word.text {
        // These read to the end of a line themselves.
        "exec" => class.main = Some(Command::Exec(cursor.command()?)),
        "script" => {
            cursor.end_line()?;
            class.main = Some(Command::Script(cursor.block(word.span)?));
            return Ok(());
        }
        "pre-start" => return process(cursor, &mut class.pre_start),
        "post-start" => return process(cursor, &mut class.post_start),
        "pre-stop" => return process(cursor, &mut class.pre_stop),
        "post-stop" => return process(cursor, &mut class.post_stop),

        "start" => class.start_on = Some(condition(cursor)?),
        "stop" => class.stop_on = Some(condition(cursor)?),
        "manual" => class.start_on = None,
        "emits" => value::texts(cursor, &mut class.emits, "the name of an event")?,

        "env" => class.env.push(value::text(cursor, "KEY=VALUE, or KEY")?),
        "export" => value::texts(cursor, &mut class.export, "the name of a variable")?,
        "import" => value::texts(cursor, &mut class.import, "the name of a variable")?,
        "instance" => class.instance = value::text(cursor, "the name of an instance, such as $DEV")?,

        "description" => class.description = Some(value::text(cursor, "a description in quotes")?),
        "author" => class.author = Some(value::text(cursor, "an author in quotes")?),
        "version" => class.version = Some(value::text(cursor, "a version")?),
        "usage" => class.usage = Some(value::text(cursor, "a text in quotes")?),

        "task" => class.task = true,
        "respawn" => respawn(cursor, class)?,
        "normal" => {
            choice(cursor, &["exit"])?;
            value::exit_causes(cursor, &mut class.normal_exit)?;
        }
        "expect" => class.expect = expect(cursor)?,
        "kill" => match choice(cursor, &["signal", "timeout"])? {
            "signal" => class.kill_signal = value::signal(cursor)?,
            _ => class.kill_timeout_s = value::seconds(cursor)?,
        },
        "reload" => {
            choice(cursor, &["signal"])?;
            class.reload_signal = value::signal(cursor)?;
        }
        "console" => class.console = Some(console(cursor)?),
        "debug" => class.debug = true,
        "tmpfiles" => value::texts(cursor, &mut class.tmpfiles, "the path of a tmpfiles.d fragment")?,
        name => {
            if !attribute(name, cursor, class)? {
                return Err(cursor.error(ErrorKind::UnknownStanza, word.span, Expected::Stanza));
            }
        }
    }
    cursor.end_line()
}

/// The stanzas about how processes are set up; false if this is none of them.
fn attribute(name: &str, cursor: &mut Cursor<'_>, class: &mut Class) -> Parsed<bool> {
    let attributes = &mut *class.attributes;
    match name {
        "umask" => attributes.umask = value::umask(cursor)?,
        "nice" => attributes.nice = Some(value::nice(cursor)?),
        "oom" => attributes.oom_score_adj = Some(value::oom(cursor)?),
        "chroot" => attributes.chroot = Some(value::text(cursor, "a directory")?),
        "chdir" => attributes.chdir = Some(value::text(cursor, "a directory")?),
        "setuid" => attributes.setuid = Some(value::text(cursor, "the name of a user")?),
        "setgid" => attributes.setgid = Some(value::text(cursor, "the name of a group")?),
        "limit" => {
            let limit = value::limit(cursor)?;
            attributes.limits.retain(|other| other.resource != limit.resource);
            attributes.limits.push(limit);
        }
        "cgroup" => attributes.cgroups.push(value::cgroup(cursor)?),
        "apparmor" => match choice(cursor, &["load", "switch"])? {
            "load" => attributes.apparmor_load = Some(value::text(cursor, "the path of a profile")?),
            _ => attributes.apparmor_switch = Some(value::text(cursor, "the name of a profile")?),
        },
        _ => return Ok(false),
    }
    Ok(true)
}

/// The next word, which must be one of these.
fn choice(cursor: &mut Cursor<'_>, words: &'static [&'static str]) -> Parsed<&'static str> {
    let expected = Expected::OneOf(words);
    let word = value::word(cursor, expected)?;
    let known = words.iter().find(|known| **known == word.text);
    known.copied().ok_or_else(|| cursor.error(ErrorKind::UnknownStanza, word.span, expected))
}

/// `exec …` or `script` after the name of a process.
fn process(cursor: &mut Cursor<'_>, command: &mut Option<Command>) -> Parsed<()> {
    cursor.skip_blanks();
    let start = cursor.position();
    let kind = choice(cursor, &["exec", "script"])?;
    let opening = start..cursor.position();
    *command = Some(if kind == "exec" {
        let command = Command::Exec(cursor.command()?);
        cursor.end_line()?;
        command
    } else {
        cursor.end_line()?;
        Command::Script(cursor.block(opening)?)
    });
    Ok(())
}

fn condition(cursor: &mut Cursor<'_>) -> Parsed<Condition> {
    choice(cursor, &["on"])?;
    if cursor.at_line_end() {
        return Err(cursor.missing(Expected::Phrase("an event")));
    }
    on::condition(cursor)
}

/// `respawn` by itself, or `respawn limit`, which does not imply it.
fn respawn(cursor: &mut Cursor<'_>, class: &mut Class) -> Parsed<()> {
    if cursor.at_line_end() {
        class.respawn = true;
        return Ok(());
    }
    choice(cursor, &["limit"])?;
    class.respawn_limit = value::respawn_limit(cursor)?;
    Ok(())
}

fn expect(cursor: &mut Cursor<'_>) -> Parsed<Expect> {
    Ok(match choice(cursor, &["stop", "daemon", "fork", "none", "notify"])? {
        "stop" => Expect::Stop,
        "daemon" => Expect::Daemon,
        "fork" => Expect::Fork,
        "notify" => Expect::Notify,
        _ => Expect::None,
    })
}

fn console(cursor: &mut Cursor<'_>) -> Parsed<ConsoleKind> {
    Ok(match choice(cursor, &["none", "log", "output", "owner"])? {
        "log" => ConsoleKind::Log,
        "output" => ConsoleKind::Output,
        "owner" => ConsoleKind::Owner,
        _ => ConsoleKind::None,
    })
}
