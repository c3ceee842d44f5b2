//! Object paths: names of classes and instances in them, and back. Knows nothing of which of them exist.

/// Path of the manager's object.
pub(super) const MANAGER: &str = "/com/ubuntu/Upstart";
/// Path of Stayup's own object.
pub(super) const INIT: &str = "/stayup";
/// Node below the manager's that has the classes.
const JOBS: &str = "/com/ubuntu/Upstart/jobs";

/// Appends a path element: every byte that is not ASCII alphanumeric is `_` and two lower-case hex digits, nothing at all
/// is `_`.
fn push_escaped(path: &mut Vec<u8>, name: &str) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if name.is_empty() {
        path.push(b'_');
    }
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(byte);
        } else {
            path.extend([b'_', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// The path of an object, by what it is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    /// The manager.
    Manager,
    /// A class, by its name.
    Class(&'a str),
    /// An instance, by the names of its class and its own.
    Instance(&'a str, &'a str),
}

impl Path<'_> {
    /// Appends it.
    pub(super) fn write(self, to: &mut Vec<u8>) {
        let (class, instance) = match self {
            Self::Manager => return to.extend(MANAGER.as_bytes()),
            Self::Class(class) => (class, None),
            Self::Instance(class, instance) => (class, Some(instance)),
        };
        to.extend(JOBS.as_bytes());
        for name in std::iter::once(class).chain(instance) {
            to.push(b'/');
            push_escaped(to, name);
        }
    }

    fn text(self) -> String {
        let mut path = Vec::with_capacity(JOBS.len() + 32);
        self.write(&mut path);
        ascii(path)
    }
}

/// What was escaped is ASCII.
fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// A name as a path element.
pub(super) fn escape(name: &str) -> String {
    let mut element = Vec::with_capacity(name.len() + 8);
    push_escaped(&mut element, name);
    ascii(element)
}

/// The reverse of [`escape`]; none for what it never makes.
pub(super) fn unescape(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(element.len());
    let mut rest = element.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'_' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty() && escape(&name) == element).then_some(name)
}

/// Path of a class.
pub(super) fn class(name: &str) -> String {
    Path::Class(name).text()
}

/// Path of an instance.
pub(super) fn instance(class_name: &str, name: &str) -> String {
    Path::Instance(class_name, name).text()
}

/// What a path stands for, if it is well-formed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/`, `/com` or `/com/ubuntu`: the next element on the way down.
    Above(&'static [&'static str]),
    Manager,
    /// The node that has the classes as children.
    Jobs,
    Class(String),
    Instance(String, String),
    Init,
}

/// Reads a path.
pub(super) fn place(path: &str) -> Option<Place> {
    Some(match path {
        "/" => Place::Above(&["com", "stayup"]),
        "/com" => Place::Above(&["ubuntu"]),
        "/com/ubuntu" => Place::Above(&["Upstart"]),
        MANAGER => Place::Manager,
        JOBS => Place::Jobs,
        INIT => Place::Init,
        _ => {
            let below = path.strip_prefix(JOBS)?.strip_prefix('/')?;
            match below.split_once('/') {
                None => Place::Class(unescape(below)?),
                Some((class, instance)) => Place::Instance(unescape(class)?, unescape(instance)?),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_those_of_the_contract() {
        assert_eq!(class("dir/job"), "/com/ubuntu/Upstart/jobs/dir_2fjob");
        assert_eq!(instance("a b", ""), "/com/ubuntu/Upstart/jobs/a_20b/_");
        assert_eq!(instance("under_score", ".."), "/com/ubuntu/Upstart/jobs/under_5fscore/_2e_2e");
        assert_eq!(escape("_"), "_5f");
    }

    proptest! {
        #[test]
        fn escaping_round_trip(class_name in ".{0,20}", name in ".{0,20}") {
            let path = instance(&class_name, &name);
            prop_assert!(zbus::ObjectPath::try_from(path.as_str()).is_ok());
            prop_assert_eq!(place(&path), Some(Place::Instance(class_name.clone(), name)));
            prop_assert_eq!(place(&class(&class_name)), Some(Place::Class(class_name)));
        }

        #[test]
        fn no_two_paths_mean_the_same(element in "[a-zA-Z0-9_]{0,12}") {
            if let Some(name) = unescape(&element) {
                prop_assert_eq!(escape(&name), element);
            }
        }
    }
}
