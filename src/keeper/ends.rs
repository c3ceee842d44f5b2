//! How strangers ended: for the keeper of a session that has taken over processes of one that was killed. Their parent is
//! whoever takes orphans there, and where that is a keeper, it can tell what it has reaped. Needed before Linux 6.15, where a
//! pidfd does not say how its process has ended.
//!
//! One question and one answer are one datagram each. Who asks is known by the kernel's word (`SCM_CREDENTIALS`, unix(7)), and is
//! told of processes of its own user only; who answers must be the process that was asked.

use bincode::{Decode, Encode};
use keeper::protocol::{ExitStatus, decode, encode};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, connect,
    recvmsg, send, sendto, setsockopt, socket, sockopt,
};
use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

/// So many ends are remembered, the newest ones; 160 KiB.
const REMEMBERED: usize = 4096;

/// Questions answered before the loop looks at everything else again.
const AT_ONCE: usize = 16;

/// How long an answer may take, in milliseconds.
const PATIENCE_MS: u16 = 100;

/// A child that no ticket names, and how it ended.
#[derive(Clone, Copy, Debug)]
struct End {
    pid: i32,
    start_time_ticks: u64,
    uid: u32,
    status: ExitStatus,
}

/// How did the process end that had this pid and started in this time?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Question {
    pid: i32,
    from_ticks: u64,
    to_ticks: u64,
}

/// Like this; none if that is not known, or not for this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Answer {
    pid: i32,
    status: Option<ExitStatus>,
}

/// The ends of those that this process has reaped.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    socket: Option<OwnedFd>,
    known: VecDeque<End>,
}

impl Ends {
    /// Open for questions; without a socket it answers none.
    pub(crate) fn open() -> Self {
        let own = std::process::id().cast_signed();
        let open = || {
            let socket = make_socket(SockFlag::SOCK_NONBLOCK)?;
            bind(socket.as_raw_fd(), &address(own)?)?;
            Ok::<_, Errno>(socket)
        };
        Self { socket: open().ok(), known: VecDeque::new() }
    }

    /// Where questions come in.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(OwnedFd::as_fd)
    }

    /// To be told before the process is reaped.
    pub(crate) fn remember(&mut self, pid: i32, start_time_ticks: u64, uid: u32, status: ExitStatus) {
        if self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(End { pid, start_time_ticks, uid, status });
    }

    /// Answers what was asked.
    pub(crate) fn answer(&self) {
        let Some(socket) = &self.socket else { return };
        for _ in 0..AT_ONCE {
            match receive::<Question>(socket) {
                Ok((question, asker, from)) => {
                    let status = self.status_for(&question, asker.uid());
                    // Who asks and does not listen has itself to blame.
                    if let Ok(bytes) = encode(&Answer { pid: question.pid, status }) {
                        let _ = sendto(socket.as_raw_fd(), &bytes, &from, MsgFlags::MSG_DONTWAIT);
                    }
                }
                Err(Errno::EBADMSG) => {}
                Err(_) => return,
            }
        }
    }

    fn status_for(&self, question: &Question, uid: u32) -> Option<ExitStatus> {
        let is_meant = |end: &&End| {
            end.pid == question.pid && (question.from_ticks..=question.to_ticks).contains(&end.start_time_ticks)
        };
        self.known.iter().rev().find(is_meant).filter(|end| uid == 0 || uid == end.uid).map(|end| end.status)
    }
}

/// Asks the process `reaper` how one ended that had this pid and start time.
///
/// # Errors
/// `ETIMEDOUT` when it does not answer; another errno when it is nobody who could.
pub(crate) fn ask(reaper: i32, pid: i32, started: &RangeInclusive<u64>) -> Result<Option<ExitStatus>, Errno> {
    let socket = make_socket(SockFlag::empty())?;
    connect(socket.as_raw_fd(), &address(reaper)?)?;
    let question = Question { pid, from_ticks: *started.start(), to_ticks: *started.end() };
    let bytes = encode(&question).map_err(|_| Errno::EINVAL)?;
    send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?;
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    if poll(&mut polled, PollTimeout::from(PATIENCE_MS))? == 0 {
        return Err(Errno::ETIMEDOUT);
    }
    let (answer, who, _) = receive::<Answer>(&socket)?;
    // The name could be taken by anybody.
    if who.pid() == reaper && answer.pid == pid { Ok(answer.status) } else { Err(Errno::EPERM) }
}

/// A name that no other process has: pids are its pid namespace's, names the network namespace's.
fn address(pid: i32) -> Result<UnixAddr, Errno> {
    use std::os::unix::fs::MetadataExt as _;
    let namespace = std::fs::metadata("/proc/self/ns/pid").map_err(|_| Errno::ENOSYS)?.ino();
    UnixAddr::new_abstract(format!("stayup/ends/{namespace}/{pid}").as_bytes())
}

fn make_socket(flags: SockFlag) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags | SockFlag::SOCK_CLOEXEC, None)?;
    // It gets a name of its own with the first message that it sends, too.
    setsockopt(&socket, sockopt::PassCred, &true)?;
    Ok(socket)
}

/// A message, and who has sent it; `EBADMSG` for what is none.
fn receive<T: Decode<()>>(socket: &OwnedFd) -> Result<(T, UnixCredentials, UnixAddr), Errno> {
    let mut bytes = [0; 64];
    let mut space = nix::cmsg_space!(UnixCredentials);
    let (length, who, from) = {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let who = message.cmsgs().map_err(|_| Errno::EBADMSG)?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(who) => Some(who),
            _ => None,
        });
        (message.bytes, who, message.address)
    };
    let (Some(who), Some(from)) = (who, from) else { return Err(Errno::EBADMSG) };
    let message = decode(&bytes[..length]).map_err(|_| Errno::EBADMSG)?;
    Ok((message, who, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        let mut ends = Ends::default();
        ends.remember(7, 100, 1000, ExitStatus::Code(1));
        ends.remember(7, 200, 1000, ExitStatus::Code(2));
        ends.remember(8, 200, 1001, ExitStatus::Code(3));
        ends
    }

    fn question(pid: i32, from_ticks: u64, to_ticks: u64) -> Question {
        Question { pid, from_ticks, to_ticks }
    }

    #[test]
    fn a_pid_that_is_used_anew_is_another_process() {
        let ends = ends();
        assert_eq!(ends.status_for(&question(7, 100, 100), 1000), Some(ExitStatus::Code(1)));
        assert_eq!(ends.status_for(&question(7, 200, 200), 1000), Some(ExitStatus::Code(2)));
        assert_eq!(ends.status_for(&question(7, 101, 199), 1000), None);
        assert_eq!(ends.status_for(&question(9, 0, u64::MAX), 1000), None);
    }

    #[test]
    fn others_are_told_nothing() {
        let ends = ends();
        assert_eq!(ends.status_for(&question(8, 200, 200), 1000), None);
        assert_eq!(ends.status_for(&question(8, 200, 200), 1001), Some(ExitStatus::Code(3)));
        assert_eq!(ends.status_for(&question(8, 200, 200), 0), Some(ExitStatus::Code(3)));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut ends = ends();
        (0..REMEMBERED as u64).for_each(|ticks| ends.remember(9, ticks, 0, ExitStatus::Code(0)));
        assert_eq!((ends.known.len(), ends.status_for(&question(7, 100, 100), 0)), (REMEMBERED, None));
    }

    /// Foreign bytes, descriptors that nobody wants, and a question between them that is answered.
    #[test]
    fn foreign_messages_keep_nobody_from_asking() {
        let own = std::process::id().cast_signed();
        let mut ends = Ends::open();
        let uid = nix::unistd::getuid().as_raw();
        ends.remember(7, 100, uid, ExitStatus::Code(4));
        let stranger = make_socket(SockFlag::empty()).unwrap();
        connect(stranger.as_raw_fd(), &address(own).unwrap()).unwrap();
        send(stranger.as_raw_fd(), b"\xff", MsgFlags::empty()).unwrap();
        let rights = [stranger.as_raw_fd(); 3];
        let control = [nix::sys::socket::ControlMessage::ScmRights(&rights)];
        let parts = [std::io::IoSlice::new(b"?")];
        nix::sys::socket::sendmsg::<()>(stranger.as_raw_fd(), &parts, &control, MsgFlags::empty(), None).unwrap();
        let asker = std::thread::spawn(move || ask(own, 7, &(100..=100)));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !asker.is_finished() && std::time::Instant::now() < deadline {
            ends.answer();
        }
        assert_eq!(asker.join().unwrap(), Ok(Some(ExitStatus::Code(4))));
        assert!(ask(1 << 30, 7, &(100..=100)).is_err(), "nobody is there");
    }
}
