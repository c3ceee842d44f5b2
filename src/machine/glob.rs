//! Shell patterns as fnmatch(3) without flags reads them: `*`, `?`, `[…]`, `[!…]`, ranges, classes and backslashes.

use alloc::vec::Vec;

/// Whether a text matches a pattern as a whole. Linear in the text for each `*`; never recursive.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?', '[', '\\']) {
        return pattern == text;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if at < pattern.len() && pattern[at] == '*' {
            retry = Some((at + 1, seen));
            at += 1;
            continue;
        }
        if seen == text.len() && at == pattern.len() {
            return true;
        }
        let step = if seen < text.len() { one(&pattern[at..], text[seen]) } else { None };
        match (step, retry) {
            (Some(length), _) => {
                at += length;
                seen += 1;
            }
            (None, Some((star, from))) if from < text.len() => {
                retry = Some((star, from + 1));
                (at, seen) = (star, from + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one letter against the first element of a pattern; returns the element's length.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match *pattern.first()? {
        '?' => Some(1),
        '[' => match bracket(pattern, letter) {
            Some((length, hit)) => hit.then_some(length),
            None => (letter == '[').then_some(1),
        },
        '\\' if pattern.len() > 1 => (pattern[1] == letter).then_some(2),
        plain => (plain == letter).then_some(1),
    }
}

/// Reads `[…]`; returns its length and whether the letter is in it, or none if it is never closed.
fn bracket(pattern: &[char], letter: char) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut hit = false;
    loop {
        let low = *pattern.get(at)?;
        if low == ']' && at > first {
            return Some((at + 1, hit != negated));
        }
        if low == '['
            && pattern.get(at + 1) == Some(&':')
            && let Some((length, inside)) = class(&pattern[at..], letter)
        {
            hit |= inside;
            at += length;
            continue;
        }
        let low = if low == '\\' {
            at += 1;
            *pattern.get(at)?
        } else {
            low
        };
        let high = pattern.get(at + 2).copied().filter(|high| pattern.get(at + 1) == Some(&'-') && *high != ']');
        match high {
            Some(high) => {
                hit |= (low..=high).contains(&letter);
                at += 3;
            }
            None => {
                hit |= low == letter;
                at += 1;
            }
        }
    }
}

/// Reads `[:name:]`; returns its length and whether the letter is of that class.
fn class(pattern: &[char], letter: char) -> Option<(usize, bool)> {
    let end = (2..pattern.len().saturating_sub(1)).find(|at| pattern[*at] == ':' && pattern[at + 1] == ']')?;
    let is = |name: &str| pattern[2..end].iter().copied().eq(name.chars());
    let inside = (is("alpha") && letter.is_alphabetic())
        || (is("digit") && letter.is_ascii_digit())
        || (is("alnum") && letter.is_alphanumeric())
        || (is("upper") && letter.is_uppercase())
        || (is("lower") && letter.is_lowercase())
        || (is("space") && letter.is_whitespace())
        || (is("punct") && letter.is_ascii_punctuation())
        || (is("xdigit") && letter.is_ascii_hexdigit());
    Some((end + 2, inside))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_read_as_fnmatch_reads_them() {
        for (pattern, text, expected) in [
            ("red", "red", true),
            ("red", "reddish", false),
            ("eth*", "eth0", true),
            ("*", "", true),
            ("*a*b", "xxaxxb", true),
            ("*a*b", "xxaxx", false),
            ("?", "", false),
            ("[12]", "2", true),
            ("[!2345]", "0", true),
            ("[^2345]", "3", false),
            ("[a-c]x", "bx", true),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[[:digit:]]*", "7up", true),
            ("a/*", "a/b/c", true),
            ("**", "abc", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
