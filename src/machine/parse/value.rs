//! Values of stanzas: numbers, signals, limits.
//!
//! Each function reads what its stanza takes from the line, and leaves the end of the line to its caller.

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use super::error::{ErrorKind, Expected, ParseError};
use super::lexer::{Cursor, Parentheses, Word};
use crate::class::{Cgroup, ExitCause, Limit, Resource, RespawnLimit};
use crate::signals;

/// The last real-time signal, SIGRTMAX of signal(7).
const SIGNAL_MAX: i32 = 64;

type Parsed<T> = Result<T, ParseError>;

/// The next word; an empty one (`""`) counts as missing.
pub(super) fn word<'t>(cursor: &mut Cursor<'t>, expected: Expected) -> Parsed<Word<'t>> {
    match cursor.word(Parentheses::Plain)? {
        Some(word) if word.text.is_empty() => Err(cursor.error(ErrorKind::ExpectedToken, word.span, expected)),
        Some(word) => Ok(word),
        None => Err(cursor.missing(expected)),
    }
}

/// The next word as text.
pub(super) fn text(cursor: &mut Cursor<'_>, expected: &'static str) -> Parsed<String> {
    Ok(word(cursor, Expected::Phrase(expected))?.text.into_owned())
}

/// The words up to the end of the line, at least one.
pub(super) fn texts(cursor: &mut Cursor<'_>, list: &mut Vec<String>, expected: &'static str) -> Parsed<()> {
    list.push(text(cursor, expected)?);
    while !cursor.at_line_end() {
        list.push(text(cursor, expected)?);
    }
    Ok(())
}

/// The next word as a number that passes the test.
fn number<T: FromStr>(
    cursor: &mut Cursor<'_>,
    kind: ErrorKind,
    expected: &'static str,
    is_legal: impl Fn(&T) -> bool,
) -> Parsed<T> {
    let expected = Expected::Phrase(expected);
    let word = word(cursor, expected)?;
    let number = word.text.parse().ok().filter(is_legal);
    number.ok_or_else(|| cursor.error(kind, word.span, expected))
}

/// `kill timeout` and the interval of `respawn limit`, in seconds.
pub(super) fn seconds(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    // Above i32::MAX Upstart refuses too, and timers could overflow.
    number(cursor, ErrorKind::IllegalInterval, "a number of seconds", |number: &u32| i32::try_from(*number).is_ok())
}

/// `nice`.
pub(super) fn nice(cursor: &mut Cursor<'_>) -> Parsed<i32> {
    number(cursor, ErrorKind::IllegalNice, "a number from -20 to 19", |nice| (-20..=19).contains(nice))
}

/// `umask`.
pub(super) fn umask(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    let expected = Expected::Phrase("an octal number up to 0777");
    let word = word(cursor, expected)?;
    let mask = u32::from_str_radix(&word.text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| cursor.error(ErrorKind::IllegalUmask, word.span, expected))
}

/// `kill signal` and `reload signal`: a name or a number. 0 is no signal, and means that none is sent.
pub(super) fn signal(cursor: &mut Cursor<'_>) -> Parsed<i32> {
    let expected = Expected::Phrase("a signal, such as TERM, SIGTERM or 15");
    let word = word(cursor, expected)?;
    let number = signals::number(&word.text).or_else(|| word.text.parse().ok());
    let number = number.filter(|number| (0..=SIGNAL_MAX).contains(number));
    number.ok_or_else(|| cursor.error(ErrorKind::IllegalSignal, word.span, expected))
}

/// `oom score N|never` and the older `oom N|never`, as a value for oom_score_adj.
pub(super) fn oom(cursor: &mut Cursor<'_>) -> Parsed<i32> {
    let expected = Expected::Phrase("`score`, `never`, or a number from -16 to 15");
    let first = word(cursor, expected)?;
    match &*first.text {
        "never" => Ok(-1000),
        "score" => {
            let expected = Expected::Phrase("`never`, or a number from -999 to 1000");
            let score = word(cursor, expected)?;
            if score.text == "never" {
                return Ok(-1000);
            }
            // -1000 is `never` in other words; Upstart takes it too.
            let legal = score.text.parse().ok().filter(|score| (-1000..=1000).contains(score));
            legal.ok_or_else(|| cursor.error(ErrorKind::IllegalOomScore, score.span, expected))
        }
        adjustment => {
            let legal = adjustment.parse().ok().filter(|value| (-17..=15).contains(value));
            legal.map(score_of_adjustment).ok_or_else(|| cursor.error(ErrorKind::IllegalOom, first.span, expected))
        }
    }
}

/// The scale of oom_score_adj for a value of the oom_adj that was before it, as the kernel converts it (proc(5)).
fn score_of_adjustment(adjustment: i32) -> i32 {
    if adjustment == 15 { 1000 } else { adjustment * 1000 / 17 }
}

/// `limit NAME SOFT HARD`.
pub(super) fn limit(cursor: &mut Cursor<'_>) -> Parsed<Limit> {
    let expected = Expected::OneOf(RESOURCE_NAMES);
    let name = word(cursor, expected)?;
    let Some(resource) = resource(&name.text) else {
        return Err(cursor.error(ErrorKind::UnknownStanza, name.span, expected));
    };
    Ok(Limit { resource, soft: limit_value(cursor, "the soft limit")?, hard: limit_value(cursor, "the hard limit")? })
}

fn limit_value(cursor: &mut Cursor<'_>, missing: &'static str) -> Parsed<u64> {
    let word = word(cursor, Expected::Phrase(missing))?;
    if word.text == "unlimited" {
        return Ok(u64::MAX);
    }
    // A negative number wraps, as it does in C: files say `limit nice -10 -10`, and -1 is `unlimited`.
    let value = word.text.parse().ok().or_else(|| word.text.parse().ok().map(i64::cast_unsigned));
    let expected = Expected::Phrase("a number or `unlimited`");
    value.ok_or_else(|| cursor.error(ErrorKind::IllegalLimit, word.span, expected))
}

const RESOURCE_NAMES: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "sigpending",
    "stack",
];

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// `respawn limit COUNT INTERVAL` or `unlimited`, which a 0 as either number means too.
pub(super) fn respawn_limit(cursor: &mut Cursor<'_>) -> Parsed<Option<RespawnLimit>> {
    let before = cursor.position();
    if word(cursor, Expected::Phrase("a count and a number of seconds, or `unlimited`"))?.text == "unlimited" {
        return Ok(None);
    }
    cursor.back_to(before);
    let legal = |count: &u32| i32::try_from(*count).is_ok();
    let count = number(cursor, ErrorKind::IllegalLimit, "a number of respawns, or `unlimited`", legal)?;
    let interval_s = seconds(cursor)?;
    Ok((count > 0 && interval_s > 0).then_some(RespawnLimit { count, interval_s }))
}

/// `normal exit`: the words up to the end of the line, at least one.
pub(super) fn exit_causes(cursor: &mut Cursor<'_>, causes: &mut Vec<ExitCause>) -> Parsed<()> {
    let expected = Expected::Phrase("an exit status or a signal, such as 1 or TERM");
    loop {
        let word = word(cursor, expected)?;
        let status = || word.text.parse().ok().filter(|status| *status >= 0).map(ExitCause::Status);
        let cause = signals::number(&word.text).map(ExitCause::Signal).or_else(status);
        let cause = cause.ok_or_else(|| cursor.error(ErrorKind::IllegalExitStatus, word.span.clone(), expected))?;
        if !causes.contains(&cause) {
            causes.push(cause);
        }
        if cursor.at_line_end() {
            return Ok(());
        }
    }
}

/// `cgroup CONTROLLER [NAME] [KEY VALUE]`.
pub(super) fn cgroup(cursor: &mut Cursor<'_>) -> Parsed<Cgroup> {
    let controller = text(cursor, "a controller, such as memory")?;
    let mut words = Vec::new();
    while words.len() < 3 && !cursor.at_line_end() {
        words.push(text(cursor, "the name of a group, or a key and its value")?);
    }
    let has_setting = words.len() >= 2;
    let mut words = words.into_iter();
    let mut name = None;
    if words.len() % 2 == 1 {
        name = words.next();
    }
    let setting = if has_setting { words.next().zip(words.next()) } else { None };
    Ok(Cgroup { controller, name, setting })
}
