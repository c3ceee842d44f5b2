//! Where a D-Bus peer listens, and how to get a socket to it.
//!
//! Knows D-Bus addresses and sockets. Must never know what is said over the socket.
//!
//! The address is taken apart here rather than by zbus because people (and scripts) read the text that follows a
//! failure, and that text names the socket as libdbus does.

use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

/// The private socket of the system init.
pub const SYSTEM_PRIVATE: &str = "unix:abstract=/com/ubuntu/upstart";

/// Where the system bus listens unless `$DBUS_SYSTEM_BUS_ADDRESS` says otherwise (D-Bus specification, "Well-known
/// Message Bus Instances").
pub const SYSTEM_BUS: &str = "unix:path=/var/run/dbus/system_bus_socket";

/// Why there is no socket to the peer.
#[derive(Debug)]
pub enum AddressError {
    /// The address does not follow the D-Bus specification; the text is the address.
    Malformed(String),
    /// The address is sound but names a transport other than `unix:path=` or `unix:abstract=`.
    Transport(String),
    /// `connect(2)` failed on this socket.
    Connect {
        /// Path, or abstract name without the leading zero byte.
        socket: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(address) => write!(out, "Malformed address: {address}"),
            Self::Transport(address) => write!(out, "Unsupported transport: {address}"),
            Self::Connect { socket, source } => {
                write!(out, "Failed to connect to socket {socket}: {}", strerror(source))
            }
        }
    }
}

impl std::error::Error for AddressError {}

/// The text of an error number alone, as strerror(3) has it, without Rust's "(os error N)".
pub fn strerror(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// A unix socket as an address names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Socket {
    /// A socket in the file system.
    Path(Vec<u8>),
    /// A name in the abstract name space, without the leading zero byte.
    Abstract(Vec<u8>),
}

impl Socket {
    /// Reads the first usable entry of a D-Bus address, which may hold several, separated by `;`.
    ///
    /// # Errors
    /// `Malformed` or `Transport` for the last entry, when no entry is usable.
    pub fn parse(address: &str) -> Result<Self, AddressError> {
        let mut error = AddressError::Malformed(address.to_owned());
        for entry in address.split(';').filter(|entry| !entry.is_empty()) {
            match Self::parse_entry(entry) {
                Ok(socket) => return Ok(socket),
                Err(failure) => error = failure,
            }
        }
        Err(error)
    }

    fn parse_entry(entry: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(entry.to_owned());
        let (transport, pairs) = entry.split_once(':').ok_or_else(malformed)?;
        if transport != "unix" {
            return Err(AddressError::Transport(entry.to_owned()));
        }
        for pair in pairs.split(',') {
            let (key, value) = pair.split_once('=').ok_or_else(malformed)?;
            let value = unescape(value).ok_or_else(malformed)?;
            match key {
                "path" => return Ok(Self::Path(value)),
                "abstract" => return Ok(Self::Abstract(value)),
                _ => {}
            }
        }
        Err(AddressError::Transport(entry.to_owned()))
    }

    /// Connects, waiting while the queue of the listener is full.
    ///
    /// # Errors
    /// `Connect` with the errno of `connect(2)`.
    pub fn connect(&self) -> Result<UnixStream, AddressError> {
        let (name, address) = match self {
            Self::Path(path) => (path, SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))),
            Self::Abstract(name) => (name, SocketAddr::from_abstract_name(name)),
        };
        address
            .and_then(|address| UnixStream::connect_addr(&address))
            .map_err(|source| AddressError::Connect { socket: String::from_utf8_lossy(name).into_owned(), source })
    }
}

/// Undoes the `%xx` escapes of an address value; `None` if one is broken.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut bytes = value.bytes();
    let mut plain = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            plain.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            plain.push(byte);
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_unix_address_are_read() {
        let parse = |text| Socket::parse(text).unwrap();
        assert_eq!(parse("unix:path=/run/a"), Socket::Path(b"/run/a".to_vec()));
        assert_eq!(parse("unix:abstract=/a%20b,guid=00"), Socket::Abstract(b"/a b".to_vec()));
        assert_eq!(parse("tcp:host=x;unix:guid=0,path=/b"), Socket::Path(b"/b".to_vec()));
    }

    #[test]
    fn broken_addresses_are_errors_not_panics() {
        for text in ["", ";", "unix", "unix:", "unix:path", "unix:path=%zz", "unix:path=%1", "tcp:host=x"] {
            assert!(Socket::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refused_socket_is_named_as_libdbus_does() {
        let error = Socket::Abstract(b"/nobody/listens/here".to_vec()).connect().unwrap_err();
        assert_eq!(error.to_string(), "Failed to connect to socket /nobody/listens/here: Connection refused");
    }
}
