//! Connections that an earlier manager had, under the names that the keeper holds them by.

use std::os::fd::OwnedFd;

use super::connection::{Connection, End, Role, Step};
use super::{BUS, Dbus, socket};

/// What the keeper's names of clients begin with; the connection number follows.
const CLIENT: &str = "dbus:";
/// What its name of the bus connection begins with; connection number and unique name follow.
const BUS_CONNECTION: &str = "dbus-bus:";

/// A name of the keeper's, read.
enum Name<'a> {
    Client(u64),
    Bus(u64, &'a str),
}

fn read(name: &str) -> Option<Name<'_>> {
    let number = |text: &str| text.parse().ok().filter(|&number: &u64| number < BUS);
    if let Some(text) = name.strip_prefix(CLIENT) {
        return Some(Name::Client(number(text)?));
    }
    let (text, unique) = name.strip_prefix(BUS_CONNECTION)?.split_once(':')?;
    Some(Name::Bus(number(text)?, unique))
}

/// The number of a connection that is held under this name; none for what is no connection.
#[must_use]
pub fn connection_number(name: &str) -> Option<u64> {
    match read(name)? {
        Name::Client(number) | Name::Bus(number, _) => Some(number),
    }
}

/// The keeper's name for a client.
pub(super) fn client_name(number: u64) -> String {
    format!("{CLIENT}{number}")
}

/// The keeper's name for the connection to a bus.
pub(super) fn bus_name(number: u64, unique: &str) -> String {
    format!("{BUS_CONNECTION}{number}:{unique}")
}

impl Dbus {
    /// Takes over a connection; gives back what is none.
    pub(super) fn resume_one(&mut self, name: String, socket: OwnedFd) -> Option<(String, OwnedFd)> {
        let (number, role) = match read(&name) {
            None => return Some((name, socket)),
            Some(Name::Client(number)) => match self.role_of(&socket) {
                Ok(role) => (number, role),
                Err(_) => return Some((name, socket)),
            },
            Some(Name::Bus(number, unique)) => {
                let address = socket::peer_address(&socket);
                let other = self.bus.resume(number, unique.to_owned(), address);
                if let Some(other) = other.and_then(|other| self.connections.remove(&other)) {
                    self.settle(other, Err(End::Closed));
                }
                (number, Role::Bus)
            }
        };
        self.next_connection = self.next_connection.max(number + 1);
        let mut connection = Connection::resumed(number, name, socket, role);
        if matches!(role, Role::Client { .. }) {
            self.settle_root(&mut connection);
        }
        match self.poll.add(&connection.socket, number) {
            Ok(()) => self.settle(connection, Ok(Step::Nothing)),
            Err(error) => self.settle(connection, Err(error.into())),
        }
        None
    }
}
