//! The private server as anybody meets it: any bytes through a real socket into the manager's real D-Bus side.
//!
//! Whatever comes, and in whatever pieces: nothing reaches the machine before the handshake is over, each call is
//! answered at most once and to its own serial number, the answers are the same however the bytes were cut, the keeper
//! is asked to hold what is not held and to release what is, and another client is served as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use machine::class::{Class, Command};
use machine::effect::{Announcement, Effect};
use machine::input::{Input, RollCall, Settings};
use machine::job::Cause;
use machine::state::State;
use manager::dbus::{Dbus, DbusConfig, Incoming};
use tokio::runtime::Runtime;
use zbus::message::Message;

use crate::draw::Draw;

const HANDSHAKE: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";

/// Any bytes of a client that has said nothing yet.
pub fn handshake(data: &[u8]) {
    let (seed, bytes) = data.split_at(data.len().min(1));
    let has_begun = bytes.windows(7).any(|window| window == b"BEGIN\r\n");
    let whole = Heard::of(bytes, bytes.len());
    let in_pieces = Heard::of(bytes, 1 + usize::from(seed.first().copied().unwrap_or(0) % 16));
    assert!(has_begun || whole.calls.is_empty(), "a call from a stranger: {:?}", whole.calls);
    assert_eq!(whole.text, in_pieces.text, "the answers depend on how the bytes arrive");
    assert_eq!(whole.calls, in_pieces.calls);
}

/// Messages of a client that is let in, well-formed and damaged.
pub fn messages(data: &[u8]) {
    let mut draw = Draw::new(data);
    let piece = 1 + draw.below(256);
    let mut sent = Vec::new();
    let mut serials: BTreeMap<u32, usize> = BTreeMap::new();
    let mut bytes = HANDSHAKE.to_vec();
    for serial in 1..20 {
        if draw.is_empty() {
            break;
        }
        let message = message(&mut draw, serial);
        bytes.extend_from_slice(&message);
        sent.extend_from_slice(&message);
    }
    // A naive reader: wherever a message could begin, it may have been meant.
    for at in 0..sent.len().saturating_sub(15) {
        let number = |at: usize| [sent[at], sent[at + 1], sent[at + 2], sent[at + 3]];
        match sent[at] {
            b'l' => *serials.entry(u32::from_le_bytes(number(at + 8))).or_default() += 1,
            b'B' => *serials.entry(u32::from_be_bytes(number(at + 8))).or_default() += 1,
            _ => {}
        }
    }
    let whole = Heard::of(&bytes, bytes.len());
    let in_pieces = Heard::of(&bytes, piece);
    let mut answered: BTreeMap<u32, usize> = BTreeMap::new();
    for reply in &whole.replies {
        *answered.entry(reply.to).or_default() += 1;
    }
    for (serial, times) in answered {
        assert!(serials.get(&serial).is_some_and(|sent| times <= *sent), "{times} answers to serial {serial}");
    }
    assert_eq!(whole.calls, in_pieces.calls, "the calls depend on how the bytes arrive");
    assert_eq!(whole.replies, in_pieces.replies, "the answers depend on how the bytes arrive");
}

/// A message, perhaps damaged; or no message at all.
fn message(draw: &mut Draw<'_>, serial: u32) -> Vec<u8> {
    const UPSTART: &str = "com.ubuntu.Upstart0_6";
    const PATHS: [&str; 7] = [
        "/com/ubuntu/Upstart",
        "/com/ubuntu/Upstart/jobs/job",
        "/com/ubuntu/Upstart/jobs/job/_",
        "/com/ubuntu/Upstart/jobs/no",
        "/stayup/Init1",
        "/",
        "/com",
    ];
    const INTERFACES: [&str; 8] = [
        UPSTART,
        "com.ubuntu.Upstart0_6.Job",
        "com.ubuntu.Upstart0_6.Instance",
        "org.freedesktop.DBus.Properties",
        "org.freedesktop.DBus.Introspectable",
        "org.freedesktop.DBus.Peer",
        "stayup.Init1",
        "no.such.Interface",
    ];
    const MEMBERS: [&str; 24] = [
        "EmitEvent",
        "EmitEventWithFile",
        "EndSession",
        "GetAllJobs",
        "GetJobByName",
        "GetEnv",
        "ListEnv",
        "SetEnv",
        "UnsetEnv",
        "ResetEnv",
        "SetEnvList",
        "ReloadConfiguration",
        "Start",
        "Stop",
        "Restart",
        "GetInstance",
        "GetAllInstances",
        "GetInstanceByName",
        "Get",
        "GetAll",
        "Set",
        "Introspect",
        "Ping",
        "GetMachineId",
    ];
    let kind = draw.byte();
    if kind % 8 == 7 {
        let count = draw.below(64);
        return draw.bytes(count).to_vec();
    }
    let (path, interface, member) = (draw.one_of(&PATHS), draw.one_of(&INTERFACES), draw.one_of(&MEMBERS));
    let (text, flag) =
        (draw.one_of(&["job", "", "X=1", "go", UPSTART, "log_priority", "version", "no\u{e9}"]), draw.flag());
    let builder = || {
        let call = Message::method_call(path, member);
        if kind & 16 != 0 { call } else { call.interface(interface) }
    };
    let built = match draw.below(10) {
        0 => builder().build(&()),
        1 => builder().build(&text),
        2 => builder().build(&(vec![text], flag)),
        3 => builder().build(&(text, vec![text, "Y=2"], flag)),
        4 => builder().build(&(vec![text], text)),
        5 => builder().build(&(vec![text, ""], text, flag)),
        6 => builder().build(&(text, text)),
        7 => builder().build(&(text, text, zbus::Variant::from(text))),
        8 => builder().build(&vec![text]),
        _ => builder().build(&flag),
    };
    let mut bytes = built.map(|message| message.data().bytes().to_vec()).unwrap_or_default();
    if let Some(place) = bytes.get_mut(8..12) {
        place.copy_from_slice(&serial.to_le_bytes());
    }
    if kind & 32 != 0 && !bytes.is_empty() {
        let at = (draw.below(256) + 256 * draw.below(2)) % bytes.len();
        bytes[at] ^= draw.byte();
    }
    if kind & 64 != 0 {
        // No reply expected.
        bytes[2] |= 1;
    }
    bytes
}

/// What came of a client's bytes.
struct Heard {
    /// What the machine was asked.
    calls: Vec<String>,
    /// What came back before the first message, without the server's random name.
    text: String,
    /// Replies, without what only numbers them.
    replies: Vec<Reply>,
}

/// A reply to a call.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    to: u32,
    kind: u8,
    body: Vec<u8>,
}

impl Heard {
    /// Sends the bytes in pieces of that size, and hears what comes back. Then another client asks for something.
    fn of(bytes: &[u8], piece: usize) -> Self {
        thread_local! {
            static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        }
        RUNTIME.with(|runtime| runtime.block_on(Self::live(bytes, piece)))
    }

    async fn live(bytes: &[u8], piece: usize) -> Self {
        let mut server = Server::new();
        let mut client = server.connect();
        let mut answer = Vec::new();
        let mut is_closed = false;
        for part in bytes.chunks(piece.max(1)) {
            let mut part = part;
            while !part.is_empty() && !is_closed {
                match client.write(part) {
                    Ok(count) => part = &part[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => is_closed = true,
                }
                server.settle().await;
                is_closed |= !read(&mut client, &mut answer);
            }
        }
        server.settle().await;
        read(&mut client, &mut answer);
        let calls = std::mem::take(&mut server.calls);
        drop(client);
        server.settle().await;
        server.serves_another().await;
        let (text, messages) = split(&answer);
        Self { calls, text, replies: replies(messages) }
    }
}

/// A server with a machine that has one job, and processes that do as they are told.
struct Server {
    dbus: Dbus,
    state: State,
    held: BTreeSet<String>,
    calls: Vec<String>,
    address: SocketAddr,
}

impl Server {
    fn new() -> Self {
        thread_local! {
            static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
        }
        let number = COUNT.replace(COUNT.get() + 1);
        let name = format!("stayup-oracle-{}-{:?}-{number}", std::process::id(), std::thread::current().id());
        let address = SocketAddr::from_abstract_name(name).expect("a name that is short enough");
        let listener = UnixListener::bind_addr(&address).expect("a name that nobody has");
        // Root is let in as root, anybody else as one of many.
        let config = DbusConfig {
            own_uid: 0,
            is_session: true,
            version: "0".into(),
            has_chroot_sessions: false,
            may_exit: false,
            bus_address: None,
        };
        let mut dbus = Dbus::new(config, 1).expect("descriptors to spare");
        dbus.listen(listener).expect("a socket that can be watched");
        let mut server = Self { dbus, state: State::default(), held: BTreeSet::new(), calls: Vec::new(), address };
        let mut class = Class::new("job");
        class.main = Some(Command::Exec("sleep 600".into()));
        server.take(Input::Settings(Box::new(Settings { is_session: true, ..Settings::default() })));
        server.take(Input::RollCall(RollCall::default()));
        server.take(Input::Startup(None));
        server.take(Input::Define(Box::new(class)));
        server
    }

    fn connect(&self) -> UnixStream {
        let client = UnixStream::connect_addr(&self.address).expect("a server that listens");
        client.set_nonblocking(true).expect("a socket");
        client
    }

    /// Serves until nothing is left to do.
    async fn settle(&mut self) {
        const QUIET_ROUNDS: usize = 3;
        let mut quiet = 0;
        while quiet < QUIET_ROUNDS {
            let incoming = tokio::select! {
                biased;
                incoming = self.dbus.next(&self.state) => Some(incoming),
                () = tokio::task::yield_now() => None,
            };
            match incoming {
                None => quiet += 1,
                Some(incoming) => {
                    quiet = 0;
                    self.receive(incoming);
                }
            }
        }
    }

    fn receive(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Opened { name, .. } | Incoming::Hold { name, .. } => {
                assert!(self.held.insert(name), "a socket is held twice");
            }
            Incoming::Release { name, .. } => assert!(self.held.remove(&name), "{name} is released, but was not held"),
            Incoming::Closed { connection, name } => {
                self.held.remove(&name);
                self.take(Input::Disconnected(connection));
            }
            Incoming::Call { caller, call, .. } => {
                self.calls.push(format!("{} {call:?}", caller.serial));
                self.take(Input::Call(caller.clone(), call));
                self.dbus.done(&caller);
            }
            Incoming::Control { caller, control } => {
                self.calls.push(format!("{} {control:?}", caller.serial));
                self.dbus.reply(&caller, Ok(()));
            }
            Incoming::Log(..) | Incoming::Root(_) => {}
        }
    }

    fn take(&mut self, input: Input) {
        let mut last = 0;
        for effect in machine::turn(&mut self.state, 1, input).effects {
            match effect {
                Effect::Spawn(ticket) => self.take(Input::Spawned { ticket, pid: 1000, start_time_ticks: 1 }),
                Effect::Signal { ticket, request, .. } => {
                    self.take(Input::Signalled { ticket, request });
                    self.take(Input::Exited { ticket, cause: Cause::Signal(15) });
                }
                Effect::Announce(number, announcement) => {
                    last = number;
                    if !matches!(*announcement, Announcement::Log(..)) {
                        self.dbus.announce(number, &announcement);
                    }
                }
                _ => {}
            }
        }
        self.dbus.push();
        if last > 0 {
            let through = self.dbus.performed(last);
            machine::turn(&mut self.state, 1, Input::Performed(through));
        }
    }

    /// A client that knows what is proper gets its answer, and leaves nothing behind.
    async fn serves_another(&mut self) {
        // One that went away amid a message is waited for.
        let held = self.held.clone();
        assert!(held.len() <= 1 && self.dbus.connections().len() <= 1, "{held:?}");
        let mut client = self.connect();
        client.write_all(HANDSHAKE).expect("room");
        let ping = Message::method_call("/", "Ping").interface("org.freedesktop.DBus.Peer").build(&());
        client.write_all(ping.expect("a message").data().bytes()).expect("room");
        self.settle().await;
        let mut answer = Vec::new();
        read(&mut client, &mut answer);
        let (_, messages) = split(&answer);
        assert_eq!(replies(messages).len(), 1, "another client is not served: {:?}", String::from_utf8_lossy(&answer));
        drop(client);
        self.settle().await;
        assert_eq!(self.held, held, "its socket is held although it is gone");
    }
}

/// Reads what is there; false at the end of the connection.
fn read(client: &mut UnixStream, into: &mut Vec<u8>) -> bool {
    let mut part = [0; 65536];
    loop {
        match client.read(&mut part) {
            Ok(0) => return false,
            Ok(count) => into.extend_from_slice(&part[..count]),
            // Told once, before what was sent ahead of it.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// The lines of the handshake, and the messages behind them.
fn split(answer: &[u8]) -> (String, &[u8]) {
    let mut rest = answer;
    let mut text = String::new();
    while !matches!(rest.first(), None | Some(b'l' | b'B')) {
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { break };
        let line = String::from_utf8_lossy(&rest[..end]);
        text += if line.starts_with("OK ") { "OK" } else { &line };
        text.push('\n');
        rest = &rest[end + 2..];
    }
    (text, rest)
}

/// The replies among these messages. What the server sends must be well-formed to the last byte.
fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let mut found = Vec::new();
    while !bytes.is_empty() {
        assert!(
            bytes.len() >= 16 && bytes[0] == b'l' && bytes[3] == 1,
            "no message: {:?}",
            &bytes[..bytes.len().min(16)]
        );
        let (body, fields) = (number(bytes, 4) as usize, number(bytes, 12) as usize);
        let begin = 16 + fields.next_multiple_of(8);
        let message = &bytes[..begin + body];
        if let (kind @ (2 | 3), Some(to)) = (message[1], reply_serial(&message[16..16 + fields])) {
            found.push(Reply { to, kind, body: message[begin..].to_vec() });
        }
        bytes = &bytes[begin + body..];
    }
    found
}

/// Field 5 of a message's header. Each field is a struct of a number and a variant of type o, s, g or u.
fn reply_serial(fields: &[u8]) -> Option<u32> {
    let mut at = 0_usize;
    while at < fields.len() {
        at = at.next_multiple_of(8);
        let (code, kind) = (fields[at], fields[at + 2]);
        at += 4;
        let number = |at: usize| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]);
        match kind {
            b'g' => at += 2 + usize::from(fields[at]),
            b'u' if code == 5 => return Some(number(at)),
            b'u' => at += 4,
            _ => at += 5 + number(at) as usize,
        }
    }
    None
}
