//! Names in another root: jobs and events of a chroot session.
//!
//! A process that has changed its root (chroot(2)) and talks to the system init has a session of its own there: its jobs
//! come from that root's directories and run in it, and its events are for them alone. In the state such a class or event
//! is called `ROOT//NAME`, so that no two sessions can be mixed up; whoever is inside knows it by its name. A root is an
//! absolute path without `//`, and no job file makes a name that begins with a slash.

use alloc::string::String;

/// Parts a name into the root, if it is in another one, and what it is called there.
#[must_use]
pub fn split(name: &str) -> (Option<&str>, &str) {
    // Asked of every name, many times a turn; hardly one begins so.
    if !name.starts_with('/') {
        return (None, name);
    }
    match name.split_once("//") {
        Some((root, inner)) if !root.is_empty() => (Some(root), inner),
        _ => (None, name),
    }
}

/// The root of a name; none is init's own.
#[must_use]
pub fn of(name: &str) -> Option<&str> {
    split(name).0
}

/// What it is called in its root.
#[must_use]
pub fn bare(name: &str) -> &str {
    split(name).1
}

/// The name of what is called so in a root.
#[must_use]
pub fn within(root: Option<&str>, name: &str) -> String {
    match root {
        Some(root) => [root, "//", name].concat(),
        None => name.into(),
    }
}

/// Whether an event is shown to a class: one from another root only to those of that root, any other one to all.
#[must_use]
pub fn reaches(event: &str, class: &str) -> bool {
    of(event).is_none_or(|root| of(class) == Some(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_was_made_of() {
        for (root, name) in [(None, "net/web"), (Some("/srv/a"), "net/web"), (Some("/a"), "/x//y"), (None, "a//b")] {
            let whole = within(root, name);
            assert_eq!(split(&whole), (root, name), "{whole}");
        }
    }

    #[test]
    fn events_of_a_root_stay_in_it() {
        assert!(reaches("runlevel", "/a//web") && reaches("runlevel", "web") && reaches("/a//up", "/a//web"));
        assert!(!reaches("/a//up", "web") && !reaches("/a//up", "/ab//web"));
    }
}
