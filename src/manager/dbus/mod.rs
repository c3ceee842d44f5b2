//! The manager's D-Bus side: a private server for clients, and a name on a bus.
//!
//! Joins method calls with the machine: calls that only read are answered in here from the state, calls that change
//! something are handed to the main loop ([`Incoming`]), and what the machine announces goes out as replies and signals.
//! zbus reads and writes the messages; the transport is our own, because connections outlive this process and every call
//! must be carried out once (see `connection`). Must never decide anything about jobs.
//!
//! One file for each interface: `upstart`, `job`, `instance`, `init1`, `standard`; `objects` is the tree they are in.

mod address;
mod admit;
mod announce;
mod auth;
mod bus;
mod connection;
mod init1;
mod instance;
mod interface;
mod job;
mod objects;
mod outbox;
mod path;
mod plain;
mod poll;
mod resume;
mod serve;
mod socket;
mod standard;
mod state_json;
mod upstart;
mod wire;

pub use address::{session_bus_address, system_bus_address};
pub use resume::connection_number;

use machine::effect::{Caller, Priority};
use machine::input::Call;
use machine::state::State;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;
use tokio::time::Instant;

use self::announce::News;
use self::connection::{Connection, End, Hold, LOOK_BYTES, Role, Step};
use self::interface::Refusal;
use self::plain::Bytes;
use self::poll::Poll;

/// What does not change while a manager lives.
#[derive(Clone, Debug)]
pub struct DbusConfig {
    /// The effective user of this init; it may do everything, as root may.
    pub own_uid: u32,
    /// Whether this is a session's init. Everybody on its bus may do everything, the bus admits nobody else; a system
    /// bus is asked who each caller is.
    pub is_session: bool,
    /// Whether this init may exit: that of a session or a container.
    pub may_exit: bool,
    /// Version of Stayup, for `stayup.Init1`.
    pub version: String,
    /// Whether clients that have another root have a session of their own there.
    pub has_chroot_sessions: bool,
    /// The bus to be on, as a D-Bus address; see [`system_bus_address`] and [`session_bus_address`].
    pub bus_address: Option<String>,
}

/// What clients may see that is not in the machine's state.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Where job files are read from.
    pub sources: Vec<Source>,
    /// The property LastRecovery, and what the signal Recovered says.
    pub recovery: Vec<(String, Detail)>,
}

/// A directory of job files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The directory.
    pub path: String,
    /// The job files and overrides found in it, with full paths.
    pub files: Vec<String>,
}

/// A value in [`View::recovery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// D-Bus type `s`.
    Text(String),
    /// D-Bus type `t`.
    Number(u64),
    /// D-Bus type `b`.
    Flag(bool),
}

/// What concerns the main loop.
#[derive(Debug)]
pub enum Incoming {
    /// A connection is open; the keeper is to hold the descriptor under the name.
    Opened {
        /// Its number.
        connection: u64,
        /// The keeper's name for it.
        name: String,
        /// A duplicate of its socket.
        descriptor: OwnedFd,
    },
    /// A connection has ended; the machine is to know, and the keeper is to release the name.
    Closed {
        /// Its number.
        connection: u64,
        /// The keeper's name for it.
        name: String,
    },
    /// The keeper is to hold the connection again after a [`Incoming::Release`].
    Hold {
        /// Its number.
        connection: u64,
        /// The keeper's name for it.
        name: String,
        /// A duplicate of its socket.
        descriptor: OwnedFd,
    },
    /// The keeper is to release the name, because a message is coming or going that a crash would cut in half. Must be
    /// told to the keeper before [`Dbus::next`] is called again.
    Release {
        /// Its number.
        connection: u64,
        /// The keeper's name for it.
        name: String,
    },
    /// A call for the machine. When it is in the journal, [`Dbus::done`] is to be called.
    Call {
        /// Who called.
        caller: Caller,
        /// What is called.
        call: Call,
        /// The descriptor of EmitEventWithFile; the call does not name it yet.
        file: Option<OwnedFd>,
    },
    /// A call for the main loop, by somebody who may. [`Dbus::reply`] is to be called.
    Control {
        /// Who called.
        caller: Caller,
        /// What is called.
        control: Control,
    },
    /// A client lives in this root, whose job files have not been read yet; [`Dbus::jobs_are_read`] is to be called when
    /// they are.
    Root(String),
    /// A line for the log.
    Log(Priority, String),
}

/// Calls that the machine does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Read the job directories again.
    ReloadConfiguration,
    /// The log directory can be written now.
    NotifyDiskWriteable,
    /// There is a session bus at this address (sessions only); see [`Dbus::set_bus_address`].
    NotifyDBusAddress(String),
    /// There is a cgroup manager at this address.
    NotifyCGroupManagerAddress(String),
}

/// Why a [`Control`] was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// There is no way to reach a cgroup manager at this address.
    CGroupManagerNotAvailable(String),
    /// The address is none that can be connected to.
    BadAddress(String),
    /// Nobody listens there: the socket, and why it cannot be connected to.
    Unreachable(String, nix::errno::Errno),
    /// Somebody listens there, but init cannot have its name: why.
    NoName(String),
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CGroupManagerNotAvailable(address) => write!(f, "There is no cgroup manager at {address}"),
            Self::BadAddress(address) => write!(f, "Not an address of a socket on this machine: {address}"),
            Self::Unreachable(socket, errno) => write!(f, "Failed to connect to socket {socket}: {}", errno.desc()),
            Self::NoName(reason) => write!(f, "Failed to get a name on the bus: {reason}"),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<&ControlError> for Refusal {
    fn from(error: &ControlError) -> Self {
        let name = match error {
            ControlError::CGroupManagerNotAvailable(_) => "com.ubuntu.Upstart0_6.Error.CGroupManagerNotAvailable",
            ControlError::BadAddress(_) => "org.freedesktop.DBus.Error.InvalidArgs",
            ControlError::Unreachable(..) => "org.freedesktop.DBus.Error.NoServer",
            ControlError::NoName(_) => "org.freedesktop.DBus.Error.Failed",
        };
        Self { name, text: error.to_string() }
    }
}

/// Numbers that are no connection's.
const LISTENER: u64 = u64::MAX;
const BUS: u64 = u64::MAX - 1;

/// So many connections are served before the rest of the manager has its turn.
const SERVED_AT_ONCE: u32 = 64;

/// All connections.
pub struct Dbus {
    config: DbusConfig,
    guid: String,
    poll: Poll,
    listener: Option<UnixListener>,
    connections: BTreeMap<u64, Box<Connection>>,
    next_connection: u64,
    /// Those that may have something to read, in the order in which they have their turn.
    ready: VecDeque<u64>,
    /// Those that have something to send.
    dirty: BTreeSet<u64>,
    events: VecDeque<Incoming>,
    /// Deadlines; those that do not count any more are recognized when they come.
    timers: BTreeSet<(Instant, u64)>,
    bus: bus::Bus,
    view: View,
    news: News,
    /// Counts the calls of `next`: what was returned from an earlier one has been done by the main loop.
    visit: u64,
    /// For reading and writing; nothing in it outlives a call.
    scratch: Box<[u8]>,
    /// Clients turned away, to log fewer of them the more there are.
    refused: u64,
    /// Other roots whose job files have been read.
    roots: BTreeSet<String>,
    /// Our own job files have not been read yet.
    awaits_jobs: bool,
}

impl Dbus {
    /// Without any connection yet. `next_connection` must be above every number that the machine's state or the keeper
    /// knows. Must be called in a tokio runtime with time enabled.
    ///
    /// # Errors
    /// When the kernel has no descriptor to spare.
    pub fn new(config: DbusConfig, next_connection: u64) -> io::Result<Self> {
        let bus = bus::Bus::new(config.bus_address.clone());
        let mut dbus = Self {
            guid: admit::guid(),
            poll: Poll::new()?,
            listener: None,
            connections: BTreeMap::new(),
            next_connection,
            ready: VecDeque::new(),
            dirty: BTreeSet::new(),
            events: VecDeque::new(),
            timers: BTreeSet::new(),
            bus,
            view: View::default(),
            news: News::default(),
            visit: 0,
            scratch: vec![0; LOOK_BYTES].into_boxed_slice(),
            refused: 0,
            roots: BTreeSet::new(),
            awaits_jobs: false,
            config,
        };
        dbus.reconnect_bus();
        Ok(dbus)
    }

    /// Accepts clients of the private server from this socket.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    pub fn listen(&mut self, listener: UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.poll.add(&listener, LISTENER)?;
        self.listener = Some(listener);
        self.ready.push_back(LISTENER);
        Ok(())
    }

    /// Takes over connections that an earlier manager had, under the names it gave to the keeper. Returns what is no
    /// connection of its kind. To be called before [`Dbus::next`].
    pub fn resume(&mut self, held: Vec<(String, OwnedFd)>) -> Vec<(String, OwnedFd)> {
        held.into_iter().filter_map(|(name, socket)| self.resume_one(name, socket)).collect()
    }

    /// The connections that messages can come from and go to.
    #[must_use]
    pub fn connections(&self) -> Vec<u64> {
        self.connections
            .values()
            .filter(|connection| connection.listens())
            .map(|connection| connection.number)
            .collect()
    }

    /// What clients may see besides the machine's state, to be kept up to date.
    pub fn view_mut(&mut self) -> &mut View {
        &mut self.view
    }

    /// The next thing that concerns the main loop. Calls that only read are answered in here. Cancel-safe.
    pub async fn next(&mut self, state: &State) -> Incoming {
        self.visit += 1;
        let mut left = SERVED_AT_ONCE;
        loop {
            if let Some(incoming) = self.pop_event() {
                return incoming;
            }
            self.push();
            if !self.events.is_empty() {
                continue;
            }
            match self.ready.pop_front() {
                Some(LISTENER) => self.accept(),
                Some(number) => self.serve(number, state),
                None => {
                    self.wait(None).await;
                    continue;
                }
            }
            left -= 1;
            if left == 0 {
                tokio::task::yield_now().await;
                left = SERVED_AT_ONCE;
            }
        }
    }

    /// Our own job files have not been read yet: nobody is heard until they are, who would be told that there is no job.
    pub fn await_jobs(&mut self) {
        self.awaits_jobs = true;
        for connection in self.connections.values_mut() {
            connection.awaits_jobs = connection.role != Role::Asker;
        }
    }

    /// Whether clients wait for our job files.
    #[must_use]
    pub fn awaits_jobs(&self) -> bool {
        self.awaits_jobs
    }

    /// The job files have been read, also those of these other roots: clients that live there are heard from now on.
    pub fn jobs_are_read(&mut self, roots: &BTreeSet<String>) {
        self.awaits_jobs = false;
        self.roots.extend(roots.iter().cloned());
        for connection in self.connections.values_mut().filter(|connection| connection.awaits_jobs) {
            connection.awaits_jobs = connection.root.as_deref().is_some_and(|root| !self.roots.contains(root));
            if !connection.awaits_jobs && !connection.is_queued {
                connection.is_queued = true;
                self.ready.push_back(connection.number);
            }
        }
    }

    /// The call is in the journal, or was answered: it is removed from its socket.
    pub fn done(&mut self, caller: &Caller) {
        if let Some(mut connection) = self.connections.remove(&caller.connection) {
            let result = connection.done(caller, &mut self.scratch);
            self.settle(connection, result.map(|()| Step::Nothing));
        }
    }

    /// Answers a [`Control`]. As nothing of it is in the journal, it stays in its socket until the answer is out: should
    /// this manager end before, the next one finds it there.
    pub fn reply(&mut self, caller: &Caller, result: Result<(), ControlError>) {
        self.queue_reply(caller, 0, |caller, _| match &result {
            Ok(()) => plain::reply(caller, plain::Body::Nothing),
            Err(error) => announce::refused(caller, &error.into()),
        });
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.replied(caller);
            self.dirty.insert(caller.connection);
        }
    }

    /// Answers a [`Control`] as soon as init has its name on the bus, or it is clear that it will not get it.
    pub fn reply_on_bus(&mut self, caller: &Caller) {
        if self.is_on_bus() { self.reply(caller, Ok(())) } else { self.bus.wait(caller.clone()) }
    }

    fn queue_reply(&mut self, caller: &Caller, number: u64, make: impl FnOnce(&Caller, bool) -> Option<Bytes>) {
        self.spread_news();
        let Some(connection) = self.connections.get_mut(&caller.connection) else { return };
        if connection.is_silenced(caller) {
            return;
        }
        let Some(message) = make(caller, connection.root.is_some()) else { return };
        match connection.queue(number, message) {
            Ok(()) => _ = self.dirty.insert(caller.connection),
            Err(end) => {
                if let Some(connection) = self.connections.remove(&caller.connection) {
                    self.settle(connection, Err(end));
                }
            }
        }
    }

    /// Sends what is queued, as far as there is room for it.
    pub fn push(&mut self) {
        self.spread_news();
        for number in std::mem::take(&mut self.dirty) {
            if let Some(mut connection) = self.connections.remove(&number) {
                let result = connection.flush(&mut self.scratch, self.visit);
                self.settle(connection, result);
            }
        }
    }

    /// Of the announcements up to `through`, which have been queued: up to which one all replies are out (signals that a
    /// client does not read are not waited for). Who does not read its replies for too long is disconnected.
    #[must_use]
    pub fn performed(&mut self, through: u64) -> u64 {
        let slow = self.connections.values().filter(|connection| connection.holds_up(through));
        for number in slow.map(|connection| connection.number).collect::<Vec<_>>() {
            if let Some(connection) = self.connections.remove(&number) {
                self.settle(connection, Err(End::Misbehaved("it does not read what it is answered")));
            }
        }
        let unsent = self.connections.values().filter_map(|connection| connection.unsent_reply()).min();
        unsent.map_or(through, |unsent| through.min(unsent.saturating_sub(1)))
    }

    /// Sends all that is queued, before a re-execution or the end. A client that has read half of a message by the limit
    /// is disconnected; other messages that are not out are lost (replies are in the machine's outbox).
    pub async fn flush(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            self.visit += 1;
            // Nobody is left to tell the keeper; the half messages are seen to below.
            for connection in self.connections.values_mut().filter(|connection| connection.has_output()) {
                connection.hold = Hold::Free;
                self.dirty.insert(connection.number);
            }
            self.push();
            if Instant::now() >= deadline || !self.connections.values().any(|connection| connection.has_output()) {
                break;
            }
            self.wait(Some(deadline)).await;
        }
        for connection in self.connections.values().filter(|connection| connection.is_amid_message()) {
            socket::end(&connection.socket);
        }
    }

    /// Connects to the bus now, if there is one to be on and init is not on it.
    pub fn reconnect_bus(&mut self) {
        if self.bus.is_wanted() {
            self.bus.retry_now();
            self.set_timer(Instant::now(), BUS);
        }
    }

    /// Leaves the bus that init is on, if it is another one, and connects to this one.
    ///
    /// # Errors
    /// When the address names no socket on this machine, or nobody listens there.
    pub fn set_bus_address(&mut self, address: String) -> Result<(), ControlError> {
        let mut unreachable = ControlError::BadAddress(address.clone());
        let is_reachable = address::sockets(&address).iter().any(|socket| match socket::connect(socket) {
            Ok(_) => true,
            Err(error) => {
                let errno = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0));
                unreachable = ControlError::Unreachable(address::text(socket), errno);
                false
            }
        });
        if !is_reachable {
            return Err(unreachable);
        }
        if let Some(number) = self.bus.change(address)
            && let Some(connection) = self.connections.remove(&number)
        {
            self.settle(connection, Err(End::Closed));
        }
        self.reconnect_bus();
        Ok(())
    }

    /// Whether init has its name on a bus.
    #[must_use]
    pub fn is_on_bus(&self) -> bool {
        self.connections.values().any(|connection| connection.role == Role::Bus && connection.is_open())
    }

    fn set_timer(&mut self, deadline: Instant, number: u64) {
        self.timers.insert((deadline, number));
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, limit: Option<Instant>) {
        let timer = self.timers.first().map(|(deadline, _)| *deadline);
        let deadline = match (timer, limit) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let Self { connections, ready, dirty, poll, .. } = self;
        let result = poll
            .wait(deadline, |news| {
                if news.number == LISTENER {
                    ready.push_back(LISTENER);
                    return;
                }
                let Some(connection) = connections.get_mut(&news.number) else { return };
                if news.is_writable {
                    dirty.insert(news.number);
                }
                connection.is_readable |= news.is_readable;
                if connection.is_readable && !connection.is_queued {
                    connection.is_queued = true;
                    ready.push_back(news.number);
                }
            })
            .await;
        if let Err(error) = result {
            // There is no way for a descriptor of our own to fail but a lack of memory.
            self.events
                .push_back(Incoming::Log(Priority::Error, format!("D-Bus connections cannot be watched: {error}")));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.run_timers();
    }

    fn run_timers(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some((deadline, number)) = self.timers.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.timers.pop_first();
            match number {
                LISTENER => self.ready.push_back(LISTENER),
                BUS => self.retry_bus(now),
                _ => self.run_deadline(number, deadline),
            }
        }
    }

    fn run_deadline(&mut self, number: u64, deadline: Instant) {
        if self.connections.get(&number).is_none_or(|connection| connection.deadline != Some(deadline)) {
            return;
        }
        if let Some(mut connection) = self.connections.remove(&number) {
            let result = connection.on_deadline();
            self.settle(connection, result.map(|()| Step::Nothing));
        }
    }
}
