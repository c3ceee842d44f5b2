//! One connection: its way in, its way out, and whether the keeper may hold a duplicate of its socket.
//!
//! # Why messages are peeked
//!
//! A message that was taken out of the socket is known to this process alone until it is in the journal. So it is only
//! *looked at* (`MSG_PEEK`), and taken out when it was dealt with: a manager that dies in between leaves it for the next
//! one, which finds it at the head of the duplicate that the keeper has held. In the same way, a message is only begun
//! to be written when there is room for all of it.
//!
//! Messages that the socket's buffer cannot hold in one piece cannot be treated so. Before one of them is begun, in
//! either direction, the keeper is told to let go of its duplicate ([`Hold`]); if the manager dies then, the client sees
//! its connection end, rather than half a message. When the message is through, the keeper is given a duplicate again.
//!
//! Must never know what a message means.

use keeper::protocol::NAME_MAX_BYTES;
use machine::effect::Caller;
use std::cell::OnceCell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::time::Instant;
use zbus::message::Message;

use super::outbox::Outbox;
use super::plain::Bytes;
use super::{auth, socket, wire};

/// So much is looked at first; most messages are shorter.
const FIRST_LOOK_BYTES: usize = 4096;
/// Longer messages are not waited for in the socket. Also the size of the buffer that all connections share.
pub(super) const LOOK_BYTES: usize = 64 * 1024;
/// So long a message may be incomplete in the socket (which may be full of it) before it is gathered in memory.
const INCOMPLETE: Duration = Duration::from_millis(100);
/// So long a message may take altogether.
const GATHERING: Duration = Duration::from_secs(30);
/// So much is gathered in one visit.
const GATHER_BYTES: usize = 256 * 1024;
/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A client of the private socket.
    Client { uid: u32, is_privileged: bool },
    /// A bus on which init has its name.
    Bus,
    /// The same bus, a second time, to ask who somebody is.
    Asker,
}

/// How far the conversation has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// A client says who it is.
    Server(auth::Server),
    /// We say who we are to a bus.
    Client(auth::Client),
    /// The answer to Hello is awaited.
    Hello { serial: u32 },
    /// The answer to RequestName is awaited.
    Naming { serial: u32 },
    /// Messages of any kind.
    Open,
}

/// The message at the head.
#[derive(Debug)]
enum Inbox {
    /// None that is known.
    Idle,
    /// Not all of it has come; `is_late` if that has been so for some time.
    Incomplete { is_late: bool },
    /// It is being taken into memory.
    Gathering(Gathering),
    /// It was handed out and is not done.
    Handed { caller: Caller, in_socket: usize },
    /// It is answered, but the answer is not out.
    Answered { in_socket: usize },
    /// It waits until it is known who it is from.
    Parked { message: Message, in_socket: usize },
}

#[derive(Debug)]
struct Gathering {
    /// How much of the message is still to come, in bytes.
    left: usize,
    /// It is longer than anything init reads; only its end is of interest.
    is_unwanted: bool,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// Whether the keeper has a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It has none.
    Free,
    /// It has one, or will have before anything else happens.
    Held,
    /// It is to be told to let go.
    Releasing,
    /// It is being told in this visit of the main loop.
    Told { visit: u64 },
}

/// What reading has brought.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing yet.
    Nothing,
    /// A message; so many bytes of it are still in the socket.
    Message { message: Message, in_socket: usize },
    /// The keeper must let go first.
    Release,
}

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The other side has closed it.
    Closed,
    /// The other side did not keep to the protocol: what it did.
    Misbehaved(&'static str),
    /// The kernel says so.
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => Self::Closed,
            _ => Self::Failed(error),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u64,
    /// The keeper's name for it; empty before it is open.
    pub(super) name: String,
    pub(super) socket: OwnedFd,
    pub(super) role: Role,
    pub(super) phase: Phase,
    pub(super) hold: Hold,
    /// There may be something to read.
    pub(super) is_readable: bool,
    /// It is in the queue of those to be served.
    pub(super) is_queued: bool,
    /// It waits for room to write, and the poller knows.
    pub(super) awaits_room: bool,
    /// The main loop and the keeper know of it.
    pub(super) is_known: bool,
    /// The first message may have been dealt with by the manager before this one.
    pub(super) is_resumed: bool,
    /// When something is to have happened.
    pub(super) deadline: Option<Instant>,
    /// The root that the other side lives in; none is init's own.
    pub(super) root: Option<String>,
    /// The job files of its root are not read yet; until they are, none of its calls is looked at.
    pub(super) awaits_jobs: bool,
    /// User, pid and program of the other side, once somebody has asked; none if it has gone.
    pub(super) peer: OnceCell<Option<(u32, i32, String)>>,
    /// Calls under way whose callers want no reply.
    silent: Vec<(u32, Option<String>)>,
    inbox: Inbox,
    outbox: Outbox,
}

impl Connection {
    pub(super) fn new(number: u64, socket: OwnedFd, role: Role, phase: Phase) -> Box<Self> {
        Box::new(Self {
            number,
            name: String::new(),
            socket,
            role,
            phase,
            hold: Hold::Free,
            is_readable: true,
            is_queued: false,
            awaits_room: false,
            is_known: false,
            is_resumed: false,
            deadline: None,
            root: None,
            awaits_jobs: false,
            peer: OnceCell::new(),
            silent: Vec::new(),
            inbox: Inbox::Idle,
            outbox: Outbox::default(),
        })
    }

    /// One that an earlier manager had, under the keeper's name for it.
    pub(super) fn resumed(number: u64, name: String, socket: OwnedFd, role: Role) -> Box<Self> {
        let fresh = *Self::new(number, socket, role, Phase::Open);
        Box::new(Self { name, hold: Hold::Held, is_known: true, is_resumed: true, ..fresh })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether it is one that signals go to.
    /// A client counts from when it was told that it is accepted: it may take itself for connected as soon as it has said
    /// `BEGIN`, which nobody answers.
    pub(super) fn listens(&self) -> bool {
        match &self.phase {
            Phase::Server(server) => server.has_accepted(),
            // On a bus, others may know us by our name before we know that we have it.
            phase => matches!(phase, Phase::Naming { .. } | Phase::Open) && self.role != Role::Asker,
        }
    }

    fn is_trusted(&self) -> bool {
        !matches!(self.role, Role::Client { is_privileged: false, .. })
    }

    fn is_free(&self, visit: u64) -> bool {
        match self.hold {
            Hold::Free => true,
            Hold::Told { visit: told } => visit > told,
            Hold::Held | Hold::Releasing => false,
        }
    }

    /// Whether the next message may be looked for: the one before is done, and what was said is out.
    pub(super) fn may_read(&self) -> bool {
        matches!(self.inbox, Inbox::Idle | Inbox::Incomplete { .. } | Inbox::Gathering(_))
            && self.outbox.is_empty()
            && !self.awaits_jobs
    }

    /// Whether the keeper could be given a duplicate again.
    pub(super) fn wants_hold(&self, visit: u64) -> bool {
        let is_between = !matches!(self.inbox, Inbox::Gathering(_))
            && !matches!(self.inbox, Inbox::Handed { in_socket: 0, .. } | Inbox::Parked { in_socket: 0, .. })
            && !self.outbox.is_amid_message()
            && self.outbox.front().is_none_or(|bytes| bytes.len() <= socket::ATOMIC_BYTES);
        let has_name = !self.name.is_empty() && self.name.len() <= NAME_MAX_BYTES;
        self.is_open() && has_name && self.hold != Hold::Held && self.is_free(visit) && is_between
    }

    // ------------------------------------------------------------------------------------------------------------ in

    /// Looks at the bytes of the exchange before the first message.
    pub(super) fn look(&mut self, buffer: &mut [u8]) -> Result<usize, End> {
        match socket::peek(&self.socket, buffer)? {
            None => {
                self.is_readable = false;
                Ok(0)
            }
            Some(seen) if seen.bytes == 0 => Err(End::Closed),
            Some(seen) => Ok(seen.bytes),
        }
    }

    /// Looks for a message; `visit` is the number of the main loop's visit.
    pub(super) fn read(&mut self, scratch: &mut [u8], visit: u64) -> Result<Step, End> {
        if matches!(self.inbox, Inbox::Gathering(_)) {
            return self.gather(scratch, visit);
        }
        let mut room = FIRST_LOOK_BYTES;
        loop {
            let Some(seen) = socket::peek(&self.socket, &mut scratch[..room])? else {
                self.is_readable = false;
                return Ok(Step::Nothing);
            };
            if seen.bytes == 0 {
                return Err(End::Closed);
            }
            let Some(start) = scratch[..seen.bytes].first_chunk() else { return Ok(self.wait_for_more()) };
            let total = wire::length(start).ok_or(End::Misbehaved("it sent what is no D-Bus message"))?;
            let is_late = matches!(self.inbox, Inbox::Incomplete { is_late: true });
            if total > LOOK_BYTES || (is_late && seen.bytes < total) {
                self.begin_gathering(total)?;
                return self.gather(scratch, visit);
            }
            if seen.bytes >= total {
                // Only if the kernel has shown all there is, nothing can follow.
                self.is_readable = seen.bytes > total || seen.has_descriptors || seen.bytes == room;
                let bytes = scratch[..total].to_vec();
                return self.whole(bytes, seen.has_descriptors, scratch);
            }
            if seen.bytes < room {
                return Ok(self.wait_for_more());
            }
            room = total;
        }
    }

    fn wait_for_more(&mut self) -> Step {
        self.is_readable = false;
        if !matches!(self.inbox, Inbox::Incomplete { .. }) {
            self.inbox = Inbox::Incomplete { is_late: false };
            self.deadline = Some(Instant::now() + INCOMPLETE);
        }
        Step::Nothing
    }

    /// A message that is in the socket as a whole.
    fn whole(&mut self, bytes: Vec<u8>, has_descriptors: bool, scratch: &mut [u8]) -> Result<Step, End> {
        let in_socket = bytes.len();
        if !matches!(self.inbox, Inbox::Idle) {
            self.inbox = Inbox::Idle;
            self.deadline = None;
        }
        let parsed = if has_descriptors {
            // They may belong to this message or to a later one: a second look, at this one only, tells.
            let descriptors = socket::peek_descriptors(&self.socket, &mut scratch[..in_socket])?;
            wire::parse(bytes, descriptors)
        } else {
            wire::parse(bytes, Vec::new())
        };
        match parsed {
            Ok(message) => Ok(Step::Message { message, in_socket }),
            Err(_) => self.pass_over(in_socket, scratch),
        }
    }

    /// A message that cannot be read: on a bus somebody else's fault, who is not to harm the others on it.
    fn pass_over(&mut self, in_socket: usize, scratch: &mut [u8]) -> Result<Step, End> {
        if matches!(self.role, Role::Client { .. }) {
            return Err(End::Misbehaved("it sent a malformed message"));
        }
        self.finish(in_socket, scratch)?;
        self.is_readable = true;
        Ok(Step::Nothing)
    }

    fn begin_gathering(&mut self, total: usize) -> Result<(), End> {
        let is_unwanted = match self.role {
            Role::Client { is_privileged: true, .. } => total > wire::PRIVILEGED_BYTES,
            Role::Client { is_privileged: false, .. } => total > wire::ORDINARY_BYTES,
            Role::Bus | Role::Asker => total > wire::BUS_BYTES,
        };
        if is_unwanted && matches!(self.role, Role::Client { .. }) {
            return Err(End::Misbehaved("its message is too long"));
        }
        let gathering = Gathering { left: total, is_unwanted, bytes: Vec::new(), descriptors: Vec::new() };
        self.inbox = Inbox::Gathering(gathering);
        self.deadline = Some(Instant::now() + GATHERING);
        Ok(())
    }

    /// Takes what has come of a message into memory.
    fn gather(&mut self, scratch: &mut [u8], visit: u64) -> Result<Step, End> {
        if !self.is_free(visit) {
            return Ok(Step::Release);
        }
        let Inbox::Gathering(gathering) = &mut self.inbox else { return Ok(Step::Nothing) };
        let mut budget = GATHER_BYTES;
        while gathering.left > 0 && budget > 0 {
            let part = gathering.left.min(scratch.len());
            match socket::take(&self.socket, &mut scratch[..part], &mut gathering.descriptors)? {
                None => {
                    self.is_readable = false;
                    return Ok(Step::Nothing);
                }
                Some(seen) if seen.bytes == 0 => return Err(End::Closed),
                Some(seen) => {
                    if !gathering.is_unwanted {
                        gathering.bytes.extend_from_slice(&scratch[..seen.bytes]);
                    }
                    // A sender of many crumbs could send some with each.
                    gathering.descriptors.truncate(socket::DESCRIPTORS_MAX);
                    gathering.left -= seen.bytes;
                    budget = budget.saturating_sub(seen.bytes);
                }
            }
        }
        if gathering.left > 0 {
            return Ok(Step::Nothing);
        }
        let (bytes, descriptors) = (std::mem::take(&mut gathering.bytes), std::mem::take(&mut gathering.descriptors));
        let is_unwanted = gathering.is_unwanted;
        self.inbox = Inbox::Idle;
        self.deadline = None;
        match wire::parse(bytes, descriptors) {
            Ok(message) if !is_unwanted => Ok(Step::Message { message, in_socket: 0 }),
            _ => self.pass_over(0, scratch),
        }
    }

    /// The time for a message is over. If it was waited for in the socket, it is gathered from now on: the socket may be
    /// full of it.
    pub(super) fn on_deadline(&mut self) -> Result<(), End> {
        self.deadline = None;
        match (&self.phase, &self.inbox) {
            (Phase::Server(_), _) => Err(End::Misbehaved("it took too long to say who it is")),
            (_, Inbox::Incomplete { is_late: false }) => {
                self.inbox = Inbox::Incomplete { is_late: true };
                self.is_readable = true;
                self.deadline = Some(Instant::now() + GATHERING);
                Ok(())
            }
            _ => Err(End::Misbehaved("it took too long")),
        }
    }

    /// The message was handed out under this caller.
    pub(super) fn handed(&mut self, caller: Caller, in_socket: usize) {
        self.inbox = Inbox::Handed { caller, in_socket };
    }

    /// The message waits for its caller to be known.
    pub(super) fn parked(&mut self, message: Message, in_socket: usize) {
        self.inbox = Inbox::Parked { message, in_socket };
    }

    /// Takes the message back that was waiting.
    pub(super) fn unpark(&mut self) -> Option<(Message, usize)> {
        match std::mem::replace(&mut self.inbox, Inbox::Idle) {
            Inbox::Parked { message, in_socket } => Some((message, in_socket)),
            other => {
                self.inbox = other;
                None
            }
        }
    }

    /// The message that was handed out is dealt with, if it was this one.
    pub(super) fn done(&mut self, caller: &Caller, scratch: &mut [u8]) -> Result<(), End> {
        match &self.inbox {
            Inbox::Handed { caller: handed, in_socket } if handed == caller => {
                let in_socket = *in_socket;
                self.finish(in_socket, scratch)
            }
            _ => Ok(()),
        }
    }

    /// The message that was handed out is answered, if it was this one; see [`Connection::answered`].
    pub(super) fn replied(&mut self, caller: &Caller) {
        if let Inbox::Handed { caller: handed, in_socket } = &self.inbox
            && handed == caller
        {
            self.answered(*in_socket);
        }
    }

    /// Takes a message out of the socket.
    pub(super) fn finish(&mut self, in_socket: usize, scratch: &mut [u8]) -> Result<(), End> {
        self.inbox = Inbox::Idle;
        Ok(socket::consume(&self.socket, in_socket, scratch)?)
    }

    /// The message was answered: it is finished as soon as the answer is out, so that a crash does not lose both.
    pub(super) fn answered(&mut self, in_socket: usize) {
        self.inbox = Inbox::Answered { in_socket };
    }

    // ----------------------------------------------------------------------------------------------------------- out

    /// This caller wants no reply.
    pub(super) fn silence(&mut self, caller: &Caller) {
        self.silent.push((caller.serial, caller.sender.clone()));
    }

    /// Whether this caller wants no reply; asked once for each call.
    pub(super) fn is_silenced(&mut self, caller: &Caller) -> bool {
        let at = self.silent.iter().position(|(serial, sender)| (serial, sender) == (&caller.serial, &caller.sender));
        at.map(|at| self.silent.swap_remove(at)).is_some()
    }

    /// Queues a message; `announcement` is the number of the announcement that it is the reply of, or 0.
    ///
    /// # Errors
    /// When too much is queued already, because the other side does not read.
    pub(super) fn queue(&mut self, announcement: u64, message: Bytes) -> Result<(), End> {
        self.outbox.push(announcement, message, self.is_trusted())
    }

    /// Whether there is something to send, and may be sent.
    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty() && !matches!(self.phase, Phase::Server(_))
    }

    /// Half a message is out.
    pub(super) fn is_amid_message(&self) -> bool {
        self.outbox.is_amid_message()
    }

    /// The lowest number of an announcement whose reply is not out.
    pub(super) fn unsent_reply(&self) -> Option<u64> {
        self.outbox.unsent_reply()
    }

    /// Whether too much waits for a reply that this one does not read; `through` is the last announcement.
    pub(super) fn holds_up(&self, through: u64) -> bool {
        self.outbox.holds_up(through)
    }

    /// Sends what there is room for. Tells whether the keeper must let go first.
    pub(super) fn flush(&mut self, scratch: &mut [u8], visit: u64) -> Result<Step, End> {
        if matches!(self.phase, Phase::Server(_)) {
            return Ok(Step::Nothing);
        }
        while let Some(bytes) = self.outbox.front() {
            let is_large = bytes.len() > socket::ATOMIC_BYTES && !socket::has_room(&self.socket, bytes.len());
            if (is_large || self.outbox.is_amid_message()) && !self.is_free(visit) {
                return Ok(Step::Release);
            }
            let batch = self.outbox.batch(scratch);
            let length = batch.len();
            let sent = socket::write(&self.socket, batch)?;
            self.outbox.took(sent);
            if sent.is_none_or(|sent| sent < length) {
                break;
            }
        }
        if self.outbox.is_empty()
            && let Inbox::Answered { in_socket } = self.inbox
        {
            self.finish(in_socket, scratch)?;
        }
        Ok(Step::Nothing)
    }
}
