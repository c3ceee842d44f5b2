//! Command lines, read the way Upstart's programs read them.
//!
//! Options may stand anywhere, also after other words; `--` ends them. The texts of errors are part of the contract,
//! which is why no library does this.

use std::ffi::OsString;
use std::fmt;

/// An option that a program knows.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Letter after a single dash.
    pub short: Option<char>,
    /// Word after two dashes; empty where there is none.
    pub long: &'static str,
    /// Name of the value, if it takes one.
    pub value: Option<&'static str>,
    /// What it does, for `--help`.
    pub help: &'static str,
}

/// A command line that cannot be understood. Shown with the hint where to find help.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UsageError {
    /// No such option, as it was written.
    InvalidOption(String),
    /// The option needs a value, which is not there.
    MissingValue(String),
    /// The option takes no value, but one was given.
    SuperfluousValue(String),
    /// No such command.
    InvalidCommand(String),
    /// Something that must be given was not: what.
    Missing(&'static str),
    /// A word that cannot be used: what it should be, and the word.
    Illegal(&'static str, String),
    /// A word is not valid UTF-8, so that D-Bus cannot carry it; shown lossily.
    NotUnicode(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidOption(option) => write!(out, "invalid option: {option}"),
            Self::MissingValue(option) => write!(out, "missing argument: {option}"),
            Self::SuperfluousValue(option) => write!(out, "unexpected argument: {option}"),
            Self::InvalidCommand(command) => write!(out, "invalid command: {command}"),
            Self::Missing(what) => write!(out, "missing {what}"),
            Self::Illegal(what, word) => write!(out, "illegal {what}: {word}"),
            Self::NotUnicode(word) => write!(out, "argument is not valid UTF-8: {word}"),
        }
    }
}

impl std::error::Error for UsageError {}

/// A command line, taken apart.
#[derive(Clone, Debug, Default)]
pub struct CommandLine {
    /// Long name (or the letter, where there is none) as the table has it, how it was written, and the value.
    given: Vec<(String, String, Option<String>)>,
    /// All that is no option.
    pub words: Vec<String>,
}

impl CommandLine {
    /// Reads the arguments (without the name of the program) by a table of options.
    ///
    /// # Errors
    /// [`UsageError`] for the first argument that does not fit.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>, table: &[OptionSpec]) -> Result<Self, UsageError> {
        let mut line = Self::default();
        let mut arguments = arguments.into_iter().map(|argument| {
            argument.into_string().map_err(|raw| UsageError::NotUnicode(raw.to_string_lossy().into_owned()))
        });
        let mut only_words = false;
        while let Some(argument) = arguments.next().transpose()? {
            if only_words || !argument.starts_with('-') || argument == "-" {
                line.words.push(argument);
            } else if argument == "--" {
                only_words = true;
            } else if let Some(long) = argument.strip_prefix("--") {
                line.take_long(long, table, &mut arguments)?;
            } else {
                line.take_short(&argument[1..], table, &mut arguments)?;
            }
        }
        Ok(line)
    }

    fn take_long(
        &mut self,
        argument: &str,
        table: &[OptionSpec],
        rest: &mut impl Iterator<Item = Result<String, UsageError>>,
    ) -> Result<(), UsageError> {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument, None),
        };
        let written = format!("--{name}");
        let spec = table
            .iter()
            .find(|spec| !spec.long.is_empty() && spec.long == name)
            .ok_or_else(|| UsageError::InvalidOption(written.clone()))?;
        let value = match (spec.value, attached) {
            (None, Some(_)) => return Err(UsageError::SuperfluousValue(written)),
            (None, None) => None,
            (Some(_), Some(value)) => Some(value),
            (Some(_), None) => match rest.next().transpose()? {
                Some(value) => Some(value),
                None => return Err(UsageError::MissingValue(written)),
            },
        };
        self.given.push((key(spec), written, value));
        Ok(())
    }

    fn take_short(
        &mut self,
        letters: &str,
        table: &[OptionSpec],
        rest: &mut impl Iterator<Item = Result<String, UsageError>>,
    ) -> Result<(), UsageError> {
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            let written = format!("-{letter}");
            let spec = table
                .iter()
                .find(|spec| spec.short == Some(letter))
                .ok_or_else(|| UsageError::InvalidOption(written.clone()))?;
            if spec.value.is_none() {
                self.given.push((key(spec), written, None));
                continue;
            }
            let attached = letters.as_str();
            let value = if attached.is_empty() {
                rest.next().transpose()?.ok_or_else(|| UsageError::MissingValue(written.clone()))?
            } else {
                attached.to_owned()
            };
            self.given.push((key(spec), written, Some(value)));
            break;
        }
        Ok(())
    }

    /// Whether this option (long name, or letter where there is none) was given.
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, ..)| given == name)
    }

    /// The value of this option; the last one counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().rev().find(|(given, ..)| given == name)?;
        given.2.as_deref()
    }

    /// All values of this option, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(given, ..)| given == name).filter_map(|(.., value)| value.as_deref())
    }

    /// How the first given option for which `allowed` does not hold was written.
    pub fn first_not(&self, allowed: impl Fn(&str) -> bool) -> Option<&str> {
        self.given.iter().find(|(name, ..)| !allowed(name)).map(|(_, written, _)| written.as_str())
    }
}

fn key(spec: &OptionSpec) -> String {
    match spec.short {
        Some(letter) if spec.long.is_empty() => letter.to_string(),
        _ => spec.long.to_owned(),
    }
}

/// The lines about these options for `--help`.
pub fn describe(table: &[OptionSpec]) -> String {
    let mut text = String::from("\nOptions:\n");
    for spec in table {
        let short = spec.short.map_or_else(String::new, |letter| format!("-{letter}"));
        let long = if spec.long.is_empty() { String::new() } else { format!("--{}", spec.long) };
        let comma = if short.is_empty() || long.is_empty() { "" } else { ", " };
        let value = spec.value.map_or_else(String::new, |value| {
            let joint = if long.is_empty() { ' ' } else { '=' };
            format!("{joint}{value}")
        });
        let left = format!("  {short}{comma}{long}{value}");
        text.push_str(&format!("{left:<30} {}\n", spec.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[OptionSpec] = &[
        OptionSpec { short: Some('q'), long: "quiet", value: None, help: "" },
        OptionSpec { short: Some('n'), long: "no-wait", value: None, help: "" },
        OptionSpec { short: None, long: "dest", value: Some("NAME"), help: "" },
        OptionSpec { short: Some('e'), long: "", value: Some("KEY=VALUE"), help: "" },
    ];

    fn parse(text: &str) -> Result<CommandLine, UsageError> {
        CommandLine::parse(text.split_whitespace().map(OsString::from), TABLE)
    }

    #[test]
    fn options_stand_anywhere() {
        let line = parse("-q start --dest=N job -n A=1 -eX=1 -e Y=2 -- -z").unwrap();
        assert_eq!(line.words, ["start", "job", "A=1", "-z"]);
        assert!(line.has("quiet") && line.has("no-wait"));
        assert_eq!(line.value("dest"), Some("N"));
        assert_eq!(line.values("e").collect::<Vec<_>>(), ["X=1", "Y=2"]);
        assert!(parse("-qn").unwrap().has("no-wait"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let text = |line| parse(line).unwrap_err().to_string();
        assert_eq!(text("start --x"), "invalid option: --x");
        assert_eq!(text("-qz"), "invalid option: -z");
        assert_eq!(text("--dest"), "missing argument: --dest");
        assert_eq!(text("-e"), "missing argument: -e");
        assert_eq!(text("--quiet=1"), "unexpected argument: --quiet");
        assert_eq!(text("-\u{e9}"), "invalid option: -\u{e9}");
    }
}
