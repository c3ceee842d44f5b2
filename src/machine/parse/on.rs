//! `start on` and `stop on`: from words to a [`Condition`].
//!
//! `and` and `or` bind alike, and to the left. Within parentheses the expression goes on over line breaks and comments.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::error::{ErrorKind, Expected, ParseError};
use super::lexer::{Cursor, Parentheses, Word};
use crate::condition::{Condition, Match, Node, Pattern};

/// An opened parenthesis, or the whole expression.
struct Level {
    /// Where the parenthesis stands; none for the whole.
    opened: Option<usize>,
    /// The operator that waits for its right operand.
    operator: Option<Node>,
}

/// Reads a condition up to the end of the line on which it ends.
///
/// # Errors
/// `ExpectedEvent`, `ExpectedOperator`, `ExpectedVariable`, `MismatchedParentheses`, and those of words.
pub(super) fn condition(cursor: &mut Cursor<'_>) -> Result<Condition, ParseError> {
    let mut nodes = Vec::new();
    let mut levels = vec![Level { opened: None, operator: None }];
    let mut wants_operand = true;
    loop {
        let nested = levels.len() > 1;
        skip(cursor, nested);
        let start = cursor.position();
        match cursor.peek() {
            None | Some('\n' | '#') => break,
            Some('(') if wants_operand => {
                levels.push(Level { opened: Some(start), operator: None });
                cursor.advance();
            }
            Some('(') => return Err(expected_operator(cursor, start..start + 1)),
            Some(')') if wants_operand && nested => return Err(expected_event(cursor, start..start + 1)),
            Some(')') => {
                if !nested {
                    let expected = Expected::Phrase("no closing parenthesis: none is open");
                    return Err(cursor.error(ErrorKind::MismatchedParentheses, start..start + 1, expected));
                }
                levels.pop();
                cursor.advance();
                nodes.extend(levels.last_mut().and_then(|level| level.operator.take()));
            }
            Some(_) => {
                let Some(word) = cursor.word(Parentheses::Delimit)? else { break };
                match (operator(&word), wants_operand) {
                    (Some(_), true) => return Err(expected_event(cursor, word.span)),
                    (None, false) => return Err(expected_operator(cursor, word.span)),
                    (Some(operator), false) => {
                        if let Some(level) = levels.last_mut() {
                            level.operator = Some(operator);
                        }
                        wants_operand = true;
                    }
                    (None, true) => {
                        nodes.push(Node::Event(event(cursor, word, nested)?));
                        nodes.extend(levels.last_mut().and_then(|level| level.operator.take()));
                        wants_operand = false;
                    }
                }
            }
        }
    }
    if let Some(opened) = levels.last().and_then(|level| level.opened) {
        let expected = Expected::Phrase("a closing parenthesis for this one");
        return Err(cursor.error_at_end(ErrorKind::MismatchedParentheses, opened..opened + 1, expected));
    }
    if wants_operand {
        let here = cursor.position();
        return Err(expected_event(cursor, here..here));
    }
    Ok(Condition { nodes })
}

/// The event that begins with this word, with its arguments.
fn event(cursor: &mut Cursor<'_>, name: Word<'_>, nested: bool) -> Result<Pattern, ParseError> {
    if name.text.is_empty() {
        return Err(expected_event(cursor, name.span));
    }
    let mut pattern = Pattern { event: name.text.into_owned(), matches: Vec::new() };
    loop {
        skip(cursor, nested);
        let start = cursor.position();
        let Some(word) = cursor.word(Parentheses::Delimit)? else { return Ok(pattern) };
        if operator(&word).is_some() {
            cursor.back_to(start);
            return Ok(pattern);
        }
        let argument = argument(&word.text);
        if argument.key.is_none() && pattern.matches.last().is_some_and(|last| last.key.is_some()) {
            let expected = Expected::Phrase("KEY=VALUE, `and` or `or`");
            return Err(cursor.error(ErrorKind::ExpectedVariable, word.span, expected));
        }
        pattern.matches.push(argument);
    }
}

/// `KEY=VALUE`, `KEY!=VALUE` or `VALUE`.
fn argument(text: &str) -> Match {
    match text.split_once('=') {
        None => Match { key: None, value: text.into(), negated: false },
        Some((key, value)) => {
            let bare = key.strip_suffix('!');
            Match { key: Some(bare.unwrap_or(key).into()), value: value.into(), negated: bare.is_some() }
        }
    }
}

fn operator(word: &Word<'_>) -> Option<Node> {
    let one_of = |words: [&str; 3]| words.iter().any(|text| word.is_bare(text));
    if one_of(["and", "&&", "&"]) {
        Some(Node::And)
    } else if one_of(["or", "||", "|"]) {
        Some(Node::Or)
    } else {
        None
    }
}

fn skip(cursor: &mut Cursor<'_>, nested: bool) {
    if nested {
        cursor.skip_empty();
    } else {
        cursor.skip_blanks();
    }
}

fn expected_event(cursor: &Cursor<'_>, range: Range<usize>) -> ParseError {
    cursor.error(ErrorKind::ExpectedEvent, range, Expected::Phrase("an event"))
}

fn expected_operator(cursor: &Cursor<'_>, range: Range<usize>) -> ParseError {
    cursor.error(ErrorKind::ExpectedOperator, range, Expected::OneOf(&["and", "or"]))
}
