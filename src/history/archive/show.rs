//! How answers about the past are shown: tables for people, JSON for programs, a pager and colours on a terminal.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use super::entry::{Entry, Kind};
use super::together::NumberedBoot;
use crate::log::{Item, Line};
use crate::moment::{Clock, length};
use crate::names::JobName;

/// Time of day with milliseconds, in a column.
const TIME: &str = "%Y-%m-%d %H:%M:%S%.3f";

/// The boots.
pub(super) fn boots(boots: &[NumberedBoot], json: bool) -> String {
    let clock = Clock::default();
    let mut text = String::new();
    // A String takes everything.
    for (number, id, boot) in boots {
        if json {
            let line = serde_json::json!({"number": number, "boot_id": id, "boot": boot});
            let _ = writeln!(text, "{line}");
            continue;
        }
        let _ = writeln!(
            text,
            "{number:>4}  {}  {} to {}  {:>8} turns  {} recoveries  {} failures  ({})",
            &id[..8.min(id.len())],
            clock.short(boot.first_us),
            clock.short(boot.last_us),
            boot.turns,
            boot.recoveries,
            boot.failures,
            length(boot.last_us.saturating_sub(boot.first_us))
        );
    }
    text
}

/// What jobs have done.
pub(super) fn history(entries: &[Entry], json: bool, colours: bool) -> String {
    let clock = Clock::default();
    let mut text = String::new();
    for entry in entries {
        if json {
            let _ = writeln!(text, "{}", serde_json::to_string(entry).unwrap_or_default());
            continue;
        }
        let title = JobName::new(&entry.job, &entry.instance).title();
        let title = if title.is_empty() { "-" } else { &title };
        let (begin, end) = colour(entry.kind, colours);
        let time = clock.write(entry.time_us, TIME);
        let line = format!("{time}  {title:<24} {begin}{:<9}{end} {}", entry.kind.name(), clean(&entry.text));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What a job has printed, with what has happened to it.
pub(super) fn log(items: &[Item], json: bool, colours: bool) -> String {
    let clock = Clock::default();
    let mut text = String::new();
    for item in items {
        match item {
            Item::Line(line) if json => {
                let _ = writeln!(text, "{}", serde_json::json!({"time_us": line.time_us, "output": line.text}));
            }
            Item::Entry(entry) if json => {
                let _ = writeln!(text, "{}", serde_json::to_string(entry).unwrap_or_default());
            }
            Item::Line(Line { time_us, text: printed, .. }) => {
                let time = time_us.map_or_else(|| "-".into(), |time| clock.write(time, TIME));
                let line = format!("{time:<23}    {}", clean(printed));
                text.push_str(line.trim_end());
                text.push('\n');
            }
            Item::Entry(entry) => {
                let (begin, end) = colour(entry.kind, colours);
                let mark = format!("{begin}* {:<9}{end}", entry.kind.name());
                let line = format!("{}  {mark} {}", clock.write(entry.time_us, TIME), clean(&entry.text));
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
    }
    text
}

/// Text of jobs may hold anything; it is not to move the reader's cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}

fn colour(kind: Kind, is_wanted: bool) -> (&'static str, &'static str) {
    match kind {
        _ if !is_wanted => ("", ""),
        Kind::Failed | Kind::Gap => ("\x1b[31m", "\x1b[0m"),
        Kind::Running => ("\x1b[32m", "\x1b[0m"),
        Kind::Recovered | Kind::Respawn => ("\x1b[33m", "\x1b[0m"),
        _ => ("\x1b[1m", "\x1b[0m"),
    }
}

/// Prints, or shows in a pager.
pub(super) fn page(text: &str, plain: bool) -> Result<(), String> {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.is_empty());
    if !plain {
        let mut command = Command::new("/bin/sh");
        // As git does: leave when it fits, keep colours, leave the text there.
        command.arg("-c").arg(pager.as_deref().unwrap_or("less")).env("LESS", "FRX").stdin(Stdio::piped());
        if let Ok(mut child) = command.spawn() {
            if let Some(mut input) = child.stdin.take() {
                // A reader who has seen enough is no failure.
                let _ = input.write_all(text.as_bytes());
            }
            if child.wait().is_ok_and(|status| status.success()) {
                return Ok(());
            }
        }
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}
