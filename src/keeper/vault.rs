//! The vault: a small process beside a session's keeper that has copies of all held descriptors, so that these outlive a keeper
//! that is killed. Without it a job's terminal would be gone with its keeper, and the job with its next word.
//!
//! Two parts. In the keeper: what is held and released is passed on, never waiting; a vault that has ended is replaced. In the
//! vault: it takes what it is given until its keeper is gone, then waits for the next one of that session to fetch everything
//! from a socket beside the table. It ends when that has been done, when the table is gone (the session ended in order), or
//! when nobody has come for [`PATIENCE`]. Process 1 needs none: nothing outlives it.

#![allow(unsafe_code)] // fork(2), and numbers of inherited descriptors.

use crate::report::say;
use crate::supervise::{Keeper, VAULT};
use keeper::link::{Link, LinkError};
use keeper::place;
use keeper::protocol::{PACKET_MAX_FDS, ToKeeper, ToManager};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::unistd::geteuid;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The socket's name in the session's directory.
const SOCKET: &str = "vault";

/// How long a keeper's descriptors are kept for the next one.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How often a vault that nobody has come for looks whether its session is over, in milliseconds.
const LOOK_MS: u16 = 10_000;

/// How long the next keeper waits for what the vault has to give.
const HANDOVER: Duration = Duration::from_secs(2);

/// How soon after its start a new vault is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// More than this is told to a vault that does not listen: it is given up.
const WAITING_MAX: usize = 100_000;

/// The vault as the keeper sees it.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    link: Option<Link>,
    /// 0 for none.
    pid: i32,
    /// What it is to be told; of descriptors only the names.
    waiting: VecDeque<ToKeeper>,
    is_full: bool,
    /// That of the keeper before, which ends when this one has everything.
    before: Option<Link>,
    again_at: Option<Instant>,
}

impl Vault {
    /// Its process, which is nobody's orphan.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// When a new one is to be started.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again_at
    }

    fn tell(&mut self, message: ToKeeper) {
        if self.link.is_some() {
            self.waiting.push_back(message);
        }
    }

    /// A descriptor is held under this name.
    pub(crate) fn hold(&mut self, name: &str) {
        self.tell(ToKeeper::Hold { name: name.to_owned() });
    }

    /// It no longer is.
    pub(crate) fn release(&mut self, name: &str) {
        self.tell(ToKeeper::Release { name: name.to_owned() });
    }
}

impl Keeper {
    /// Fetches what the vault of a keeper that was killed has kept.
    pub(crate) fn fetch_from_vault(&mut self, number: i32) {
        let Ok(link) = reach(&socket_path(number)) else { return };
        let result = loop {
            match link.receive::<ToManager>() {
                Ok((ToManager::RollCallHeld { names }, descriptors)) => {
                    names.into_iter().zip(descriptors).for_each(|(name, descriptor)| self.hold(name, descriptor));
                }
                Ok((ToManager::RollCallEnd, _)) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        match result {
            Ok(()) => self.vault.before = Some(link),
            Err(error) => say!("the vault of the keeper before has not given everything: {error}"),
        }
    }

    /// Starts a vault and gives it a copy of everything. That of an image before, which cannot know whether it has everything,
    /// is let go.
    pub(crate) fn open_vault(&mut self) {
        self.vault.again_at = None;
        let number = self.table.head().session.load(std::sync::atomic::Ordering::Relaxed);
        if number == 0 || self.is_system {
            return;
        }
        let path = socket_path(number);
        if self.vault.before.is_none()
            && let Ok(link) = reach(&path)
        {
            self.vault.before = Some(link);
        }
        self.spare_pipe = None;
        self.spent.clear();
        match start(&path) {
            Ok((link, pid)) => {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, VAULT);
                if let Err(errno) = self.epoll.add(&link, event) {
                    say!("the vault is not watched: {}", errno.desc());
                }
                self.vault = Vault { link: Some(link), pid, before: self.vault.before.take(), ..Vault::default() };
                let names: Vec<String> = self.held.keys().cloned().collect();
                names.iter().for_each(|name| self.vault.hold(name));
            }
            Err(error) => {
                say!("no vault: {error}; if this process is killed, its jobs lose their terminals");
                self.vault.before = None;
                self.vault.again_at = Some(Instant::now() + 10 * AGAIN);
            }
        }
    }

    /// The vault has ended, or was killed.
    pub(crate) fn vault_ended(&mut self) {
        if self
            .vault
            .link
            .as_ref()
            .is_some_and(|link| matches!(link.receive::<ToManager>(), Err(LinkError::WouldBlock)))
        {
            // Only room towards it.
            return;
        }
        self.vault = Vault { again_at: Some(Instant::now() + AGAIN), ..Vault::default() };
    }

    /// Whatever is due now, and whatever it can be told without waiting.
    pub(crate) fn serve_vault(&mut self, now: Instant) {
        if self.vault.again_at.is_some_and(|at| at <= now) {
            self.open_vault();
        }
        let was_full = self.vault.is_full;
        self.vault.is_full = false;
        while let (Some(link), Some(message)) = (&self.vault.link, self.vault.waiting.front()) {
            let descriptor = match message {
                ToKeeper::Hold { name } => self.held.get(name),
                _ => None,
            };
            // What was released meanwhile is not held any longer; the release follows.
            let is_gone = matches!(message, ToKeeper::Hold { .. }) && descriptor.is_none();
            let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().map(|held| held.as_fd()).collect();
            match if is_gone { Ok(()) } else { link.send(message, &descriptors) } {
                Ok(()) => drop(self.vault.waiting.pop_front()),
                Err(LinkError::WouldBlock | LinkError::Os(Errno::ETOOMANYREFS)) => {
                    self.vault.is_full = true;
                    break;
                }
                // Its end is noticed where it is read.
                Err(LinkError::Closed) => self.vault.waiting.clear(),
                Err(error) => {
                    say!("vault: {error}");
                    self.vault.waiting.pop_front();
                }
            }
        }
        if self.vault.waiting.is_empty()
            && let Some(before) = self.vault.before.take()
        {
            // Ours has everything now, and the one before may end.
            let _ = before.send(&ToKeeper::Ready, &[]);
        }
        if self.vault.waiting.len() > WAITING_MAX {
            say!("the vault does not listen: starting another");
            let _ = crate::processes::kill(self.vault.pid, libc::SIGKILL);
            self.vault = Vault { again_at: Some(now + AGAIN), ..Vault::default() };
        }
        if let (true, Some(link)) = (was_full != self.vault.is_full, &self.vault.link) {
            let room = if self.vault.is_full { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            let _ = self.epoll.modify(link, &mut EpollEvent::new(EpollFlags::EPOLLIN | room, VAULT));
        }
    }
}

fn socket_path(number: i32) -> PathBuf {
    place::session(number).join(SOCKET)
}

/// Removes the socket at the session's end; the vault sees by the missing table that it may go.
pub(crate) fn leave(number: i32) {
    let _ = std::fs::remove_file(socket_path(number));
}

fn seqpacket() -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// Connects to a vault, which must be this user's own.
fn reach(path: &Path) -> nix::Result<Link> {
    let socket = seqpacket()?;
    let timeout = TimeVal::milliseconds(i64::try_from(HANDOVER.as_millis()).unwrap_or(i64::MAX));
    setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)?;
    setsockopt(&socket, sockopt::SendTimeout, &timeout)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    if getsockopt(&socket, sockopt::PeerCredentials)?.uid() != geteuid().as_raw() {
        return Err(Errno::EPERM);
    }
    Ok(Link::from(socket))
}

/// Starts a vault: our end of the link to it, and its process.
fn start(path: &Path) -> nix::Result<(Link, i32)> {
    let listener = seqpacket()?;
    match nix::unistd::unlink(path) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&listener, Backlog::new(4)?)?;
    let to_errno = |error: LinkError| match error {
        LinkError::Os(errno) => errno,
        _ => Errno::EMFILE,
    };
    let (ours, theirs) = Link::pair().map_err(to_errno)?;
    ours.set_nonblocking(true).map_err(to_errno)?;
    // SAFETY: one thread, so no lock is held by another one. The child never comes back.
    match Errno::result(unsafe { libc::fork() })? {
        0 => live(theirs, &listener, path),
        pid => Ok((ours, pid)),
    }
}

/// The vault's life.
fn live(keeper: Link, listener: &OwnedFd, socket: &Path) -> ! {
    let _ = nix::unistd::setsid();
    // SAFETY: the name is a literal.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"init-vault".as_ptr()) };
    close_all_but([keeper.as_raw_fd(), listener.as_raw_fd()]);
    let mut held: BTreeMap<String, OwnedFd> = BTreeMap::new();
    loop {
        match keeper.receive::<ToKeeper>() {
            Ok((ToKeeper::Hold { name }, mut descriptors)) => {
                if let Some(descriptor) = descriptors.pop() {
                    held.insert(name, descriptor);
                }
            }
            Ok((ToKeeper::Release { name }, _)) => drop(held.remove(&name)),
            Ok(_) | Err(LinkError::Malformed(_) | LinkError::DescriptorsLost | LinkError::WouldBlock) => {}
            Err(_) => break,
        }
    }
    drop(keeper);
    let table = socket.with_file_name(place::TABLE);
    let limit = Instant::now() + PATIENCE;
    while table.exists() && Instant::now() < limit {
        let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let has_come = poll(&mut polled, PollTimeout::from(LOOK_MS)).is_ok_and(|count| count > 0);
        if has_come && serve(listener, &held) {
            break;
        }
    }
    // SAFETY: runs nothing of the keeper's, whose memory this is a copy of.
    unsafe { libc::_exit(0) }
}

/// Gives everything to a keeper; whether that has it now for good.
fn serve(listener: &OwnedFd, held: &BTreeMap<String, OwnedFd>) -> bool {
    let Ok(number) = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) else { return false };
    // SAFETY: a fresh descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let is_own = getsockopt(&socket, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == geteuid().as_raw());
    if !is_own {
        return false;
    }
    let link = Link::from(socket);
    let names: Vec<&String> = held.keys().collect();
    for names in names.chunks(PACKET_MAX_FDS) {
        let descriptors: Vec<BorrowedFd<'_>> =
            names.iter().filter_map(|name| held.get(*name)).map(|fd| fd.as_fd()).collect();
        let names = names.iter().map(|name| (*name).clone()).collect();
        if link.send(&ToManager::RollCallHeld { names }, &descriptors).is_err() {
            // It may not want them, and have said so.
            break;
        }
    }
    let _ = link.send(&ToManager::RollCallEnd, &[]);
    let mut answer = link.receive::<ToKeeper>();
    if matches!(answer, Err(LinkError::Closed)) {
        // One that has closed its end without reading resets the connection: the kernel tells that before what was said.
        answer = link.receive();
    }
    matches!(answer, Ok((ToKeeper::Ready, _)))
}

/// Closes everything else; standard input, output and error are not to be kept from ending either.
fn close_all_but(mut kept: [i32; 2]) {
    kept.sort_unstable();
    let mut from: libc::c_uint = 0;
    for last in kept.map(i32::cast_unsigned).into_iter().chain([libc::c_uint::MAX]) {
        if last > from {
            let to = if last == libc::c_uint::MAX { last } else { last - 1 };
            // SAFETY: touches no memory; nothing in this process uses what is closed (Linux 5.9).
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
        from = last.saturating_add(1);
    }
    for _ in 0..3 {
        // The lowest free numbers.
        // SAFETY: a valid string; the number is nobody's.
        unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    }
}
