//! Names of the D-Bus contract: interfaces, paths, and how a job's name becomes part of a path.
//!
//! Knows spelling only; no connection, no job state.

/// Well-known bus name of the init.
pub const BUS_NAME: &str = "com.ubuntu.Upstart";
/// Path of the manager object.
pub const MANAGER_PATH: &str = "/com/ubuntu/Upstart";
/// Interface of the manager object.
pub const MANAGER: &str = "com.ubuntu.Upstart0_6";
/// Interface of a job class.
pub const JOB: &str = "com.ubuntu.Upstart0_6.Job";
/// Interface of a job instance.
pub const INSTANCE: &str = "com.ubuntu.Upstart0_6.Instance";
/// The standard interface for properties.
pub const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Path of Stayup's own object, beside the contract.
pub const STAYUP_PATH: &str = "/stayup";
/// Interface of Stayup's own object.
pub const STAYUP: &str = "stayup.Init1";
/// Error of a class that has no such instance.
pub const UNKNOWN_INSTANCE: &str = "com.ubuntu.Upstart0_6.Error.UnknownInstance";

/// The name of the class whose object path this is, or `None` if it is no path of a class.
pub fn class_name(path: &str) -> Option<String> {
    let element = path.strip_prefix(MANAGER_PATH)?.strip_prefix("/jobs/")?;
    unescape(element)
}

/// Undoes the escapes of one path element (`_2d` for `-`; a lone `_` is the empty name).
fn unescape(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut bytes = element.bytes();
    let mut plain = Vec::with_capacity(element.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'_' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                plain.push(u8::from_str_radix(digits, 16).ok()?);
            }
            b'/' => return None,
            _ => plain.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_paths_give_their_names_back() {
        let name = |element: &str| class_name(&format!("/com/ubuntu/Upstart/jobs/{element}"));
        assert_eq!(name("plain").as_deref(), Some("plain"));
        assert_eq!(name("dir_2fjob").as_deref(), Some("dir/job"));
        assert_eq!(name("under_5fscore").as_deref(), Some("under_score"));
        assert_eq!(name("_").as_deref(), Some(""));
        assert_eq!(name("job/_"), None);
        assert_eq!(name("a_2"), None);
        assert_eq!(name("a_zz"), None);
        assert_eq!(class_name("/com/ubuntu/Upstart"), None);
    }
}
