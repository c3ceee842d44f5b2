//! D-Bus addresses of sockets on this machine (D-Bus specification, "Server Addresses"). Knows no network transport:
//! init speaks to local buses only.

use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

/// The well-known address of the system bus, `$DBUS_SYSTEM_BUS_ADDRESS` or the standard places.
#[must_use]
pub fn system_bus_address() -> String {
    std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|_| {
        "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket".to_owned()
    })
}

/// The session bus that the environment names.
#[must_use]
pub fn session_bus_address() -> Option<String> {
    std::env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|address| !address.is_empty())
}

/// The sockets an address names, in order; transports other than `unix:path` and `unix:abstract` are passed over.
pub(super) fn sockets(address: &str) -> Vec<UnixAddr> {
    address.split(';').filter_map(socket).collect()
}

fn socket(address: &str) -> Option<UnixAddr> {
    let pairs = address.strip_prefix("unix:")?;
    pairs.split(',').find_map(|pair| match pair.split_once('=')? {
        ("path", value) => made(UnixAddr::new(unquote(value)?.as_slice())),
        ("abstract", value) => made(UnixAddr::new_abstract(&unquote(value)?)),
        _ => None,
    })
}

/// A socket as people write it: its path, or its abstract name.
pub(super) fn text(address: &UnixAddr) -> String {
    let path = address.path().map(|path| path.display().to_string());
    path.or_else(|| address.as_abstract().map(|name| String::from_utf8_lossy(name).into_owned())).unwrap_or_default()
}

fn made(address: Result<UnixAddr, Errno>) -> Option<UnixAddr> {
    address.ok()
}

/// Undoes `%41`.
fn unquote(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_local_address_is_understood() {
        let found = sockets("tcp:host=x;unix:guid=1,path=/run/a%20b;unix:abstract=/x,guid=00;unix:tmpdir=/tmp");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].path().unwrap().to_str().unwrap(), "/run/a b");
        assert_eq!(found[1].as_abstract().unwrap(), b"/x");
        assert!(sockets("").is_empty());
        assert!(sockets("unix:path=%4").is_empty());
    }
}
