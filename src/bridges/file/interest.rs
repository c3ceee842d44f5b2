//! Which files jobs wait for: the `file` events in their conditions.
//!
//! Knows conditions and spelling; no file is looked at here.

use std::path::{Path, PathBuf};

use control::condition::{Condition, Event};
use control::glob;
use control::remote::ClassEvents;

/// What happened to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It is there now.
    Create,
    /// It was written and closed, or replaced.
    Modify,
    /// It is gone.
    Delete,
}

impl Change {
    /// The value of `EVENT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Modify => "modify",
            Self::Delete => "delete",
        }
    }
}

/// One `file` event in one condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interest {
    /// `FILE` as it is written.
    pub file: String,
    /// The pattern for `EVENT`, and whether it must match; without one, all changes count.
    event: Option<(String, bool)>,
}

impl Interest {
    /// All interests of a class.
    pub fn of_class(class: &ClassEvents) -> Vec<Self> {
        let mut interests = Vec::new();
        for notation in [&class.start_on, &class.stop_on] {
            // Notation that makes no sense is the init's fault, and nothing can be read from it.
            if let Ok(Some(condition)) = Condition::parse(notation) {
                interests.extend(condition.events().into_iter().filter_map(Self::of_event));
            }
        }
        interests
    }

    fn of_event(event: &Event) -> Option<Self> {
        if event.name() != "file" {
            return None;
        }
        let (mut file, mut change) = (None, None);
        for (index, argument) in event.arguments().iter().enumerate() {
            match (argument.split_once('='), index) {
                (Some(("FILE", value)), _) => file = Some(value.to_owned()),
                (Some(("EVENT", value)), _) => change = Some((value.to_owned(), true)),
                (Some(("EVENT!", value)), _) => change = Some((value.to_owned(), false)),
                (None, 0) => file = Some(argument.clone()),
                (None, 1) => change = Some((argument.clone(), true)),
                _ => {}
            }
        }
        Some(Self { file: file?, event: change })
    }

    /// Whether this change can make the condition true.
    pub fn wants(&self, change: Change) -> bool {
        match &self.event {
            None => true,
            Some((pattern, positive)) => glob::matches(pattern, change.name()) == *positive,
        }
    }
}

/// `FILE` taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// The directory that holds the file.
    pub directory: PathBuf,
    /// The last part of the path, which may be a pattern.
    pub name: String,
}

impl Target {
    /// Where to look for a `FILE`; `~/` is the home directory. `None` for what is no absolute path, or is known to the
    /// init alone (`$VARIABLE`).
    pub fn of(file: &str, home: Option<&Path>) -> Option<Self> {
        let path = match (file.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => format!("{}/{rest}", home.display()),
            _ => file.to_owned(),
        };
        if !path.starts_with('/') || path.contains('$') {
            return None;
        }
        let path = path.trim_end_matches('/');
        let (directory, name) = path.rsplit_once('/')?;
        let directory = if directory.is_empty() { "/" } else { directory };
        Some(Self { directory: PathBuf::from(directory), name: name.to_owned() })
    }

    /// Whether `FILE` stands for many files, so that `MATCH` must tell which one it was.
    pub fn is_pattern(&self) -> bool {
        glob::is_pattern(&self.name)
    }

    /// Whether a file of this name in the directory is meant. As in the shell, a pattern does not match a leading dot.
    pub fn fits(&self, name: &str) -> bool {
        if !self.is_pattern() {
            return self.name == name;
        }
        (!name.starts_with('.') || self.name.starts_with('.')) && glob::matches(&self.name, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interests(condition: &str) -> Vec<Interest> {
        let start_on = condition.split(" | ").map(|entry| entry.split(' ').map(str::to_owned).collect()).collect();
        Interest::of_class(&ClassEvents { start_on, ..ClassEvents::default() })
    }

    #[test]
    fn interests_are_found_anywhere_in_a_condition() {
        let found = interests("startup | file FILE=/a EVENT=create | /OR | file FILE=/b | /AND");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].file, "/a");
        assert!(found[0].wants(Change::Create) && !found[0].wants(Change::Delete));
        assert!(found[1].wants(Change::Create) && found[1].wants(Change::Modify));
        assert!(!interests("file /c EVENT!=delete")[0].wants(Change::Delete));
        assert!(interests("file /c [cm]*")[0].wants(Change::Modify));
        assert_eq!(interests("file EVENT=create | net-up FILE=/x | /OR"), []);
    }

    #[test]
    fn paths_are_absolute_or_below_home() {
        let target = |file: &str| Target::of(file, Some(Path::new("/home/me")));
        let parts = |file: &str| target(file).map(|found| (found.directory, found.name));
        assert_eq!(parts("/a/b"), Some((PathBuf::from("/a"), "b".to_owned())));
        assert_eq!(parts("/b"), Some((PathBuf::from("/"), "b".to_owned())));
        assert_eq!(parts("~/x/*.y"), Some((PathBuf::from("/home/me/x"), "*.y".to_owned())));
        for file in ["", "/", "a/b", "$HOME/x", "~me/x"] {
            assert_eq!(parts(file), None, "{file}");
        }
        let pattern = target("/a/*.txt").unwrap();
        assert!(pattern.fits("a.txt") && !pattern.fits(".txt") && !pattern.fits("a.dat"));
    }
}
