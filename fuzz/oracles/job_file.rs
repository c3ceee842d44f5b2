//! What must hold of any text given to the parser. The machine's own tests ask the same questions, through `#[path]`.

use machine::condition::{Condition, Node};
use machine::parse::{ErrorKind, ParseError, apply_override, bytes_of, parse_class, parse_condition, text_of};

/// Any bytes as a job file; and an override says what its stanzas would say at the end of the job file.
pub fn job_file(bytes: &[u8]) {
    check_job_file(bytes);
    // A line that ends in a backslash goes on, whatever blanks are behind it.
    let is_end = |at: &usize| bytes[*at] == b'\n' && !bytes[..*at].trim_ascii_end().ends_with(b"\\");
    let middle = (0..bytes.len()).filter(is_end).map(|at| at + 1).find(|at| 2 * at >= bytes.len());
    if let Some((file, rest)) = middle.map(|at| bytes.split_at(at))
        && let Ok(class) = parse_class("job", file)
    {
        let lines = file.iter().filter(|byte| **byte == b'\n').count();
        let result = apply_override(&class, rest).map_err(|error| (error.line + lines, error.kind));
        let whole = parse_class("job", bytes).map_err(|error| (error.line, error.kind));
        assert_eq!(result, whole, "an override differs from the same text at the end of the file");
    }
}

/// Any bytes as a job file: read or refused with a place within the file, and what was read can be written and read again.
pub fn check_job_file(bytes: &[u8]) {
    assert_eq!(*bytes_of(&text_of(bytes)), *bytes);
    match parse_class("job", bytes) {
        Err(error) => check_error(&error, bytes),
        Ok(class) => {
            class.start_on.iter().chain(&class.stop_on).for_each(check_condition);
            let again = apply_override(&class, bytes).expect("what was read once");
            // Lists add up; everything else is replaced by the same.
            assert_eq!((&again.start_on, &again.stop_on, &again.main), (&class.start_on, &class.stop_on, &class.main));
            assert_eq!(again.emits.len(), 2 * class.emits.len());
        }
    }
}

/// A condition, written with all its words in quotes, reads the same; and as it is printed, where that needs no quotes.
pub fn check_condition(condition: &Condition) {
    assert_eq!(parse_condition(&quoted(condition)).as_ref(), Ok(condition));
    let words = condition.nodes.iter().filter_map(|node| match node {
        Node::Event(pattern) => Some(pattern),
        _ => None,
    });
    let needs_quotes = words
        .flat_map(|pattern| pattern.matches.iter().map(|argument| argument.text()).chain([pattern.event.clone()]))
        .any(|word| {
            word.is_empty()
                || word.contains([' ', '\t', '\r', '"', '\'', '\\', '#', '(', ')'])
                || ["and", "or", "&&", "||", "&", "|"].contains(&&*word)
        });
    if !needs_quotes {
        assert_eq!(parse_condition(&condition.expression()).as_ref(), Ok(condition));
    }
}

fn check_error(error: &ParseError, bytes: &[u8]) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!((1..=lines).contains(&error.line), "{error:?}");
    assert!((1..=error.line).contains(&error.span.line), "{error:?}");
    let text = text_of(bytes);
    let characters = text.split('\n').nth(error.span.line - 1).map_or(0, |line| line.chars().count());
    let (column, length) = (error.span.column, error.span.length);
    assert!(column >= 1 && column - 1 + length <= characters, "{error:?} in a line of {characters} characters");
    let at_end = [ErrorKind::UnterminatedBlock, ErrorKind::UnterminatedQuote, ErrorKind::MismatchedParentheses];
    assert!(error.span.line == error.line || at_end.contains(&error.kind), "{error:?}");
    let rendered = error.render("job.conf", bytes);
    assert!(rendered.starts_with(&format!("error: {}\n", error.kind)), "{rendered}");
}

/// The condition with every word in quotes.
fn quoted(condition: &Condition) -> String {
    let quote = |word: &str| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
    let mut operands: Vec<String> = Vec::new();
    for node in &condition.nodes {
        let text = match node {
            Node::Event(pattern) => {
                let arguments = pattern.matches.iter().map(|argument| quote(&argument.text()));
                [quote(&pattern.event)].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
            }
            operator => {
                let (right, left) = (operands.pop().expect("right"), operands.pop().expect("left"));
                format!("({left} {} {right})", if *operator == Node::And { "and" } else { "or" })
            }
        };
        operands.push(text);
    }
    operands.pop().expect("an expression")
}
