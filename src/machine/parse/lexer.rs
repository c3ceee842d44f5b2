//! Words, command lines and blocks of a job file.
//!
//! It knows blanks, quotes, backslashes, comments and `end script`; which words make a stanza is not its business. A word
//! ends at a blank, a line break, or a `#`, wherever that stands; quotes and backslashes keep these in and are removed from
//! words, but not from command lines, which a shell may read. A line break within quotes, with the blanks around it, reads
//! as one space. A line break after a backslash is not there at all; blanks around it read as one.

use alloc::borrow::Cow;
use alloc::string::String;
use core::ops::Range;

use super::error::{ErrorKind, Expected, ParseError, Span};

/// A place in a job file, moving forward.
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

/// A word without its quotes.
pub(super) struct Word<'t> {
    pub(super) text: Cow<'t, str>,
    /// Where it stands, quotes included.
    pub(super) span: Range<usize>,
}

impl Word<'_> {
    /// Whether it is this word and nothing in it was quoted.
    pub(super) fn is_bare(&self, text: &str) -> bool {
        matches!(self.text, Cow::Borrowed(own) if own == text)
    }
}

/// What ends a word besides blanks, line breaks and comments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parentheses {
    /// Are characters like others.
    Plain,
    /// End a word: in conditions.
    Delimit,
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r')
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Where we are, for errors and for [`Cursor::back_to`].
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Reads again from a position.
    pub(super) fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over one character.
    pub(super) fn advance(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    /// The length of a backslash with the line break after it, if that is what comes next.
    fn continuation(&self) -> Option<usize> {
        ["\\\n", "\\\r\n"].iter().find(|sequence| self.rest().starts_with(**sequence)).map(|sequence| sequence.len())
    }

    /// Skips blanks and continued line breaks.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            self.at += self.rest().len() - self.rest().trim_start_matches(is_blank).len();
            match self.continuation() {
                Some(length) => self.at += length,
                None => return,
            }
        }
    }

    /// Skips blanks, comments and line breaks.
    pub(super) fn skip_empty(&mut self) {
        loop {
            self.skip_blanks();
            match self.peek() {
                Some('\n') => self.advance(),
                Some('#') => self.skip_to_line_end(),
                _ => return,
            }
        }
    }

    fn skip_to_line_end(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    /// Whether nothing but a comment is left of the line. Skips blanks.
    pub(super) fn at_line_end(&mut self) -> bool {
        self.skip_blanks();
        matches!(self.peek(), None | Some('\n' | '#'))
    }

    /// Goes to the next line.
    ///
    /// # Errors
    /// `UnexpectedToken` if the line has another word.
    pub(super) fn end_line(&mut self) -> Result<(), ParseError> {
        if self.at_line_end() {
            self.skip_to_line_end();
            self.advance();
            return Ok(());
        }
        let start = self.at;
        let end = self.word(Parentheses::Plain)?.map_or(start, |word| word.span.end);
        Err(self.error(ErrorKind::UnexpectedToken, start..end, Expected::Phrase("the end of the line")))
    }

    /// Nothing but blanks, comments and empty lines may follow.
    ///
    /// # Errors
    /// `UnexpectedToken` if there is more.
    pub(super) fn end_text(&mut self) -> Result<(), ParseError> {
        while self.at < self.text.len() {
            self.end_line()?;
        }
        Ok(())
    }

    /// The next word of the line, if there is one. It may be empty, written as `""`.
    ///
    /// # Errors
    /// `UnterminatedQuote`, `TrailingSlash`.
    pub(super) fn word(&mut self, parentheses: Parentheses) -> Result<Option<Word<'t>>, ParseError> {
        self.skip_blanks();
        let start = self.at;
        let special = |c: char| {
            is_blank(c)
                || matches!(c, '\n' | '#' | '"' | '\'' | '\\')
                || (parentheses == Parentheses::Delimit && matches!(c, '(' | ')'))
        };
        let plain = self.rest().find(special).unwrap_or(self.rest().len());
        self.at += plain;
        let ends = match self.peek() {
            Some('"' | '\'') => false,
            Some('\\') => self.ends_with_line(special),
            _ => true,
        };
        let text = if ends {
            Cow::Borrowed(&self.text[start..self.at])
        } else {
            let mut text = String::from(&self.text[start..self.at]);
            self.quoted_word(&mut text, special)?;
            Cow::Owned(text)
        };
        Ok((self.at > start).then_some(Word { text, span: start..self.at }))
    }

    /// Whether the backslash we are at continues the line, but not the word.
    fn ends_with_line(&self, special: impl Fn(char) -> bool) -> bool {
        self.continuation().is_some_and(|length| self.rest()[length..].chars().next().is_none_or(special))
    }

    /// The rest of a word that is not all plain.
    fn quoted_word(&mut self, text: &mut String, special: impl Fn(char) -> bool) -> Result<(), ParseError> {
        while let Some(character) = self.peek() {
            match character {
                '"' | '\'' => self.quotes(text, Quotes::Remove)?,
                '\\' => match self.continuation() {
                    Some(_) if self.ends_with_line(&special) => break,
                    Some(length) => self.at += length,
                    None => text.push(self.escaped()?),
                },
                other if special(other) => break,
                other => {
                    text.push(other);
                    self.advance();
                }
            }
        }
        Ok(())
    }

    /// The character after the backslash we are at.
    fn escaped(&mut self) -> Result<char, ParseError> {
        let start = self.at;
        self.advance();
        let character = self.peek();
        self.advance();
        character.ok_or_else(|| {
            self.error(ErrorKind::TrailingSlash, start..start + 1, Expected::Phrase("a character after the backslash"))
        })
    }

    /// The quoted string that begins here.
    fn quotes(&mut self, text: &mut String, quotes: Quotes) -> Result<(), ParseError> {
        let start = self.at;
        let quote = self.peek();
        let keep = quotes == Quotes::Keep;
        self.advance();
        text.extend(quote.filter(|_| keep));
        loop {
            match self.peek() {
                None => {
                    let expected = Expected::Phrase("its counterpart before the end of the file");
                    return Err(self.error_at_end(ErrorKind::UnterminatedQuote, start..start + 1, expected));
                }
                same if same == quote => {
                    self.advance();
                    text.extend(quote.filter(|_| keep));
                    return Ok(());
                }
                Some('\n') => self.fold_line_break(text),
                Some('\\') if self.continuation().is_some() => self.fold_continuation(text, 0),
                Some('\\') => {
                    let character = self.escaped()?;
                    text.extend(keep.then_some('\\'));
                    text.push(character);
                }
                Some(other) => {
                    text.push(other);
                    self.advance();
                }
            }
        }
    }

    /// Reads a line break and the blanks around it as one space.
    fn fold_line_break(&mut self, text: &mut String) {
        text.truncate(text.trim_end_matches(is_blank).len());
        loop {
            self.skip_blanks();
            if self.peek() != Some('\n') {
                break;
            }
            self.advance();
        }
        text.push(' ');
    }

    /// Reads an escaped line break as nothing, and blanks around it as one space. Text before `kept` stays as it is.
    fn fold_continuation(&mut self, text: &mut String, kept: usize) {
        let length = text.len();
        text.truncate(text[kept..].trim_end_matches(is_blank).len() + kept);
        let mut has_blanks = text.len() < length;
        while let Some(length) = self.continuation() {
            self.at += length;
            let after = self.rest().trim_start_matches(is_blank);
            has_blanks |= after.len() < self.rest().len();
            self.at = self.text.len() - after.len();
        }
        text.extend(has_blanks.then_some(' '));
    }

    /// The rest of the line as a command: quotes and backslashes stay, for whoever splits it into words.
    ///
    /// # Errors
    /// `ExpectedToken` if there is none; `UnterminatedQuote`, `TrailingSlash`.
    pub(super) fn command(&mut self) -> Result<String, ParseError> {
        if self.at_line_end() {
            return Err(self.missing(Expected::Phrase("a command")));
        }
        let mut text = String::new();
        // Up to where blanks at the end are not to be removed: behind an escaped one.
        let mut kept = 0;
        while let Some(character) = self.peek() {
            match character {
                '\n' | '#' => break,
                '"' | '\'' => self.quotes(&mut text, Quotes::Keep)?,
                '\\' if self.continuation().is_some() => self.fold_continuation(&mut text, kept),
                '\\' => {
                    let character = self.escaped()?;
                    text.extend(['\\', character]);
                    kept = text.len();
                }
                other => {
                    text.push(other);
                    self.advance();
                }
            }
        }
        text.truncate(text[kept..].trim_end_matches(is_blank).len() + kept);
        Ok(text)
    }

    /// The lines up to `end script`, without the white space that all of them begin with.
    ///
    /// `opening` is the word that began the block, for the error.
    ///
    /// # Errors
    /// `UnterminatedBlock`.
    pub(super) fn block(&mut self, opening: Range<usize>) -> Result<String, ParseError> {
        let start = self.at;
        while self.at < self.text.len() {
            let begin = self.at;
            self.skip_to_line_end();
            let line = &self.text[begin..self.at];
            self.advance();
            if is_end_script(line) {
                return Ok(unindent(&self.text[start..begin]));
            }
        }
        let expected = Expected::Phrase("`end script` somewhere after this");
        Err(self.error_at_end(ErrorKind::UnterminatedBlock, opening, expected))
    }

    /// An error about a part of the text, reported where that begins.
    pub(super) fn error(&self, kind: ErrorKind, range: Range<usize>, expected: Expected) -> ParseError {
        let before = &self.text[..range.start];
        let line = line_after(before);
        let column = before[before.rfind('\n').map_or(0, |at| at + 1)..].chars().count() + 1;
        let length = self.text[range].chars().take_while(|character| *character != '\n').count();
        ParseError { line, span: Span { line, column, length }, kind, expected }
    }

    /// An error about a part of the text, reported at the end of the file.
    pub(super) fn error_at_end(&self, kind: ErrorKind, range: Range<usize>, expected: Expected) -> ParseError {
        ParseError { line: line_after(self.text), ..self.error(kind, range, expected) }
    }

    /// `ExpectedToken` here.
    pub(super) fn missing(&self, expected: Expected) -> ParseError {
        self.error(ErrorKind::ExpectedToken, self.at..self.at, expected)
    }
}

/// Whether the quotes themselves are part of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Keep,
    Remove,
}

/// The number of the line that follows on this text.
fn line_after(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count() + 1
}

fn is_end_script(line: &str) -> bool {
    let Some(rest) = line.trim_start_matches(is_blank).strip_prefix("end") else { return false };
    let Some(rest) = rest.trim_start_matches(is_blank).strip_prefix("script").filter(|_| rest.starts_with(is_blank))
    else {
        return false;
    };
    let comment = rest.trim_start_matches(is_blank);
    comment.is_empty() || comment.starts_with('#')
}

/// Removes the white space that every line which is not blank begins with, so that a here-document ends where it looks as
/// if it did.
fn unindent(block: &str) -> String {
    let mut lines = block.split_inclusive('\n').filter(|line| !line.trim().is_empty());
    let indent_of = |line: &'_ str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let Some(first) = lines.next() else { return block.into() };
    let mut indent = &first[..indent_of(first)];
    for line in lines {
        let common = indent.bytes().zip(line.bytes()).take_while(|(a, b)| a == b).count();
        indent = &indent[..common];
    }
    if indent.is_empty() {
        return block.into();
    }
    let lines = block.split_inclusive('\n');
    lines.map(|line| line.strip_prefix(indent).unwrap_or(line.trim_start_matches([' ', '\t']))).collect()
}
