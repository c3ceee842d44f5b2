//! Job files: from text to a [`Class`].
//!
//! Pure text work, after init(5) of Upstart 1.13: the same files are accepted, and the others are refused with the same
//! message on the same line. Stayup's own are `expect notify` and ChromeOS's `import` and `tmpfiles`. The module never
//! opens a file, and does not ask whether what a file names (users, programs, events) exists.
//!
//! - `bytes`: text that is not UTF-8
//! - `lexer`: words, command lines, blocks
//! - `stanza`, `value`: what each stanza means
//! - `on`: the conditions of `start on` and `stop on`; `print`: conditions as text
//! - `error`: what was wrong, for logs and for people

mod bytes;
mod error;
mod lexer;
mod on;
mod print;
mod stanza;
mod value;

pub use bytes::{bytes_of, text_of};
pub use error::{ErrorKind, Expected, ParseError, Span};

use crate::class::Class;
use crate::condition::Condition;
use lexer::Cursor;

/// The class that a job file describes. `name` is the job's, such as `net/apache`.
///
/// Of a stanza given twice the later one counts; `env`, `export`, `import`, `emits`, `tmpfiles`, `cgroup`, the resources of
/// `limit` and the words of `normal exit` add up. Bytes that are not UTF-8 are kept, see [`bytes_of`].
///
/// # Errors
/// The first thing wrong with the file. A file with an error describes nothing.
pub fn parse_class(name: &str, text: &[u8]) -> Result<Class, ParseError> {
    apply_override(&Class::new(name), text)
}

/// The class with an override file on top: as if its stanzas stood at the end of the job file.
///
/// # Errors
/// As [`parse_class`]; the class without the override is then the one to use.
pub fn apply_override(class: &Class, text: &[u8]) -> Result<Class, ParseError> {
    let text = text_of(text);
    let mut cursor = Cursor::new(&text);
    if let Some(at) = text.find('\0') {
        return Err(cursor.error(ErrorKind::NulByte, at..at + 1, Expected::Phrase("text")));
    }
    let mut class = class.clone();
    stanza::stanzas(&mut cursor, &mut class)?;
    Ok(class)
}

/// A condition by itself, as after `start on`.
///
/// # Errors
/// As for a job file, counting from the first line of `text`.
pub fn parse_condition(text: &str) -> Result<Condition, ParseError> {
    let mut cursor = Cursor::new(text);
    let condition = on::condition(&mut cursor)?;
    cursor.end_text()?;
    Ok(condition)
}
