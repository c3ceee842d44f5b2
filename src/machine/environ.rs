//! Environment tables: ordered `KEY=VALUE` strings, and the expansion of `$KEY` in stanzas.
//!
//! A table keeps the place of a variable's first appearance and its latest value, as a process sees it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// A table as instances have it. Most of its entries are the same in all of them, so they are shared.
pub type Table = Vec<Arc<str>>;

/// Splits `KEY=VALUE`; a string without `=` is a key alone.
#[must_use]
pub fn split(entry: &str) -> (&str, Option<&str>) {
    match entry.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (entry, None),
    }
}

/// What follows `key=` in an entry of that key.
fn value_of<'a>(entry: &'a str, key: &str) -> Option<&'a str> {
    entry.strip_prefix(key)?.strip_prefix('=').filter(|_| !key.contains('='))
}

/// The value of a variable.
#[must_use]
pub fn get<'a, T: AsRef<str>>(table: &'a [T], key: &str) -> Option<&'a str> {
    table.iter().find_map(|entry| value_of(entry.as_ref(), key))
}

/// Puts `KEY=VALUE` in, in place of an older value if there is one.
pub fn set<T: AsRef<str> + for<'a> From<&'a str>>(table: &mut Vec<T>, entry: &str) {
    let key = split(entry).0;
    match table.iter_mut().find(|have| is_of(have.as_ref(), key)) {
        Some(have) => *have = entry.into(),
        None => table.push(entry.into()),
    }
}

/// Whether an entry is the variable of this key, with a value or without.
fn is_of(entry: &str, key: &str) -> bool {
    entry.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// As [`set`], for `key` and `value` apart.
pub fn put<T: AsRef<str> + for<'a> From<&'a str>>(table: &mut Vec<T>, key: &str, value: &str) {
    set(table, &[key, "=", value].concat());
}

/// All of `entries` in order. A key alone takes its value from `origin`, or is left out if it has none there.
pub fn extend<T, E>(table: &mut Vec<T>, entries: &[E], origin: &[String])
where
    T: AsRef<str> + for<'a> From<&'a str>,
    E: AsRef<str>,
{
    for entry in entries.iter().map(AsRef::as_ref) {
        match split(entry) {
            (_, Some(_)) => set(table, entry),
            (key, None) => {
                if let Some(value) = get(origin, key) {
                    put(table, key, value);
                }
            }
        }
    }
}

/// Takes a variable out.
pub fn unset<T: AsRef<str>>(table: &mut Vec<T>, key: &str) {
    table.retain(|entry| key.contains('=') || !is_of(entry.as_ref(), key));
}

/// Whether every string is `KEY=VALUE` with a key that is not empty.
#[must_use]
pub fn is_valid(entries: &[String]) -> bool {
    entries.iter().all(|entry| matches!(split(entry), (key, Some(_)) if !key.is_empty()))
}

/// Why a `$` could not be expanded. The texts are part of the D-Bus contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// A variable without value and without default.
    UnknownParameter(String),
    /// `${` that is never closed.
    ExpectedBrace,
    /// `${KEY:x…}` with an operator that does not exist.
    ExpectedOperator,
    /// `$` that no name follows.
    IllegalParameter,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownParameter(name) => write!(f, "Unknown parameter: {name}"),
            Self::ExpectedBrace => f.write_str("Mismatched braces"),
            Self::ExpectedOperator => f.write_str("Expected operator"),
            Self::IllegalParameter => f.write_str("Illegal parameter"),
        }
    }
}

/// Replaces `$KEY`, `${KEY}`, `${KEY-default}`, `${KEY:-default}`, `${KEY+other}` and `${KEY:+other}`, with the meaning
/// they have in the shell. Defaults are expanded in turn.
///
/// # Errors
/// When a variable has no value, or the braces are malformed.
pub fn expand(text: &str, table: &[impl AsRef<str>]) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let (value, after) = expand_one(&rest[at + 1..], table)?;
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Expands what follows a `$`; returns the value and the text after it.
fn expand_one<'a>(text: &'a str, table: &[impl AsRef<str>]) -> Result<(String, &'a str), ExpandError> {
    if let Some(inner) = text.strip_prefix('{') {
        let end = closing_brace(inner).ok_or(ExpandError::ExpectedBrace)?;
        return Ok((braces(&inner[..end], table)?, &inner[end + 1..]));
    }
    let end = name_length(text);
    if end == 0 {
        return Err(ExpandError::IllegalParameter);
    }
    let name = &text[..end];
    let value = get(table, name).ok_or_else(|| ExpandError::UnknownParameter(name.into()))?;
    Ok((value.into(), &text[end..]))
}

/// Where the `}` is that closes an already opened brace.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Expands what stands between `${` and `}`.
fn braces(inner: &str, table: &[impl AsRef<str>]) -> Result<String, ExpandError> {
    let end = name_length(inner);
    let (name, operation) = inner.split_at(end);
    if name.is_empty() {
        return Err(ExpandError::IllegalParameter);
    }
    let (empty_counts, operation) = match operation.strip_prefix(':') {
        Some(after) => (false, after),
        None => (true, operation),
    };
    let value = get(table, name).filter(|value| empty_counts || !value.is_empty());
    match (operation.chars().next(), value) {
        (None, Some(value)) => Ok(value.into()),
        (None, None) => Err(ExpandError::UnknownParameter(name.into())),
        (Some('-'), Some(value)) => Ok(value.into()),
        (Some('-'), None) | (Some('+'), Some(_)) => expand(&operation[1..], table),
        (Some('+'), None) => Ok(String::new()),
        _ => Err(ExpandError::ExpectedOperator),
    }
}

/// Length of the variable name at the beginning of a text, in bytes.
fn name_length(text: &str) -> usize {
    text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn table() -> Vec<String> {
        vec!["A=1".into(), "EMPTY=".into(), "DEV=sda".into()]
    }

    #[test]
    fn expansion_has_the_meaning_of_the_shell() {
        for (text, value) in [
            ("plain", "plain"),
            ("$A", "1"),
            ("x${A}y", "x1y"),
            ("${NONE:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${A:+set}", "set"),
            ("${NONE+set}", ""),
            ("${NONE:-${DEV}1}", "sda1"),
        ] {
            assert_eq!(expand(text, &table()).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn unknown_variable_is_named() {
        assert_eq!(expand("$N", &table()).unwrap_err().to_string(), "Unknown parameter: N");
        assert_eq!(expand("${A", &table()).unwrap_err(), ExpandError::ExpectedBrace);
        assert_eq!(expand("a$", &table()).unwrap_err(), ExpandError::IllegalParameter);
    }

    #[test]
    fn a_later_value_keeps_the_place() {
        let mut have = table();
        set(&mut have, "A=2");
        extend(&mut have, &["B", "C"], &["B=from init".into()]);
        assert_eq!(have, ["A=2", "EMPTY=", "DEV=sda", "B=from init"]);
        unset(&mut have, "DEV=sda");
        assert_eq!(get(&have, "DEV"), Some("sda"), "not a key");
        unset(&mut have, "EMPTY");
        assert_eq!(get(&have, "EMPTY"), None);
    }
}
