//! `expect notify`: what jobs say of themselves (sd_notify(3)).
//!
//! The manager listens on two datagram sockets that the keeper holds, so that no message is lost with a manager. One has a
//! path below the runtime directory, for jobs in a network namespace of their own; the other has an abstract name, for
//! jobs in a chroot, which cannot see the path. A message stays in its socket until what it led to is in the journal:
//! it is looked at first and removed after its turn ([`Notify::consume`]); a manager that comes after a crash sees it again.
//!
//! **Who is it?** The kernel tells the sender's pid (`SCM_CREDENTIALS`). It is the job's if it is its main process, is in
//! the session or process group of that, or has it among its parents; or, where its parents are gone, if its environment
//! names the job and it runs as the same user. Of a sender that is gone by then nothing more can be known: its message
//! counts for the one job that waits for one and runs as the same user, if there is exactly one.
//! Understood are `READY=1` and, for the log, `STATUS=`; everything else is ignored. Descriptors are closed unseen, which is
//! what `BARRIER=1` asks for.

use std::fs;
use std::future::pending;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::path::{Path, PathBuf};

use machine::class::Expect;
use machine::job::{Instance, Process, ProcessKind};
use machine::parse::bytes_of;
use machine::spawn::Spawn;
use machine::state::State;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recv, recvmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use crate::scope::Scope;

/// Longer messages are nobody's business, in bytes; systemd's own limit is the same.
const MESSAGE_MAX_BYTES: usize = 4096;

/// How many generations a helper may be away from its main process.
const GENERATIONS_MAX: usize = 64;

/// Names under which the keeper holds the sockets.
const BY_PATH: &str = "notify-path";
const BY_NAME: &str = "notify-name";

/// One message, still in its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    socket: usize,
    /// Process and user of the sender.
    sender: (i32, u32),
    text: String,
}

impl Message {
    /// Whether it says that the job is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.text.lines().any(|line| line == "READY=1")
    }

    /// What the job says of how it is, fit for the log.
    #[must_use]
    pub fn status(&self) -> Option<String> {
        let status = self.text.lines().find_map(|line| line.strip_prefix("STATUS="))?;
        Some(status.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect())
    }
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The main process of this ticket, or one of its.
    Of(u64),
    /// Perhaps that of a ticket whose process has not been heard of: ask again when the keeper has said more.
    Unheard,
    /// Nobody's.
    Stranger,
}

/// The sockets.
#[derive(Debug)]
pub struct Notify {
    sockets: Vec<UnixDatagram>,
    path: Option<PathBuf>,
    name: Option<String>,
    waits_for_keeper: bool,
}

/// What [`Notify::start`] has made.
#[derive(Debug)]
pub struct Started {
    /// The sockets.
    pub notify: Notify,
    /// To be held by the keeper: new sockets by name.
    pub to_hold: Vec<(String, OwnedFd)>,
    /// What is wrong, for the log. Jobs then wait in vain, and the log says so for each.
    pub problems: Vec<String>,
}

impl Notify {
    /// Takes over the sockets that the keeper holds, or makes them.
    #[must_use]
    pub fn start(scope: &Scope, held: &mut Vec<(String, OwnedFd)>) -> Started {
        let mut started = Started {
            notify: Self { sockets: Vec::new(), path: None, name: None, waits_for_keeper: false },
            to_hold: Vec::new(),
            problems: Vec::new(),
        };
        let path = scope.notify_path();
        let name = format!("{}/notify", scope.socket);
        let old = take(held, BY_PATH).filter(|_| path.exists());
        match adopt_or_make(old, BY_PATH, || bind_path(&path, scope.is_session), &mut started) {
            Ok(()) => started.notify.path = Some(path),
            Err(error) => started.problems.push(format!("{}: {error}; `expect notify' will not work", path.display())),
        }
        let old = take(held, BY_NAME);
        let bind = || StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?);
        match adopt_or_make(old, BY_NAME, bind, &mut started) {
            Ok(()) => started.notify.name = Some(name),
            Err(error) => {
                started.problems.push(format!("@{name}: {error}; `expect notify' will not work in a chroot"));
            }
        }
        started
    }

    /// The value of `NOTIFY_SOCKET` for a process; none if it is not expected to say anything.
    #[must_use]
    pub fn address_for(&self, spawn: &Spawn) -> Option<String> {
        if spawn.expect != Expect::Notify {
            return None;
        }
        let name = self.name.as_ref().map(|name| format!("@{name}"));
        let path = self.path.as_ref().map(|path| path.display().to_string());
        if spawn.attributes.chroot.is_some() { name } else { path.or(name) }
    }

    /// The next message. Cancel-safe. It comes again and again until it is consumed.
    pub async fn next(&self) -> Message {
        if self.waits_for_keeper {
            pending::<()>().await;
        }
        loop {
            tokio::select! {
                () = readable(self.sockets.first()) => {}
                () = readable(self.sockets.get(1)) => {}
            }
            for (index, socket) in self.sockets.iter().enumerate() {
                match socket.try_io(Interest::READABLE, || peek(socket)) {
                    Ok((sender, text)) => return Message { socket: index, sender, text },
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // Nothing that this message could be of use for.
                    Err(_) => self.drop_first(index),
                }
            }
        }
    }

    /// Leaves the message where it is until the keeper has said something.
    pub fn wait_for_keeper(&mut self) {
        self.waits_for_keeper = true;
    }

    /// The keeper has said something.
    pub fn keeper_has_spoken(&mut self) {
        self.waits_for_keeper = false;
    }

    /// Removes a message: what it led to is in the journal.
    pub fn consume(&self, message: &Message) {
        self.drop_first(message.socket);
    }

    fn drop_first(&self, socket: usize) {
        if let Some(socket) = self.sockets.get(socket) {
            // What is not read of a datagram is thrown away with it, and so are its descriptors.
            let _ = recv(socket.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT);
        }
    }

    /// Removes the path at the session's end.
    pub fn remove(&self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Never for a socket that is not there, or has become unusable.
async fn readable(socket: Option<&UnixDatagram>) {
    match socket {
        Some(socket) if socket.readable().await.is_ok() => {}
        _ => pending().await,
    }
}

fn take(held: &mut Vec<(String, OwnedFd)>, name: &str) -> Option<OwnedFd> {
    held.iter().position(|(held, _)| held == name).map(|at| held.swap_remove(at).1)
}

fn adopt_or_make(
    old: Option<OwnedFd>,
    name: &str,
    bind: impl FnOnce() -> io::Result<StdDatagram>,
    started: &mut Started,
) -> io::Result<()> {
    let (socket, is_new) = match old {
        Some(old) => (StdDatagram::from(old), false),
        None => (bind()?, true),
    };
    setsockopt(&socket, sockopt::PassCred, &true)?;
    socket.set_nonblocking(true)?;
    if is_new {
        started.to_hold.push((name.to_owned(), socket.as_fd().try_clone_to_owned()?));
    }
    started.notify.sockets.push(UnixDatagram::from_std(socket)?);
    Ok(())
}

/// Jobs of all users must get at the system's socket; who they are is told by the kernel.
fn bind_path(path: &Path, is_session: bool) -> io::Result<StdDatagram> {
    if let Some(directory) = path.parent() {
        let mode = if is_session { 0o700 } else { 0o755 };
        fs::DirBuilder::new().recursive(true).mode(mode).create(directory)?;
        // The journal, which is for our eyes only, may have made it first; it has a mode of its own.
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = StdDatagram::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(if is_session { 0o600 } else { 0o666 }))?;
    Ok(socket)
}

/// Looks at the first message of a socket.
fn peek(socket: &UnixDatagram) -> io::Result<((i32, u32), String)> {
    let mut bytes = vec![0; MESSAGE_MAX_BYTES];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    // Room for the credentials and nothing else: the kernel then gives no descriptors.
    let mut control = nix::cmsg_space!(UnixCredentials);
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let sender = received.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(sender) => Some((sender.pid(), sender.uid())),
            _ => None,
        })
    });
    let is_cut = received.flags.contains(MsgFlags::MSG_TRUNC);
    let length = received.bytes;
    match sender {
        Some(sender) if !is_cut => Ok((sender, String::from_utf8_lossy(&bytes[..length]).into_owned())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "without a sender, or too long")),
    }
}

/// Finds out whose a message is; see the module.
#[must_use]
pub fn sender(state: &State, message: &Message) -> Sender {
    let (pid, uid) = message.sender;
    let expects = |class: &str| state.class(class).is_some_and(|found| found.definition.expect == Expect::Notify);
    let instances: Vec<&Instance> = state.instances().filter(|instance| expects(&instance.class)).collect();
    let mains: Vec<&Process> = instances.iter().filter_map(|instance| instance.process(ProcessKind::Main)).collect();
    let main_of = |pid: i32| mains.iter().find(|main| pid > 0 && main.pid == pid).map(|main| main.ticket);
    let mut next = pid;
    let mut is_gone = false;
    for generation in 0..GENERATIONS_MAX {
        if let Some(ticket) = main_of(next) {
            return Sender::Of(ticket);
        }
        let Some([parent, group, session]) = relatives(next) else {
            is_gone = generation == 0;
            break;
        };
        if let Some(ticket) = main_of(session).or_else(|| main_of(group)) {
            return Sender::Of(ticket);
        }
        if parent <= 1 {
            break;
        }
        next = parent;
    }
    if mains.iter().any(|main| main.pid == 0) {
        return Sender::Unheard;
    }
    let is_ours = |main: &Process| owner(main.pid) == Some(uid);
    // A zombie has none any more.
    let environment = if is_gone { Vec::new() } else { fs::read(format!("/proc/{pid}/environ")).unwrap_or_default() };
    if !environment.is_empty() {
        let named = instances.iter().find(|instance| is_of(&environment, instance));
        let named = named.and_then(|instance| instance.process(ProcessKind::Main));
        return named.filter(|main| is_ours(main)).map_or(Sender::Stranger, |main| Sender::Of(main.ticket));
    }
    let waiting = mains.iter().filter(|main| main.awaits > 0 && is_ours(main));
    match waiting.map(|main| main.ticket).collect::<Vec<_>>()[..] {
        [only] => Sender::Of(only),
        _ => Sender::Stranger,
    }
}

/// Whether the environment of a process (proc_pid_environ(5)) is that of an instance.
fn is_of(environment: &[u8], instance: &Instance) -> bool {
    let has = |entry: String| environment.split(|&byte| byte == 0).any(|found| found == bytes_of(&entry).as_ref());
    has(format!("UPSTART_JOB={}", instance.class)) && has(format!("UPSTART_INSTANCE={}", instance.name))
}

/// Parent, process group and session of a process (proc_pid_stat(5)); none if it is gone, or of another pid namespace.
fn relatives(pid: i32) -> Option<[i32; 3]> {
    if pid <= 0 {
        return None;
    }
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
    let rest = std::str::from_utf8(&text[after_name..]).ok()?;
    let mut numbers = rest.split_ascii_whitespace().skip(1).map_while(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

fn owner(pid: i32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|found| found.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message { socket: 0, sender: (1, 0), text: text.into() }
    }

    #[test]
    fn only_the_words_themselves_count() {
        assert!(message("STATUS=well\nREADY=1\nMAINPID=4").is_ready());
        for other in ["", "READY=0", "READY=11", "ready=1", "XREADY=1", "\0\n\nREADY", "READY = 1"] {
            assert!(!message(other).is_ready(), "{other:?}");
        }
    }

    #[test]
    fn a_status_cannot_write_on_the_terminal() {
        assert_eq!(message("READY=1\nSTATUS=\x1b[2Jfine").status().as_deref(), Some(" [2Jfine"));
        assert_eq!(message("READY=1").status(), None);
    }

    #[test]
    fn relatives_of_this_process_are_known() {
        let own = i32::try_from(std::process::id()).unwrap();
        let [parent, ..] = relatives(own).unwrap();
        assert_eq!(parent, nix::unistd::getppid().as_raw());
        assert_eq!(relatives(0), None);
    }
}
