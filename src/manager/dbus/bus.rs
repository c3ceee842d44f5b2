//! Being on a bus: connecting, having the name, and asking who a caller is. The bus may come and go as it likes.
//!
//! # Who calls
//!
//! The policy file keeps everybody but root from methods that change something. It is not relied upon: for such a call
//! on a system bus, the bus is asked for the caller's user, and the call waits. It waits at the head of its connection,
//! where the bus's answer could not be read before it; so the question is put over a second connection, the *asker*,
//! which is opened for the first such call and holds nothing that a crash could lose. Unique names are never used
//! again while a bus lives, so an answer stays true as long as the connection.

use machine::effect::{Caller, Priority};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::time::Instant;
use zbus::message::{Message, Type};

use super::admit::say;
use super::connection::{Connection, End, Phase, Role, Step};
use super::resume::bus_name;
use super::{BUS, ControlError, Dbus, Incoming, address, auth, socket, wire};

/// The well-known name.
const WELL_KNOWN: &str = "com.ubuntu.Upstart";
/// `DBUS_NAME_FLAG_DO_NOT_QUEUE`.
const DO_NOT_QUEUE: u32 = 4;
/// So long the bus may take until init has its name.
const GREETING: Duration = Duration::from_secs(10);
/// How long to wait before the next attempt: at first, and at most.
const DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// So long the bus may take to say who somebody is.
const ASKING: Duration = Duration::from_secs(5);
/// So many callers are remembered.
const CALLERS: usize = 256;

/// What is known of the bus.
#[derive(Debug)]
pub(super) struct Bus {
    address: Option<String>,
    connection: Option<u64>,
    asker: Option<u64>,
    /// Our name on it.
    unique: String,
    retry_at: Option<Instant>,
    delay: Duration,
    /// The failure has been logged; it is not logged again before init has been on the bus.
    is_quiet: bool,
    /// Users by unique name; none for those that the bus does not know.
    callers: BTreeMap<String, Option<u32>>,
    /// Questions that were put, by the serial number of the message.
    asked: BTreeMap<u32, String>,
    /// Questions that wait for the asker to be connected.
    questions: Vec<String>,
    /// Who is to be told when init has its name.
    waiting: Vec<Caller>,
}

impl Bus {
    pub(super) fn new(address: Option<String>) -> Self {
        Self {
            address,
            connection: None,
            asker: None,
            unique: String::new(),
            retry_at: None,
            delay: DELAY.0,
            is_quiet: false,
            callers: BTreeMap::new(),
            asked: BTreeMap::new(),
            questions: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Has somebody told when init has its name on the bus, or that it will not.
    pub(super) fn wait(&mut self, caller: Caller) {
        self.waiting.push(caller);
    }

    /// Whether there is a bus to be on and init is not on it, nor about to be.
    pub(super) fn is_wanted(&self) -> bool {
        self.address.is_some() && self.connection.is_none()
    }

    /// The next attempt is the first of its kind.
    pub(super) fn retry_now(&mut self) {
        self.retry_at = Some(Instant::now());
        self.delay = DELAY.0;
    }

    /// Goes on with the connection of an earlier manager. Returns another one that it had, if it was about to change.
    pub(super) fn resume(&mut self, number: u64, unique: String, address: Option<String>) -> Option<u64> {
        self.unique = unique;
        self.address = self.address.take().or(address);
        self.connection.replace(number)
    }

    /// Whether this is the connection that counts.
    pub(super) fn is_on(&self, number: u64) -> bool {
        self.connection.is_none_or(|current| current == number)
    }

    /// Another bus is to be used. Returns the connection to the old one.
    pub(super) fn change(&mut self, address: String) -> Option<u64> {
        if self.address.as_ref() == Some(&address) {
            return None;
        }
        self.address = Some(address);
        self.is_quiet = false;
        self.connection
    }

    /// Whether a caller may change something; none if that is to be asked.
    pub(super) fn is_privileged(&self, sender: Option<&str>, own_uid: u32) -> Option<bool> {
        let Some(sender) = sender else { return Some(false) };
        let uid = self.callers.get(sender)?;
        Some(uid.is_some_and(|uid| uid == 0 || uid == own_uid))
    }

    fn remember(&mut self, name: String, uid: Option<u32>) {
        if self.callers.len() >= CALLERS {
            self.callers.clear();
        }
        self.callers.insert(name, uid);
    }
}

impl Dbus {
    /// It is time for another attempt to connect, perhaps.
    pub(super) fn retry_bus(&mut self, now: Instant) {
        if self.bus.retry_at.is_none_or(|at| at > now) || !self.bus.is_wanted() {
            return;
        }
        self.bus.retry_at = None;
        match self.connect_bus(Role::Bus) {
            Ok(number) => self.bus.connection = self.connections.contains_key(&number).then_some(number),
            Err(end) => self.on_bus_end(&end),
        }
    }

    fn connect_bus(&mut self, role: Role) -> Result<u64, End> {
        let addresses = self.bus.address.as_deref().map(address::sockets).unwrap_or_default();
        let mut result = Err(End::Closed);
        for address in &addresses {
            match socket::connect(address) {
                Ok(socket) => return self.begin_greeting(socket, role),
                Err(error) => result = Err(End::Failed(error)),
            }
        }
        result
    }

    fn begin_greeting(&mut self, socket: OwnedFd, role: Role) -> Result<u64, End> {
        let number = self.next_connection;
        self.next_connection += 1;
        let (client, hello) = auth::Client::new(self.config.own_uid);
        let mut connection = Connection::new(number, socket, role, Phase::Client(client));
        connection.deadline = Some(Instant::now() + GREETING);
        connection.awaits_jobs = self.awaits_jobs && connection.role == Role::Bus;
        say(&connection, &hello)?;
        self.poll.add(&connection.socket, number)?;
        self.settle(connection, Ok(Step::Nothing));
        Ok(number)
    }

    /// Hears a bus accept us.
    pub(super) fn greet_bus(&mut self, connection: &mut Connection) -> Result<Step, End> {
        let seen = connection.look(&mut self.scratch[..4096])?;
        let Phase::Client(client) = &mut connection.phase else { return Ok(Step::Nothing) };
        let mut answer = Vec::new();
        let (used, progress) = client.feed(&self.scratch[..seen], &mut answer);
        socket::consume(&connection.socket, used, &mut self.scratch)?;
        say(connection, &answer)?;
        match progress {
            auth::Progress::Going => connection.is_readable = false,
            auth::Progress::Failed => return Err(End::Misbehaved("the bus does not accept init")),
            auth::Progress::Done => {
                let serial = self.ask_bus(connection, "Hello", &())?;
                connection.phase = Phase::Hello { serial };
                connection.is_readable = true;
            }
        }
        Ok(Step::Nothing)
    }

    /// Queues a call to the bus itself; returns its serial number.
    fn ask_bus<B>(&mut self, connection: &mut Connection, member: &str, body: &B) -> Result<u32, End>
    where
        B: serde::Serialize + zbus::wire::DynamicType,
    {
        let message = wire::bus_call(member, body).ok_or(End::Misbehaved("the question cannot be put"))?;
        let serial = message.primary_header().serial_num().get();
        connection.queue(0, wire::bytes(&message))?;
        self.dirty.insert(connection.number);
        Ok(serial)
    }

    /// The bus answers a question of ours.
    pub(super) fn take_answer(&mut self, connection: &mut Connection, message: &Message) -> Result<Step, End> {
        let serial = message.header().reply_serial().map_or(0, std::num::NonZeroU32::get);
        let is_error = message.message_type() == Type::Error;
        match connection.phase {
            Phase::Hello { serial: expected } if expected == serial => {
                let Ok(unique) = message.body().deserialize::<String>() else {
                    return Err(End::Misbehaved("the bus gives init no unique name"));
                };
                self.on_hello(connection, unique)?;
            }
            Phase::Naming { serial: expected } if expected == serial => {
                // 1: we own it now; 4: we did already.
                let code = message.body().deserialize::<u32>().unwrap_or(0);
                if is_error || !matches!(code, 1 | 4) {
                    return Err(End::Misbehaved("the bus does not let init have its name"));
                }
                connection.phase = Phase::Open;
                connection.deadline = None;
                connection.name = bus_name(connection.number, &self.bus.unique);
                self.bus.delay = DELAY.0;
                self.bus.is_quiet = false;
                let text = format!("on the bus as {WELL_KNOWN} ({})", self.bus.unique);
                self.events.push_back(Incoming::Log(Priority::Info, text));
                for caller in std::mem::take(&mut self.bus.waiting) {
                    self.reply(&caller, Ok(()));
                }
            }
            Phase::Open if connection.role == Role::Asker => {
                if let Some(name) = self.bus.asked.remove(&serial) {
                    let uid = message.body().deserialize::<u32>().ok().filter(|_| !is_error);
                    self.bus.remember(name, uid);
                    self.wake_bus();
                }
                connection.deadline = (!self.bus.asked.is_empty()).then(|| Instant::now() + ASKING);
            }
            _ => {}
        }
        Ok(Step::Nothing)
    }

    fn on_hello(&mut self, connection: &mut Connection, unique: String) -> Result<(), End> {
        if connection.role == Role::Asker {
            connection.phase = Phase::Open;
            connection.deadline = None;
            for name in std::mem::take(&mut self.bus.questions) {
                self.put_question(connection, name)?;
            }
        } else {
            self.bus.unique = unique;
            let serial = self.ask_bus(connection, "RequestName", &(WELL_KNOWN, DO_NOT_QUEUE))?;
            connection.phase = Phase::Naming { serial };
        }
        Ok(())
    }

    /// Asks for the user of a caller; the call goes on when the answer is there, or no answer can be had.
    pub(super) fn ask_who(&mut self, name: String) {
        if let Some(mut asker) = self.bus.asker.and_then(|asker| self.connections.remove(&asker)) {
            let result = if asker.is_open() {
                self.put_question(&mut asker, name)
            } else {
                self.bus.questions.push(name);
                Ok(())
            };
            self.settle(asker, result.map(|()| Step::Nothing));
            return;
        }
        self.bus.questions.push(name);
        match self.connect_bus(Role::Asker) {
            Ok(number) => self.bus.asker = Some(number),
            Err(_) => self.on_asker_end(),
        }
    }

    fn put_question(&mut self, asker: &mut Connection, name: String) -> Result<(), End> {
        let serial = self.ask_bus(asker, "GetConnectionUnixUser", &name.as_str())?;
        self.bus.asked.insert(serial, name);
        asker.deadline = Some(Instant::now() + ASKING);
        Ok(())
    }

    /// Has the call go on that waited for an answer.
    fn wake_bus(&mut self) {
        self.ready.extend(self.bus.connection);
    }

    /// Nobody can be asked: whoever was asked for may not change anything.
    pub(super) fn on_asker_end(&mut self) {
        self.bus.asker = None;
        let asked = std::mem::take(&mut self.bus.asked).into_values();
        let names: Vec<String> = asked.chain(std::mem::take(&mut self.bus.questions)).collect();
        if names.is_empty() {
            return;
        }
        for name in names {
            self.bus.remember(name, None);
        }
        let text = "the bus does not say who calls; the call is refused".to_owned();
        self.events.push_back(Incoming::Log(Priority::Warn, text));
        self.wake_bus();
    }

    /// The bus is gone, or was never there: everything about it is forgotten, and a system's init tries again later.
    pub(super) fn on_bus_end(&mut self, end: &End) {
        self.bus.connection = None;
        self.bus.callers.clear();
        self.bus.questions.clear();
        self.bus.asked.clear();
        if let Some(asker) = self.bus.asker.take().and_then(|asker| self.connections.remove(&asker)) {
            self.settle(asker, Err(End::Closed));
        }
        for caller in std::mem::take(&mut self.bus.waiting) {
            let reason = match end {
                End::Closed => "it has closed the connection".to_owned(),
                End::Misbehaved(what) => (*what).to_owned(),
                End::Failed(error) => error.to_string(),
            };
            self.reply(&caller, Err(ControlError::NoName(reason)));
        }
        let reason = match end {
            End::Closed => None,
            End::Misbehaved(what) => Some((*what).to_owned()),
            // A bus that is not there yet is nothing to talk about.
            End::Failed(error) => Some(error.to_string()).filter(|_| self.config.is_session),
        };
        if let Some(reason) = reason.filter(|_| !std::mem::replace(&mut self.bus.is_quiet, true)) {
            self.events.push_back(Incoming::Log(Priority::Warn, format!("not on the bus: {reason}")));
        }
        if !self.config.is_session {
            let at = Instant::now() + self.bus.delay;
            self.bus.delay = (self.bus.delay * 2).min(DELAY.1);
            self.bus.retry_at = Some(at);
            self.set_timer(at, BUS);
        }
    }
}
