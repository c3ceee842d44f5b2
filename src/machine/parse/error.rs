//! What can be wrong with a job file, where, and what to do about it.
//!
//! [`ErrorKind`] speaks Upstart's words, because scripts look for them in the log. The rest is for people: the place in
//! the source, what was expected there, and how to mend it. It knows the words of job files, never their meaning.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use super::bytes::{is_stand_in, text_of};

/// Why a job file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line to report, counted from 1, as Upstart counts: where reading stopped. What lacks its end (a block, a quoted
    /// string, a parenthesis) is reported at the end of the file.
    pub line: usize,
    /// The part of the file that is to blame.
    pub span: Span,
    /// What is wrong, in Upstart's words.
    pub kind: ErrorKind,
    /// What would have been right at the span.
    pub expected: Expected,
}

/// Some characters of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Line, counted from 1.
    pub line: usize,
    /// First character, counted from 1.
    pub column: usize,
    /// Number of characters; 0 where something is missing.
    pub length: usize,
}

/// What is wrong. `Display` gives the message that Upstart logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A stanza, or the second word of one, that is not known.
    UnknownStanza,
    /// The stanza lacks a word.
    ExpectedToken,
    /// The stanza has a word too many.
    UnexpectedToken,
    /// `script` without `end script`.
    UnterminatedBlock,
    /// A quote without its counterpart.
    UnterminatedQuote,
    /// A backslash as the last character of the file.
    TrailingSlash,
    /// A condition, or one operand of it, has no event.
    ExpectedEvent,
    /// Two operands of a condition without `and` or `or` between them.
    ExpectedOperator,
    /// A value by position after `KEY=VALUE`.
    ExpectedVariable,
    /// A parenthesis without its counterpart.
    MismatchedParentheses,
    /// No number of seconds.
    IllegalInterval,
    /// Neither exit status nor signal.
    IllegalExitStatus,
    /// No signal.
    IllegalSignal,
    /// No octal file creation mask.
    IllegalUmask,
    /// No nice value.
    IllegalNice,
    /// `oom`: out of range.
    IllegalOom,
    /// `oom score`: out of range.
    IllegalOomScore,
    /// No limit.
    IllegalLimit,
    /// A NUL byte, which neither a program's arguments nor its environment can carry.
    NulByte,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownStanza => "Unknown stanza",
            Self::ExpectedToken => "Expected token",
            Self::UnexpectedToken => "Unexpected token",
            Self::UnterminatedBlock => "Unterminated block",
            Self::UnterminatedQuote => "Unterminated quoted string",
            Self::TrailingSlash => "Trailing slash",
            Self::ExpectedEvent => "Expected event",
            Self::ExpectedOperator => "Expected operator",
            Self::ExpectedVariable => "Expected variable name before value",
            Self::MismatchedParentheses => "Mismatched parentheses",
            Self::IllegalInterval => "Illegal interval, expected number of seconds",
            Self::IllegalExitStatus => "Illegal exit status, expected integer",
            Self::IllegalSignal => "Illegal signal status, expected integer",
            Self::IllegalUmask => "Illegal file creation mask, expected octal integer",
            Self::IllegalNice => "Illegal nice value, expected -20 to 19",
            Self::IllegalOom => "Illegal oom adjustment, expected -16 to 15 or 'never'",
            Self::IllegalOomScore => "Illegal oom score adjustment, expected -999 to 1000 or 'never'",
            Self::IllegalLimit => "Illegal limit, expected 'unlimited' or integer",
            Self::NulByte => "Unexpected NUL byte",
        })
    }
}

/// What would have been right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The first word of a line: a stanza of init(5).
    Stanza,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// This, in words.
    Phrase(&'static str),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stanza => f.write_str("a stanza"),
            Self::Phrase(phrase) => f.write_str(phrase),
            Self::OneOf(words) => {
                for (index, word) in words.iter().enumerate() {
                    let before = match index {
                        0 => "",
                        _ if index + 1 == words.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{before}`{word}`")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

impl core::error::Error for ParseError {}

impl ParseError {
    /// The error as a person at a terminal wants it: the place, the line with its culprit underlined, what belongs there
    /// and how to mend it. `source` is the text that was parsed.
    #[must_use]
    pub fn render(&self, file_name: &str, source: &[u8]) -> String {
        let source = text_of(source);
        let line = source.split('\n').nth(self.span.line.saturating_sub(1)).unwrap_or_default();
        let before = line.chars().take(self.span.column.saturating_sub(1));
        let number = self.span.line.to_string();
        let margin = " ".repeat(number.len());
        // Tabs stay tabs, so that the caret stands below its character however wide the terminal makes them.
        let padding: String = before.map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(self.span.length.max(1));
        let shown: String = line.trim_end_matches('\r').chars().map(visible).collect();
        let mut text = format!(
            "error: {}\n{margin}--> {file_name}:{}:{}\n{margin} |\n{number} | {shown}\n{margin} | {padding}{carets} expected {}\n",
            self.kind, self.span.line, self.span.column, self.expected,
        );
        if self.line != self.span.line {
            text += &format!("{margin} = note: read up to line {}\n", self.line);
        }
        let culprit: String =
            line.chars().skip(self.span.column.saturating_sub(1)).take(self.span.length).map(visible).collect();
        if let Some(hint) = self.hint(&culprit) {
            text += &format!("{margin} = hint: {hint}\n");
        }
        text
    }

    fn hint(&self, culprit: &str) -> Option<String> {
        let text = match self.kind {
            ErrorKind::UnknownStanza => {
                let words = match self.expected {
                    Expected::Stanza => super::stanza::STANZAS,
                    Expected::OneOf(words) => words,
                    Expected::Phrase(_) => &[],
                };
                return nearest(culprit, words).map(|word| format!("did you mean `{word}`?"));
            }
            ErrorKind::UnexpectedToken => "a value that contains blanks is written in quotes",
            ErrorKind::UnterminatedBlock => "`end script` must stand alone on its line",
            ErrorKind::UnterminatedQuote => {
                "a line break does not end quotes; a quote that means itself is written \\\" or \\'"
            }
            ErrorKind::TrailingSlash => "a backslash that means itself is written \\\\",
            ErrorKind::ExpectedVariable => "values without a key come before those with one",
            ErrorKind::ExpectedOperator => "write `and` or `or` between the two",
            ErrorKind::MismatchedParentheses => "a parenthesis that means itself is written in quotes",
            _ => return None,
        };
        Some(text.into())
    }
}

/// A character that a terminal takes no harm from.
fn visible(character: char) -> char {
    match character {
        '\t' => '\t',
        character if character.is_control() || is_stand_in(character) => char::REPLACEMENT_CHARACTER,
        character => character,
    }
}

/// The word that was probably meant, if one is near enough.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let near = known.iter().map(|candidate| (distance(word, candidate), *candidate));
    near.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// Number of characters to insert, remove or replace to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    // Far longer words are far away; no need to know how far.
    if from.len() > to.len() + 8 {
        return usize::MAX;
    }
    let mut row: alloc::vec::Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.chars().count()]
}
