//! One D-Bus connection to an init: calls, answers, signals.
//!
//! Knows how to reach an init and how to wait for it. Must never know what a method means; see `remote` for that.
//!
//! A call has no timeout: a client of an init waits as long as the job takes, also while the init executes itself
//! anew, because the connection outlives that. Replies are matched by serial on one message stream, so that any
//! number of calls can be under way at once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::message::{Flags, Type as MessageType};
use zbus::{Connection, DynamicType, Message, MessageStream, connection};

use crate::address::{AddressError, SYSTEM_BUS, SYSTEM_PRIVATE, Socket, strerror};

/// How long a handshake that the init cuts short is tried again: it is executing itself anew just then.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// Bus name and interface of the bus itself.
const DAEMON: &str = "org.freedesktop.DBus";
/// First pause between two such tries; it doubles up to half a second.
const HANDSHAKE_PAUSE: Duration = Duration::from_millis(10);

/// Which init to talk to, and by which way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// An init's private socket at this D-Bus address.
    Private(String),
    /// The system bus at this D-Bus address, and the bus name of the init.
    SystemBus(String, String),
    /// The session bus at this D-Bus address, and the bus name of the init.
    SessionBus(String, String),
}

impl Target {
    /// The private socket of the system init.
    pub fn system() -> Self {
        Self::Private(SYSTEM_PRIVATE.to_owned())
    }

    /// The system bus, where `$DBUS_SYSTEM_BUS_ADDRESS` says it is.
    pub fn system_bus(name: &str) -> Self {
        let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|_| SYSTEM_BUS.to_owned());
        Self::SystemBus(address, name.to_owned())
    }

    /// The session bus, where `$DBUS_SESSION_BUS_ADDRESS` says it is, or else `bus` in `$XDG_RUNTIME_DIR` or what logins
    /// set that to.
    pub fn session_bus(name: &str) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let address = variable("DBUS_SESSION_BUS_ADDRESS").unwrap_or_else(|| {
            let directory = variable("XDG_RUNTIME_DIR");
            let directory = directory.unwrap_or_else(|| format!("/run/user/{}", nix::unistd::getuid()));
            format!("unix:path={directory}/bus")
        });
        Self::SessionBus(address, name.to_owned())
    }

    fn address(&self) -> &str {
        match self {
            Self::Private(address) | Self::SystemBus(address, _) | Self::SessionBus(address, _) => address,
        }
    }

    fn peer(&self) -> &'static str {
        match self {
            Self::Private(_) => "Upstart",
            Self::SystemBus(..) => "system bus",
            Self::SessionBus(..) => "session bus",
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub struct ConnectError {
    peer: &'static str,
    cause: ConnectCause,
}

/// What stood in the way of a connection.
#[derive(Debug)]
pub enum ConnectCause {
    /// There is no socket.
    Address(AddressError),
    /// The socket was there, the D-Bus handshake failed.
    Handshake(zbus::Error),
}

impl ConnectError {
    /// What stood in the way.
    pub fn cause(&self) -> &ConnectCause {
        &self.cause
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Unable to connect to {}: ", self.peer)?;
        match &self.cause {
            ConnectCause::Address(error) => error.fmt(out),
            ConnectCause::Handshake(zbus::Error::InputOutput(error)) => out.write_str(&strerror(error)),
            ConnectCause::Handshake(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for ConnectError {}

/// An error reply: its D-Bus name and its text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The name, such as `com.ubuntu.Upstart0_6.Error.UnknownJob`.
    pub name: String,
    /// The text, which is what people are shown.
    pub text: String,
}

/// Why a call has no result.
#[derive(Debug)]
pub enum CallError {
    /// The init answered with an error.
    Refused(Refusal),
    /// The connection ended before the answer.
    Disconnected,
    /// The call could not be put into a message, or the answer not read.
    Malformed(zbus::Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => out.write_str(&refusal.text),
            Self::Disconnected => out.write_str("Connection was disconnected before a reply was received"),
            Self::Malformed(error) => write!(out, "Malformed message: {error}"),
        }
    }
}

impl std::error::Error for CallError {}

/// A method call that has not been sent yet.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Object path.
    pub path: &'a str,
    /// Interface of the method.
    pub interface: &'a str,
    /// Name of the method.
    pub member: &'a str,
}

/// A signal as it came in.
#[derive(Debug)]
pub struct Signal {
    message: Message,
}

impl Signal {
    /// Object path of the sender.
    pub fn path(&self) -> String {
        self.message.header().path().map_or_else(String::new, ToString::to_string)
    }

    /// Whether this is the signal `member` of `interface`.
    pub fn is(&self, interface: &str, member: &str) -> bool {
        let header = self.message.header();
        header.interface().is_some_and(|found| found.as_str() == interface)
            && header.member().is_some_and(|found| found.as_str() == member)
    }

    /// If this tells that the name of the init on the bus has changed hands: whether it has an owner now.
    pub fn new_owner(&self) -> Option<bool> {
        if !self.is(DAEMON, "NameOwnerChanged") {
            return None;
        }
        let (_, _, owner): (String, String, String) = self.arguments().ok()?;
        Some(!owner.is_empty())
    }

    /// The object path that is the only argument.
    ///
    /// # Errors
    /// `Malformed` if there is something else.
    pub fn object_argument(&self) -> Result<String, CallError> {
        let path: zbus::OwnedObjectPath = self.arguments()?;
        Ok(path.to_string())
    }

    /// The arguments.
    ///
    /// # Errors
    /// `Malformed` if they have other types.
    pub fn arguments<T: DeserializeOwned + zbus::Type>(&self) -> Result<T, CallError> {
        decode(&self.message)
    }
}

/// A connection to an init.
#[derive(Debug)]
pub struct Bus {
    connection: Connection,
    stream: MessageStream,
    /// Signals that came in while a reply was awaited, for one who wants them.
    signals: VecDeque<Signal>,
    wants_signals: bool,
    destination: Option<String>,
}

impl Bus {
    /// Connects. A handshake that is cut short (the init is executing itself anew) is tried again for a few
    /// seconds; a socket that is absent or refuses is an error at once.
    ///
    /// # Errors
    /// See [`ConnectCause`].
    pub async fn connect(target: &Target) -> Result<Self, ConnectError> {
        let failed = |cause| ConnectError { peer: target.peer(), cause };
        let socket = Socket::parse(target.address()).map_err(|error| failed(ConnectCause::Address(error)))?;
        let deadline = Instant::now() + HANDSHAKE_PATIENCE;
        let mut pause = HANDSHAKE_PAUSE;
        loop {
            let stream = socket.connect().map_err(|error| failed(ConnectCause::Address(error)))?;
            let builder = connection::Builder::unix_stream(stream);
            let (builder, destination) = match target {
                Target::Private(_) => (builder.p2p(), None),
                Target::SystemBus(_, name) | Target::SessionBus(_, name) => (builder, Some(name.clone())),
            };
            match builder.build().await {
                Ok(connection) => {
                    let stream = MessageStream::from(&connection);
                    let mut bus =
                        Self { connection, stream, signals: VecDeque::new(), wants_signals: false, destination };
                    if bus.is_there(target).await || Instant::now() >= deadline {
                        return Ok(bus);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                Err(error) if cut_short(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                Err(error) => return Err(failed(ConnectCause::Handshake(error))),
            }
        }
    }

    /// Whether the init has heard us. The handshake's last word is the client's, so that an init which ends just then is
    /// noticed only by the first call: this one, which can be made again without harm. Once it is answered the connection
    /// outlives the init's process.
    async fn is_there(&mut self, target: &Target) -> bool {
        if !matches!(target, Target::Private(_)) {
            return true;
        }
        let ping = Call { path: "/", interface: "org.freedesktop.DBus.Peer", member: "Ping" };
        !matches!(self.call::<_, ()>(ping, &()).await, Err(CallError::Disconnected))
    }

    /// Calls a method and waits for its result, however long that takes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<A, R>(&mut self, call: Call<'_>, arguments: &A) -> Result<R, CallError>
    where
        A: Serialize + DynamicType,
        R: DeserializeOwned + zbus::Type,
    {
        let message = self.message(call, arguments)?;
        let mut replies = self.exchange(vec![message]).await?;
        replies.pop().ok_or(CallError::Disconnected)?.and_then(|reply| decode(&reply))
    }

    /// Sends the same kind of call to many objects at once and collects the results in the order of `paths`.
    ///
    /// # Errors
    /// `Disconnected` or `Malformed` for all; an error reply is the result of its own call only.
    pub async fn call_each<A, R>(
        &mut self,
        paths: &[String],
        interface: &str,
        member: &str,
        arguments: &A,
    ) -> Result<Vec<Result<R, CallError>>, CallError>
    where
        A: Serialize + DynamicType,
        R: DeserializeOwned + zbus::Type,
    {
        let messages = paths
            .iter()
            .map(|path| {
                let call = Call { path, interface, member };
                self.message(call, arguments)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let replies = self.exchange(messages).await?;
        Ok(replies.into_iter().map(|reply| reply.and_then(|reply| decode(&reply))).collect())
    }

    /// From now on signals that come in are kept for [`Bus::signal`], also those that come during calls. A message bus is
    /// asked to pass on the signals of the init, and to tell when its name changes hands; on a private socket every signal
    /// comes.
    ///
    /// # Errors
    /// As for [`Bus::call`].
    pub async fn subscribe(&mut self) -> Result<(), CallError> {
        self.wants_signals = true;
        let Some(name) = &self.destination else {
            return Ok(());
        };
        let of_init = format!("type='signal',sender='{name}'");
        let of_owner = format!("type='signal',sender='{DAEMON}',member='NameOwnerChanged',arg0='{name}'");
        for rule in [of_init, of_owner] {
            self.call_daemon::<()>("AddMatch", &rule).await?;
        }
        Ok(())
    }

    /// Whether the init has its name on the message bus; always so on a private socket.
    ///
    /// # Errors
    /// As for [`Bus::call`].
    pub async fn has_owner(&mut self) -> Result<bool, CallError> {
        match self.destination.clone() {
            Some(name) => self.call_daemon("NameHasOwner", &name).await,
            None => Ok(true),
        }
    }

    async fn call_daemon<R>(&mut self, member: &str, argument: &str) -> Result<R, CallError>
    where
        R: DeserializeOwned + zbus::Type,
    {
        let message = Message::method_call("/org/freedesktop/DBus", member)
            .interface(DAEMON)
            .destination(DAEMON)
            .build(&argument)
            .map_err(CallError::Malformed)?;
        let mut replies = self.exchange(vec![message]).await?;
        replies.pop().ok_or(CallError::Disconnected)?.and_then(|reply| decode(&reply))
    }

    /// The next signal, waiting for it.
    ///
    /// # Errors
    /// `Disconnected` when the connection ends.
    pub async fn signal(&mut self) -> Result<Signal, CallError> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            let message = next_message(&mut self.stream).await?;
            if message.message_type() == MessageType::Signal {
                return Ok(Signal { message });
            }
        }
    }

    /// Drops the signals that came in during calls, for those who do not want them.
    pub fn forget_signals(&mut self) {
        self.signals.clear();
    }

    fn message<A>(&self, call: Call<'_>, arguments: &A) -> Result<Message, CallError>
    where
        A: Serialize + DynamicType,
    {
        let mut builder = Message::method_call(call.path, call.member).interface(call.interface);
        if let Some(destination) = &self.destination {
            builder = builder.destination(destination.as_str()).with_flags(Flags::NO_AUTO_START);
        }
        builder.build(arguments).map_err(CallError::Malformed)
    }

    /// Sends all messages, and reads while it writes: an init that waits for us to read does not read from us.
    async fn exchange(&mut self, messages: Vec<Message>) -> Result<Vec<Result<Message, CallError>>, CallError> {
        let expected: HashMap<_, _> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| (message.primary_header().serial_num(), index))
            .collect();
        let mut replies: Vec<_> = messages.iter().map(|_| None).collect();
        let (stream, signals) = (&mut self.stream, self.wants_signals.then_some(&mut self.signals));
        let mut signals = signals;
        let collect = async {
            let mut missing = replies.len();
            while missing > 0 {
                let message = next_message(stream).await?;
                let kind = message.message_type();
                if kind == MessageType::Signal {
                    // Whoever waits for a job may wait through any number of them.
                    if let Some(signals) = &mut signals {
                        signals.push_back(Signal { message });
                    }
                    continue;
                }
                let serial = message.header().reply_serial();
                let Some(&index) = serial.and_then(|serial| expected.get(&serial)) else {
                    continue;
                };
                let reply = match kind {
                    MessageType::Error => Err(CallError::Refused(refusal(&message))),
                    _ => Ok(message),
                };
                if replies[index].replace(reply).is_none() {
                    missing -= 1;
                }
            }
            Ok(())
        };
        let send = async {
            let sent = self.connection.send_all(&messages).await;
            // A connection that breaks while we write may still hold the answer that explains why.
            if let Err(error) = sent
                && !matches!(error, zbus::Error::InputOutput(_))
            {
                return Err(CallError::Malformed(error));
            }
            Ok(())
        };
        tokio::try_join!(send, collect)?;
        Ok(replies.into_iter().flatten().collect())
    }
}

async fn next_message(stream: &mut MessageStream) -> Result<Message, CallError> {
    match poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await {
        Some(Ok(message)) => Ok(message),
        Some(Err(_)) | None => Err(CallError::Disconnected),
    }
}

/// Whether the peer went away in the middle of the handshake.
fn cut_short(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(error) if matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    ))
}

fn decode<T: DeserializeOwned + zbus::Type>(message: &Message) -> Result<T, CallError> {
    message.body().deserialize().map_err(CallError::Malformed)
}

fn refusal(message: &Message) -> Refusal {
    let name = message.header().error_name().map_or_else(String::new, ToString::to_string);
    let text = message.body().deserialize::<String>().unwrap_or_else(|_| name.clone());
    Refusal { name, text }
}
