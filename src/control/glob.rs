//! Patterns of the shell, as fnmatch(3) without flags matches them: `*`, `?`, `[a-z]`, `[!a-z]` and backslash.
//!
//! Knows strings only. A broken bracket expression stands for itself, as in the C library.

/// Whether the whole of `name` fits `pattern`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    fits(&pattern, &name)
}

/// Whether a name holds anything that makes it a pattern.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Goes back to the last `*` only, so the time is at worst the product of both lengths.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut last_star = None;
    loop {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            last_star = Some((at, position));
            continue;
        }
        match (pattern.get(at), name.get(position)) {
            (None, None) => return true,
            (Some(_), Some(&letter)) => {
                if let Some(length) = one(&pattern[at..], letter) {
                    at += length;
                    position += 1;
                    continue;
                }
            }
            _ => {}
        }
        match last_star {
            Some((after, from)) if from < name.len() => {
                at = after;
                position = from + 1;
                last_star = Some((after, position));
            }
            _ => return false,
        }
    }
}

/// If the first element of the pattern fits this letter: how long the element is.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '\\' if pattern.len() > 1 => (pattern[1] == letter).then_some(2),
        '[' => match bracket(pattern, letter) {
            Some((length, fits)) => fits.then_some(length),
            None => (letter == '[').then_some(1),
        },
        &plain => (plain == letter).then_some(1),
    }
}

/// Length of a bracket expression, and whether the letter is in it; `None` if it does not end.
fn bracket(pattern: &[char], letter: char) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut found = false;
    loop {
        let mut low = *pattern.get(at)?;
        if low == ']' && at > first {
            return Some((at + 1, found != negated));
        }
        if low == '\\' {
            at += 1;
            low = *pattern.get(at)?;
        }
        at += 1;
        let mut high = low;
        if pattern.get(at) == Some(&'-') && pattern.get(at + 1).is_some_and(|end| *end != ']') {
            high = *pattern.get(at + 1)?;
            at += 2;
        }
        found |= (low..=high).contains(&letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_the_shell() {
        for (pattern, name) in [
            ("", ""),
            ("*", ""),
            ("a*c", "abbc"),
            ("*-device-*", "net-device-up"),
            ("[2345]", "3"),
            ("[!2345]", "0"),
            ("[]a]", "]"),
            ("[a-c]x", "bx"),
            ("a?c", "abc"),
            ("\\*", "*"),
            ("[a", "[a"),
            ("a[", "a["),
            ("[a-]", "-"),
            ("*a*b*", "xxaxxbxx"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", ""),
            ("a*c", "abcd"),
            ("[!2345]", "3"),
            ("\\*", "a"),
            ("?", ""),
            ("[a-c]", "d"),
            ("a\\", "b"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, &"a".repeat(199)));
        assert!(matches(&pattern, &"a".repeat(400)));
    }
}
