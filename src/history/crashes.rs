//! The crashes that init has kept beside its journal: listing them, and making one file of one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use journal::Reach;

use crate::bundle::{self, Beside as _, Meta};
use crate::moment::{Clock, length};
use crate::past::{Past, PastError};
use crate::source::Source;

/// So many of the last words of a manager are shown.
const LAST_WORDS: usize = 3;

/// The crashes of the init whose journal this is: number and description, oldest first.
#[must_use]
pub fn list(journal: &Path) -> Vec<(u64, Meta)> {
    let mut found: Vec<(u64, Meta)> = Vec::new();
    for entry in fs::read_dir(directory(journal)).into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let meta = Meta::beside(&entry.path().join("journal"));
        found.extend(number.zip(meta));
    }
    found.sort_by_key(|(number, _)| *number);
    found
}

fn directory(journal: &Path) -> PathBuf {
    journal.parent().unwrap_or(journal).join("crashes")
}

/// The list for people or for programs.
#[must_use]
pub fn text(crashes: &[(u64, Meta)], json: bool, clock: &Clock) -> String {
    let mut text = String::new();
    for (number, meta) in crashes {
        // A String takes everything.
        if json {
            let _ = writeln!(text, "{}", serde_json::json!({"number": number, "meta": meta}));
        } else if let Some(crash) = &meta.crash {
            let _ = writeln!(
                text,
                "{number:>4}  {}  {}; rung {}, {} frames replayed, back in {}",
                clock.short(crash.wall_us),
                crash.reason,
                crash.rung,
                crash.frames,
                length(crash.took_us)
            );
            for finding in &crash.findings {
                let _ = writeln!(text, "      {finding}");
            }
            // All of them are in the bundle, with stacks, whose lines are indented; what was said last is most often the reason.
            let is_said = |line: &&String| !line.split_once("] ").is_some_and(|(_, said)| said.starts_with(' '));
            let said: Vec<_> = crash.last_words.iter().filter(is_said).collect();
            for words in &said[said.len().saturating_sub(LAST_WORDS)..] {
                let _ = writeln!(text, "      said {words}");
            }
        }
    }
    text
}

/// Makes one file of a crash, without the values of environment variables unless they are asked for.
///
/// # Errors
/// When there is no such crash, or the file cannot be made.
pub fn report(journal: &Path, number: u64, file: &Path, with_values: bool) -> Result<Meta, PastError> {
    let crash = directory(journal).join(number.to_string());
    if !crash.is_dir() {
        return Err(PastError::NoCrash(number));
    }
    let source = Source::of(&crash);
    let past = Past::open(&source, Reach::All)?;
    let mut meta = bundle::describe(&past);
    let files = if with_values {
        bundle::files(&source)?.0
    } else {
        meta.is_redacted = true;
        bundle::redact(&past)?
    };
    bundle::write(file, &files, &meta)?;
    Ok(meta)
}
