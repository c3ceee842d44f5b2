//! Clients of the private socket: who gets in, and how many.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

use machine::effect::Priority;

use super::connection::{Connection, End, Phase, Role, Step};
use super::resume::client_name;
use super::{Dbus, Incoming, LISTENER, auth, socket};

/// All clients together.
const CLIENTS: usize = 512;
/// Clients of users who may only read, so that they leave room for others.
const ORDINARY_CLIENTS: usize = 256;
/// Clients of one such user.
const CLIENTS_OF_ONE: usize = 64;
/// So many are accepted before others have their turn.
const ACCEPTED_AT_ONCE: u32 = 16;
/// So long a client may take to say who it is.
const GREETING: Duration = Duration::from_secs(10);
/// So long nobody is accepted when there are too many open files.
const PAUSE: Duration = Duration::from_millis(200);
/// More than any client says before its first message.
const GREETING_BYTES: usize = 4096;

/// A random name for this server, as the protocol wants one.
pub(super) fn guid() -> String {
    // Each of them is seeded by the kernel's random numbers.
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

impl Dbus {
    /// Accepts clients.
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, _)) => self.admit(stream.into()),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        self.complain(format!("D-Bus clients cannot be accepted: {error}"));
                        self.set_timer(Instant::now() + PAUSE, LISTENER);
                        return;
                    }
                },
            }
        }
        self.ready.push_back(LISTENER);
    }

    /// Who a client is.
    pub(super) fn role_of(&self, socket: &OwnedFd) -> io::Result<Role> {
        let (uid, _) = socket::credentials(socket.as_fd())?;
        Ok(Role::Client { uid, is_privileged: uid == 0 || uid == self.config.own_uid })
    }

    /// User, pid and program of the client at the other end of a connection; none for a bus. Looked up once, for the first
    /// of its calls: procfs waits for no disk, but it is not for nothing.
    #[must_use]
    pub fn peer(&self, connection: u64) -> Option<&(u32, i32, String)> {
        let connection = self.connections.get(&connection)?;
        let look = || {
            let (uid, pid) = socket::credentials(connection.socket.as_fd()).ok()?;
            let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            Some((uid, pid, program.trim_end().to_owned()))
        };
        let is_client = matches!(connection.role, Role::Client { .. });
        if is_client { connection.peer.get_or_init(look).as_ref() } else { None }
    }

    fn admit(&mut self, socket: OwnedFd) {
        let Ok(role @ Role::Client { uid, is_privileged }) = self.role_of(&socket) else { return };
        if !self.has_place(uid, is_privileged) {
            if is_privileged {
                let text = format!("refused a D-Bus client of user {uid}: there are too many");
                self.events.push_back(Incoming::Log(Priority::Warn, text));
            } else {
                self.complain(format!("refused a D-Bus client of user {uid}: there are too many"));
            }
            return;
        }
        let number = self.next_connection;
        self.next_connection += 1;
        let mut connection = Connection::new(number, socket, role, Phase::Server(auth::Server::new(uid)));
        connection.deadline = Some(Instant::now() + GREETING);
        connection.awaits_jobs = self.awaits_jobs;
        self.settle_root(&mut connection);
        let result = self.poll.add(&connection.socket, number);
        self.settle(connection, result.map(|()| Step::Nothing).map_err(End::from));
    }

    /// Finds out which root a client lives in. Its calls wait until the job files of that root have been read.
    pub(super) fn settle_root(&mut self, connection: &mut Connection) {
        if !self.config.has_chroot_sessions {
            return;
        }
        connection.root = socket::credentials(connection.socket.as_fd()).ok().and_then(|(_, pid)| root_of(pid));
        let Some(root) = connection.root.as_ref().filter(|root| !self.roots.contains(*root)) else { return };
        connection.awaits_jobs = true;
        self.events.push_back(Incoming::Root(root.clone()));
    }

    fn has_place(&self, uid: u32, is_privileged: bool) -> bool {
        let (mut all, mut ordinary, mut own) = (0, 0, 0);
        for connection in self.connections.values() {
            if let Role::Client { uid: other, is_privileged } = connection.role {
                all += 1;
                ordinary += usize::from(!is_privileged);
                own += usize::from(other == uid);
            }
        }
        all < CLIENTS && (is_privileged || (ordinary < ORDINARY_CLIENTS && own < CLIENTS_OF_ONE))
    }

    /// Hears a client say who it is.
    pub(super) fn greet_client(&mut self, connection: &mut Connection) -> Result<Step, End> {
        let seen = connection.look(&mut self.scratch[..GREETING_BYTES])?;
        let Phase::Server(server) = &mut connection.phase else { return Ok(Step::Nothing) };
        let mut answer = Vec::new();
        let (used, progress) = server.feed(&self.scratch[..seen], &self.guid, &mut answer);
        socket::consume(&connection.socket, used, &mut self.scratch)?;
        say(connection, &answer)?;
        match progress {
            auth::Progress::Going => connection.is_readable = seen == GREETING_BYTES,
            auth::Progress::Failed => return Err(End::Misbehaved("it did not say who it is")),
            auth::Progress::Done => {
                connection.phase = Phase::Open;
                connection.deadline = None;
                connection.is_readable = true;
                connection.name = client_name(connection.number);
                self.dirty.insert(connection.number);
            }
        }
        Ok(Step::Nothing)
    }
}

/// The root of a process, if it is another one than ours (proc_pid_root(5)). That of a mount namespace of its own looks like
/// ours: there, names mean nothing to us. A process that is gone, or in a root that was removed, has none.
fn root_of(pid: i32) -> Option<String> {
    let root = std::fs::read_link(format!("/proc/{pid}/root")).ok()?;
    let root = root.to_str()?;
    (root.starts_with('/') && root != "/" && !root.contains("//") && Path::new(root).is_dir()).then(|| root.to_owned())
}

/// Writes a few bytes of the exchange before the first message, for which there is always room.
pub(super) fn say(connection: &Connection, bytes: &[u8]) -> Result<(), End> {
    if bytes.is_empty() {
        return Ok(());
    }
    match socket::write(&connection.socket, bytes)? {
        Some(sent) if sent == bytes.len() => Ok(()),
        _ => Err(End::Misbehaved("it does not read what it is sent")),
    }
}
