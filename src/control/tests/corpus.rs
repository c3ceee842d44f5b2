//! `show-config` against what Upstart itself printed of real job files.
//!
//! The recordings are read from `$STAYUP_CORPUS`; without it there is nothing to compare with.

use std::path::PathBuf;

use control::condition::Condition;

/// Puts an infix condition, as it was recorded, back into reverse Polish notation.
fn notation(text: &str) -> Vec<Vec<String>> {
    let spaced = text.to_owned();
    let mut output = Vec::new();
    let end = operand(&spaced, &mut output);
    assert_eq!(end, "", "{text}");
    output
}

/// Reads one operand and returns what follows it. An event may itself hold parentheses only in no recorded file.
fn operand<'a>(text: &'a str, output: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(inner) = text.strip_prefix('(') {
        let rest = operand(inner, output);
        let (operator, rest) = match rest.strip_prefix(" and ") {
            Some(rest) => ("/AND", rest),
            None => ("/OR", rest.strip_prefix(" or ").unwrap()),
        };
        let rest = operand(rest, output);
        output.push(vec![operator.to_owned()]);
        return rest.strip_prefix(')').unwrap();
    }
    let end = [" and ", " or ", ")"].iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
    let words = text[..end].split(' ').map(str::to_owned);
    output.push(words.collect());
    &text[end..]
}

#[test]
fn real_conditions_are_shown_as_upstart_shows_them() {
    let Some(corpus) = std::env::var_os("STAYUP_CORPUS").map(PathBuf::from) else {
        eprintln!("skipped: $STAYUP_CORPUS does not name the recorded job files");
        return;
    };
    let plain = std::fs::read_to_string(corpus.join("show-config.txt")).unwrap();
    let expected = std::fs::read_to_string(corpus.join("show-config-e.txt")).unwrap();
    let mut enumerated = String::new();
    for line in plain.lines() {
        let condition = ["  start on ", "  stop on "].iter().find_map(|what| Some((*what, line.strip_prefix(what)?)));
        let Some((what, text)) = condition else {
            enumerated.push_str(&format!("{line}\n"));
            continue;
        };
        let condition = Condition::parse(&notation(text)).unwrap().unwrap();
        assert_eq!(condition.to_string(), text);
        for event in condition.events() {
            enumerated.push_str(&format!("{what}{}\n", event.enumerate()));
        }
    }
    for (ours, theirs) in enumerated.lines().zip(expected.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(enumerated.lines().count(), expected.lines().count());
}
