//! A manager's D-Bus side with a machine but without a keeper, in a thread of its own; and a client of few words.
//!
//! The world does what the main loop does: takes calls to the machine, hands announcements back, and keeps duplicates of
//! connections as the keeper does. It can die at the worst places and come back.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, unsafe_code)] // Each test file uses a part of it; credentials are set for one thread only.

use machine::class::{Class, Command as Program};
use machine::effect::{Announcement, Effect};
use machine::input::{Input, RollCall, Settings};
use machine::job::Cause;
use machine::state::State;
use manager::dbus::{Control, Dbus, DbusConfig, Detail, Incoming, Source};
use nix::libc;
use std::collections::BTreeMap;
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use zbus::message::{Flags, Message, Type};
use zbus::wire::DynamicType;
use zbus::wire::serialized::{Context, Data};

/// What a test does to the world.
pub enum Command {
    /// Run this in the world's thread.
    With(Box<dyn FnOnce(&mut World) + Send>),
    /// Die now.
    Die,
    /// Send what is queued and end, as before a re-execution.
    FlushAndDie,
}

/// When it dies by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Death {
    Never,
    /// When the next call has come, before it is in the journal.
    BeforeJournal,
    /// When the next call is in the journal, before anything follows from it.
    AfterJournal,
    /// When the next call is answered, before it is taken out of the socket.
    BeforeDone,
    /// When it is killed; until then controls are carried out, and not answered.
    BeforeAnswer,
}

/// The world. All but the journal and what the keeper holds is lost when it dies.
pub struct World {
    pub state: State,
    pub dbus: Dbus,
    pub held: BTreeMap<String, OwnedFd>,
    /// Names that were released at some time.
    pub released: Vec<String>,
    pub log: Vec<String>,
    pub controls: Vec<Control>,
    pub files: Vec<OwnedFd>,
    death: Death,
}

/// What is left of a world that has died.
pub struct Remains {
    pub state: State,
    pub held: BTreeMap<String, OwnedFd>,
    pub released: Vec<String>,
    pub log: Vec<String>,
}

impl Default for Remains {
    fn default() -> Self {
        let mut state = State::default();
        machine::turn(&mut state, 0, Input::RollCall(RollCall::default()));
        machine::turn(&mut state, 0, Input::Startup(None));
        Self { state, held: BTreeMap::new(), released: Vec::new(), log: Vec::new() }
    }
}

/// A running world.
pub struct Running {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<Remains>,
}

/// How a world is.
#[derive(Clone)]
pub struct Setup {
    pub is_session: bool,
    pub bus_address: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { is_session: true, bus_address: None }
    }
}

/// A listening socket that nobody else has.
pub fn listener() -> (UnixListener, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("stayup-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    (UnixListener::bind_addr(&address).unwrap(), name)
}

pub fn connect(name: &str) -> UnixStream {
    let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Starts a world with what an earlier one has left.
pub fn start(setup: Setup, listener: &UnixListener, remains: Remains) -> Running {
    let listener = listener.try_clone().unwrap();
    let (commands, receiver) = mpsc::unbounded_channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move { World::come_back(setup, listener, remains).live(receiver).await })
    });
    Running { commands, thread }
}

/// A world with one socket, for tests that need no more.
pub fn simple() -> (Running, String) {
    let (listener, name) = listener();
    (start(Setup::default(), &listener, Remains::default()), name)
}

impl Running {
    pub fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Runs something in the world and returns what it returns.
    pub fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut World) -> T + Send + 'static) -> T {
        let (sender, receiver) = std_mpsc::channel();
        self.tell(Command::With(Box::new(move |world| sender.send(act(world)).unwrap())));
        receiver.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Waits until something is true in the world.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&mut World) -> bool + Send + Clone + 'static) {
        for _ in 0..2000 {
            let condition = condition.clone();
            if self.with(move |world| condition(world)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("never: {what}");
    }

    pub fn define(&self, class: Class) {
        self.with(|world| world.take(Input::Define(Box::new(class))));
    }

    /// Has it die by itself at the next call.
    pub fn die(&self, death: Death) {
        self.with(move |world| world.death = death);
    }

    /// Waits until it has died by itself.
    pub fn corpse(self) -> Remains {
        self.thread.join().unwrap()
    }

    pub fn flush_and_die(self) -> Remains {
        self.tell(Command::FlushAndDie);
        self.corpse()
    }

    pub fn kill(self) -> Remains {
        self.tell(Command::Die);
        self.corpse()
    }
}

/// A service named like this with one instance for each `$N`.
pub fn service(name: &str) -> Class {
    let mut class = Class::new(name);
    class.instance = "$N".into();
    class.env = vec!["N=".into()];
    class.main = Some(Program::Exec("sleep 600".into()));
    class
}

impl World {
    fn come_back(setup: Setup, listener: UnixListener, remains: Remains) -> Self {
        let Remains { state, held, released, log } = remains;
        let config = DbusConfig {
            own_uid: nix::unistd::geteuid().as_raw(),
            is_session: setup.is_session,
            may_exit: setup.is_session,
            version: "stayup 0".into(),
            has_chroot_sessions: false,
            bus_address: setup.bus_address,
        };
        let above = held.keys().filter_map(|name| manager::dbus::connection_number(name)).max().unwrap_or(0);
        let mut dbus = Dbus::new(config, above.max(state.last_connection()) + 1).unwrap();
        dbus.view_mut().sources = vec![Source { path: "/conf".into(), files: vec!["/conf/a.conf".into()] }];
        dbus.view_mut().recovery = vec![("Reason".into(), Detail::Text("test".into()))];
        dbus.listen(listener).unwrap();
        let copies = held.iter().map(|(name, descriptor)| (name.clone(), descriptor.try_clone().unwrap()));
        assert!(dbus.resume(copies.collect()).is_empty());
        let mut world =
            Self { state, dbus, held, released, log, controls: Vec::new(), files: Vec::new(), death: Death::Never };
        if setup.is_session != world.state.settings().is_session {
            let settings = Settings { is_session: setup.is_session, ..Settings::default() };
            world.take(Input::Settings(Box::new(settings)));
        }
        let is_restart = world.state.generation() > 0 || !world.held.is_empty();
        let connections = world.dbus.connections();
        let entries = roll_call(&world.state);
        world.take(Input::RollCall(RollCall {
            is_restart,
            reason: "test".into(),
            entries,
            connections,
            ..RollCall::default()
        }));
        world
    }

    async fn live(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> Remains {
        loop {
            let is_over = tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::With(act)) => {
                        act(&mut self);
                        false
                    }
                    Some(Command::FlushAndDie) => {
                        self.dbus.flush(Duration::from_secs(5)).await;
                        true
                    }
                    Some(Command::Die) | None => true,
                },
                incoming = self.dbus.next(&self.state) => self.receive(incoming),
            };
            if is_over {
                return Remains { state: self.state, held: self.held, released: self.released, log: self.log };
            }
        }
    }

    fn receive(&mut self, incoming: Incoming) -> bool {
        match incoming {
            Incoming::Opened { name, descriptor, .. } | Incoming::Hold { name, descriptor, .. } => {
                self.held.insert(name, descriptor);
            }
            Incoming::Release { name, .. } => {
                self.held.remove(&name);
                self.released.push(name);
            }
            Incoming::Closed { connection, name } => {
                self.held.remove(&name);
                self.take(Input::Disconnected(connection));
            }
            Incoming::Root(_) => {}
            Incoming::Call { caller, call, file } => {
                self.files.extend(file);
                if self.death == Death::BeforeJournal {
                    return true;
                }
                let outcome = machine::turn(&mut self.state, 1, Input::Call(caller.clone(), call));
                if self.death == Death::AfterJournal {
                    return true;
                }
                self.perform(outcome.effects);
                if self.death == Death::BeforeDone {
                    return true;
                }
                self.dbus.done(&caller);
            }
            Incoming::Control { caller, control } => {
                self.controls.push(control);
                if self.death != Death::BeforeAnswer {
                    self.dbus.reply(&caller, Ok(()));
                }
            }
            Incoming::Log(_, text) => self.log.push(text),
        }
        false
    }

    pub fn take(&mut self, input: Input) {
        let effects = machine::turn(&mut self.state, 1, input).effects;
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut last = 0;
        for effect in effects {
            match effect {
                Effect::Spawn(ticket) => {
                    let pid = 1000 + i32::try_from(ticket).unwrap();
                    self.take(Input::Spawned { ticket, pid, start_time_ticks: 1 });
                }
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
}

fn roll_call(state: &State) -> Vec<machine::input::RollCallEntry> {
    let of = |instance: &machine::job::Instance| {
        let (class, name) = (instance.class.clone(), instance.name.clone());
        let entry = move |process: &machine::job::Process| machine::input::RollCallEntry {
            ticket: process.ticket,
            label: machine::spawn::label(process.kind, &class, &name),
            pid: 1000 + i32::try_from(process.ticket).unwrap(),
            start_time_ticks: 1,
            last_signal_request: 0,
            condition: machine::input::RollCallCondition::Running { forks_left: 0, has_stopped: false },
        };
        instance.processes.iter().map(entry).collect::<Vec<_>>()
    };
    state.instances().flat_map(of).collect()
}

pub const MANAGER: &str = "/com/ubuntu/Upstart";
pub const UPSTART: &str = "com.ubuntu.Upstart0_6";
pub const JOB: &str = "com.ubuntu.Upstart0_6.Job";
pub const INSTANCE: &str = "com.ubuntu.Upstart0_6.Instance";
pub const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// An error reply: name and text.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub String, pub String);

/// A client that sees every byte.
pub struct Client {
    pub stream: UnixStream,
    buffer: Vec<u8>,
    pub signals: Vec<Message>,
    pub destination: Option<String>,
}

impl Client {
    pub fn new(name: &str) -> Self {
        Self::greet(connect(name))
    }

    pub fn greet(mut stream: UnixStream) -> Self {
        stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n").unwrap();
        let mut client = Self { stream, buffer: Vec::new(), signals: Vec::new(), destination: None };
        // Signals may follow at once.
        let end = b"AGREE_UNIX_FD\r\n";
        loop {
            if let Some(at) = client.buffer.windows(end.len()).position(|window| window == end) {
                client.buffer.drain(..at + end.len());
                return client;
            }
            assert!(client.fill() > 0, "refused");
        }
    }

    /// The other end of what connects to us as to a bus.
    pub fn accept(listener: &UnixListener) -> Self {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        let mut answered = 0;
        while !said.ends_with(b"BEGIN\r\n") {
            stream.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
            let lines = said.iter().filter(|byte| **byte == b'\n').count();
            if lines > answered {
                answered = lines;
                let line = said[..said.len() - 2].rsplit(|byte| *byte == b'\n').next().unwrap();
                let answer: &[u8] = match line {
                    line if line.ends_with(b"NEGOTIATE_UNIX_FD") => b"AGREE_UNIX_FD\r\n",
                    b"BEGIN" => b"",
                    _ => b"OK 0123456789abcdef0123456789abcdef\r\n",
                };
                stream.write_all(answer).unwrap();
            }
        }
        Self { stream, buffer: Vec::new(), signals: Vec::new(), destination: None }
    }

    /// Answers a call.
    pub fn answer<B>(&mut self, call: &Message, body: &B)
    where
        B: serde::Serialize + DynamicType,
    {
        let answer = Message::method_return(&call.header()).build(body).unwrap();
        self.stream.write_all(answer.data()).unwrap();
    }

    fn fill(&mut self) -> usize {
        let mut part = [0; 65536];
        let count = self.stream.read(&mut part).unwrap_or(0);
        self.buffer.extend_from_slice(&part[..count]);
        count
    }

    /// The next message; none at the end of the connection.
    pub fn receive(&mut self) -> Option<Message> {
        loop {
            if self.buffer.len() >= 16 {
                let number = |at: usize| u32::from_le_bytes(self.buffer[at..at + 4].try_into().unwrap()) as usize;
                let total = 16 + number(12).next_multiple_of(8) + number(4);
                if self.buffer.len() >= total {
                    let bytes: Vec<u8> = self.buffer.drain(..total).collect();
                    let data = Data::new(bytes, Context::new(zbus::wire::LE, 0));
                    // SAFETY: the bytes are those of a D-Bus message; getters fail where they are not.
                    return Some(unsafe { Message::from_bytes(data) }.unwrap());
                }
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    pub fn build<B>(&self, path: &str, interface: &str, member: &str, body: &B) -> Message
    where
        B: serde::Serialize + DynamicType,
    {
        let mut builder = Message::method_call(path, member);
        if !interface.is_empty() {
            builder = builder.interface(interface);
        }
        if let Some(destination) = &self.destination {
            builder = builder.destination(destination.as_str());
        }
        builder.build(body).unwrap()
    }

    pub fn send<B>(&mut self, path: &str, interface: &str, member: &str, body: &B) -> u32
    where
        B: serde::Serialize + DynamicType,
    {
        let message = self.build(path, interface, member, body);
        self.stream.write_all(message.data().bytes()).unwrap();
        message.primary_header().serial_num().get()
    }

    pub fn send_silently<B>(&mut self, path: &str, interface: &str, member: &str, body: &B)
    where
        B: serde::Serialize + DynamicType,
    {
        let builder = Message::method_call(path, member).interface(interface);
        let message = builder.with_flags(Flags::NO_REPLY_EXPECTED).build(body).unwrap();
        self.stream.write_all(message.data().bytes()).unwrap();
    }

    /// Sends a message with a descriptor.
    pub fn send_with_file(&mut self, message: &Message, descriptor: RawFd) {
        let (bytes, descriptors) = ([IoSlice::new(message.data().bytes())], [descriptor]);
        let rights = [nix::sys::socket::ControlMessage::ScmRights(&descriptors)];
        let flags = nix::sys::socket::MsgFlags::empty();
        nix::sys::socket::sendmsg::<()>(self.stream.as_raw_fd(), &bytes, &rights, flags, None).unwrap();
    }

    pub fn reply(&mut self, serial: u32) -> Result<Message, Refused> {
        loop {
            let message = self.receive().expect("the connection has ended");
            let is_reply = message.header().reply_serial().is_some_and(|reply| reply.get() == serial);
            match message.message_type() {
                Type::Signal => self.signals.push(message),
                Type::MethodReturn if is_reply => return Ok(message),
                Type::Error if is_reply => {
                    let name = message.header().error_name().unwrap().to_string();
                    return Err(Refused(name, message.body().deserialize::<String>().unwrap_or_default()));
                }
                _ => {}
            }
        }
    }

    pub fn call<B>(&mut self, path: &str, interface: &str, member: &str, body: &B) -> Result<Message, Refused>
    where
        B: serde::Serialize + DynamicType,
    {
        let serial = self.send(path, interface, member, body);
        self.reply(serial)
    }

    pub fn ping(&mut self) {
        self.call("/", "org.freedesktop.DBus.Peer", "Ping", &()).unwrap();
    }

    /// Waits for a signal.
    pub fn signal(&mut self, member: &str) -> Message {
        loop {
            let is_it = |message: &Message| message.header().member().is_some_and(|name| name.as_str() == member);
            if let Some(at) = self.signals.iter().position(is_it) {
                return self.signals.remove(at);
            }
            let message = self.receive().expect("the connection has ended");
            if message.message_type() == Type::Signal {
                self.signals.push(message);
            }
        }
    }
}

/// A body of one string.
pub fn text(message: &Message) -> String {
    message.body().deserialize().unwrap()
}

/// A body of one object path.
pub fn object(message: &Message) -> String {
    message.body().deserialize::<zbus::ObjectPath<'_>>().unwrap().to_string()
}

/// Whether tests can take on another user; says so if not.
pub fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: needs root, to take on another user");
    }
    is_root
}

/// Does something as another user, in a thread of its own (credentials belong to threads, glibc's wrappers aside).
pub fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: only numbers are passed; the thread ends before anything else runs in it.
            let result = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
            assert_eq!(result, 0);
            act()
        });
        thread.join().unwrap()
    })
}
