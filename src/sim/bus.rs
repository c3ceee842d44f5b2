//! Clients and their connections, as the manager's D-Bus side has them: a call stays with its connection until the turn
//! that took it is in the journal, and connections outlive managers when the keeper holds them.

use std::collections::{BTreeMap, VecDeque};

use machine::effect::{Announcement, Caller};
use machine::input::Call;

/// The keeper's name for a client's connection, as the manager gives it.
#[must_use]
pub fn held_name(connection: u64) -> String {
    format!("dbus:{connection}")
}

/// One client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Calls that were not taken yet.
    pub calls: VecDeque<(u32, Call)>,
    /// Replies that are on their way because the client does not read.
    pub unsent: VecDeque<(u64, Announcement)>,
    /// It does not read.
    pub is_slow: bool,
    /// The manager has not looked at it since it came back: the call in front may have been taken already.
    pub is_resumed: bool,
    serial: u32,
}

/// All clients.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    /// By connection.
    pub clients: BTreeMap<u64, Client>,
    /// Connections that the manager has not heard of: clients that have come, and that have gone.
    pub opened: u32,
    /// See there.
    pub closed: VecDeque<u64>,
    /// Announcements of this turn.
    pub unpushed: VecDeque<(u64, Announcement)>,
}

impl Bus {
    /// A client calls.
    pub fn call(&mut self, connection: u64, call: Call) -> Option<Caller> {
        let client = self.clients.get_mut(&connection)?;
        client.serial += 1;
        client.calls.push_back((client.serial, call));
        Some(Caller { connection, serial: client.serial, sender: None })
    }

    /// A connection whose next call can be looked at, the first of them after this one.
    #[must_use]
    pub fn with_call_after(&self, connection: u64) -> Option<u64> {
        let mut with = self.clients.iter().filter(|(_, client)| !client.calls.is_empty()).map(|(number, _)| *number);
        let first = with.clone().next();
        with.find(|number| *number > connection).or(first)
    }

    /// The manager has died: what it had not sent is lost with it, and connections that nobody holds are cut off. Returns
    /// those.
    pub fn manager_died(&mut self, is_held: impl Fn(&str) -> bool) -> Vec<u64> {
        self.unpushed.clear();
        let cut: Vec<u64> = self.clients.keys().copied().filter(|number| !is_held(&held_name(*number))).collect();
        for number in &cut {
            self.clients.remove(number);
        }
        for client in self.clients.values_mut() {
            client.unsent.clear();
            client.is_resumed = true;
        }
        cut
    }
}
