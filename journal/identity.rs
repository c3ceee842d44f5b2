//! Which run of which machine a journal belongs to. Knows two files of /proc, and nothing of what follows from a difference.

use std::fmt;
use std::io;

/// A boot of the kernel and a pid namespace in it: within one identity a pid means the same process to writer and reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// The kernel's boot id, a random UUID (random(4): /proc/sys/kernel/random/boot_id).
    pub boot_id: [u8; 16],
    /// Inode number of /proc/self/ns/pid (namespaces(7)).
    pub pid_namespace: u64,
}

impl Identity {
    /// Reads the identity of the running kernel and of this process.
    ///
    /// # Errors
    /// When /proc is not mounted, or when the boot id is not a UUID.
    pub fn of_this_system() -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let boot_id = parse_uuid(text.trim()).ok_or_else(|| {
            let reason = "/proc/sys/kernel/random/boot_id is not a UUID";
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?;
        let pid_namespace = std::fs::metadata("/proc/self/ns/pid")?.ino();
        Ok(Self { boot_id, pid_namespace })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot {:032x}, pid namespace {}", u128::from_be_bytes(self.boot_id), self.pid_namespace)
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || digits.bytes().any(|b| !b.is_ascii_hexdigit()) {
        return None;
    }
    Some(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_id_keeps_the_order_of_its_digits() {
        let id = parse_uuid("00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(id, Some(std::array::from_fn(|i| i as u8)));
        assert_eq!(parse_uuid("not a uuid"), None);
        assert_eq!(parse_uuid("+0010203-0405-0607-0809-0a0b0c0d0e0f"), None);
    }

    #[test]
    fn this_system_has_one_identity() {
        let first = Identity::of_this_system().expect("/proc is mounted");
        assert_eq!(first, Identity::of_this_system().expect("still mounted"));
        assert_ne!(first.boot_id, [0; 16]);
    }
}
