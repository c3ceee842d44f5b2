//! One end of the socket pair between the keeper and the manager: whole messages with descriptors, nothing else.
//!
//! Works blocking and not (`set_nonblocking`). With tokio, wrap the link in an `AsyncFd` and call [`Link::send`] and
//! [`Link::receive`] inside `try_io`: [`LinkError`] converts into [`io::Error`] and keeps `WouldBlock`.
//! Must never know what the messages mean, save that a large spawn request travels in a memfd.

#![allow(unsafe_code)] // recvmsg(2) hands over raw descriptors and fills memory; nix leaks them when the control data is cut.

use crate::protocol::{
    Malformed, PACKET_MAX_BYTES, PACKET_MAX_FDS, REQUEST_MAX_BYTES, SpawnRequest, ToKeeper, decode, encode, encode_into,
};
use bincode::{Decode, Encode};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socketpair};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;

/// Why a message could not be sent or received.
#[derive(Debug)]
pub enum LinkError {
    /// The other side has closed its end, or ended.
    Closed,
    /// Non-blocking, and not possible now: wait until the descriptor is readable or writable.
    WouldBlock,
    /// The message does not fit a packet: so many bytes, so many descriptors.
    TooLarge {
        /// Encoded size in bytes.
        bytes: usize,
        /// Number of descriptors.
        descriptors: usize,
    },
    /// What arrived is no message of this protocol. The link can go on with the next.
    Malformed(Malformed),
    /// The kernel could not hand over all the descriptors of a message (the process has too many open).
    DescriptorsLost,
    /// The kernel refused.
    Os(Errno),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the other side has closed the link"),
            Self::WouldBlock => f.write_str("the link is not ready"),
            Self::TooLarge { bytes, descriptors } => write!(
                f,
                "a message of {bytes} bytes and {descriptors} descriptors (at most {PACKET_MAX_BYTES} and {PACKET_MAX_FDS})"
            ),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::DescriptorsLost => f.write_str("descriptors of a message were lost: raise the limit of open files"),
            Self::Os(errno) => write!(f, "the link failed: {}", errno.desc()),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<Errno> for LinkError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EAGAIN | Errno::ENOBUFS => Self::WouldBlock,
            Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN => Self::Closed,
            other => Self::Os(other),
        }
    }
}

impl From<LinkError> for io::Error {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            LinkError::Closed => io::Error::new(io::ErrorKind::BrokenPipe, error),
            LinkError::Os(errno) => errno.into(),
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// One end of the pair.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    /// Where messages arrive: room for the largest, of which the kernel gives memory only as far as it was ever used.
    arrivals: RefCell<Vec<u8>>,
    /// Where messages are written that leave.
    departures: RefCell<Vec<u8>>,
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<OwnedFd> for Link {
    /// Takes over a `SOCK_SEQPACKET` socket.
    fn from(socket: OwnedFd) -> Self {
        Self { socket, arrivals: RefCell::default(), departures: RefCell::default() }
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        link.socket
    }
}

impl Link {
    /// Both ends, close-on-exec and blocking.
    ///
    /// # Errors
    /// [`LinkError::Os`] when there are too many open files.
    pub fn pair() -> Result<(Self, Self), LinkError> {
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((one.into(), other.into()))
    }

    /// The end that the keeper left in a manager: descriptor [`crate::protocol::MANAGER_FD`], made close-on-exec.
    /// To be called once, before anything else opens files.
    ///
    /// # Errors
    /// [`LinkError::Os`] with `EBADF` or `ENOTSOCK` when there is no such socket (not started by a keeper).
    pub fn inherited() -> Result<Self, LinkError> {
        let number = crate::protocol::MANAGER_FD;
        // SAFETY: only borrowed for the two calls below, which judge whether it is a descriptor at all.
        let inherited = unsafe { BorrowedFd::borrow_raw(number) };
        nix::sys::socket::getsockopt(&inherited, nix::sys::socket::sockopt::SockType)?;
        fcntl(inherited, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        // SAFETY: it is open (just checked) and was put there for this call; the caller takes it once, at its start.
        Ok(unsafe { OwnedFd::from_raw_fd(number) }.into())
    }

    /// Whether [`Link::send`] and [`Link::receive`] return [`LinkError::WouldBlock`] instead of waiting.
    ///
    /// # Errors
    /// [`LinkError::Os`], which a valid socket never gives.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), LinkError> {
        let mut flags = OFlag::from_bits_retain(fcntl(&self.socket, FcntlArg::F_GETFL)?);
        flags.set(OFlag::O_NONBLOCK, nonblocking);
        fcntl(&self.socket, FcntlArg::F_SETFL(flags))?;
        Ok(())
    }

    /// Sends one message with its descriptors, or nothing.
    ///
    /// # Errors
    /// Any [`LinkError`] but `DescriptorsLost`; never raises SIGPIPE.
    pub fn send<T: Encode>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        let mut bytes = self.departures.borrow_mut();
        bytes.clear();
        bytes.shrink_to(PACKET_MAX_BYTES);
        encode_into(message, &mut bytes).map_err(LinkError::Malformed)?;
        self.send_bytes(&bytes, descriptors)
    }

    /// Sends a spawn request with its descriptors, in a memfd if it does not fit a packet.
    ///
    /// # Errors
    /// As [`Link::send`]; `TooLarge` when it is larger than [`REQUEST_MAX_BYTES`] or has too many descriptors.
    pub fn send_spawn(&self, request: SpawnRequest, descriptors: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        let message = ToKeeper::Spawn(Box::new(request));
        let bytes = encode(&message).map_err(LinkError::Malformed)?;
        let ToKeeper::Spawn(request) = message else { return Ok(()) };
        if bytes.len() <= PACKET_MAX_BYTES {
            return self.send_bytes(&bytes, descriptors);
        }
        let bytes = encode(&*request).map_err(LinkError::Malformed)?;
        let mut file = File::from(memfd_create(c"request", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.write_all(&bytes).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW))?;
        let mut all = Vec::with_capacity(descriptors.len() + 1);
        all.push(file.as_fd());
        all.extend_from_slice(descriptors);
        self.send(&ToKeeper::SpawnLarge, &all)
    }

    fn send_bytes(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        if bytes.len() > PACKET_MAX_BYTES || descriptors.len() > PACKET_MAX_FDS {
            return Err(LinkError::TooLarge { bytes: bytes.len(), descriptors: descriptors.len() });
        }
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let control = if numbers.is_empty() { &[][..] } else { &rights[..] };
        loop {
            let sent = sendmsg::<UnixAddr>(
                self.socket.as_raw_fd(),
                &[IoSlice::new(bytes)],
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            );
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Receives one message with its descriptors, which are close-on-exec.
    ///
    /// # Errors
    /// Any [`LinkError`] but `TooLarge`. After `Malformed` and `DescriptorsLost` the message is gone, its descriptors
    /// are closed, and the link goes on with the next.
    pub fn receive<T: Decode<()>>(&self) -> Result<(T, Vec<OwnedFd>), LinkError> {
        let mut arrivals = self.arrivals.borrow_mut();
        let (descriptors, is_cut) = self.receive_bytes(&mut arrivals)?;
        if is_cut {
            return Err(LinkError::DescriptorsLost);
        }
        let message = decode(&arrivals).map_err(LinkError::Malformed)?;
        Ok((message, descriptors))
    }

    /// One packet, in place of what is in `bytes`: its descriptors, and whether some of either were lost.
    fn receive_bytes(&self, bytes: &mut Vec<u8>) -> Result<(Vec<OwnedFd>, bool), LinkError> {
        bytes.clear();
        bytes.reserve_exact(PACKET_MAX_BYTES);
        let room = bytes.spare_capacity_mut();
        // u64 for the alignment of cmsghdr; room for one SCM_RIGHTS of PACKET_MAX_FDS numbers of four bytes.
        let mut control = [0_u64; (PACKET_MAX_FDS * 4 + 64) / 8];
        let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        // SAFETY: all zero is a valid msghdr.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        let length = loop {
            // SAFETY: the header names two buffers that live until after the call, with their sizes.
            let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
            match Errno::result(length) {
                // No message is empty, so this is the end.
                Ok(0) => return Err(LinkError::Closed),
                Ok(length) => break length.cast_unsigned(),
                // Told once, of a peer that has ended without reading everything; what it has said itself comes after it.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        // SAFETY: so many bytes the kernel has written, and there was room for them.
        unsafe { bytes.set_len(length) };
        let mut descriptors = Vec::new();
        // SAFETY: the kernel has filled in msg_control and its length; the CMSG macros stay inside of them. Each number
        // in an SCM_RIGHTS is a fresh descriptor that nobody else owns.
        unsafe {
            let mut one = libc::CMSG_FIRSTHDR(&raw const header);
            while !one.is_null() {
                if (*one).cmsg_level == libc::SOL_SOCKET && (*one).cmsg_type == libc::SCM_RIGHTS {
                    let data = libc::CMSG_DATA(one).cast::<RawFd>();
                    let count = ((*one).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                    descriptors.extend((0..count).map(|index| OwnedFd::from_raw_fd(data.add(index).read_unaligned())));
                }
                one = libc::CMSG_NXTHDR(&raw const header, one);
            }
        }
        let is_cut = header.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0;
        Ok((descriptors, is_cut))
    }
}

/// Takes the request out of the memfd of a [`ToKeeper::SpawnLarge`], the first of `descriptors`.
///
/// # Errors
/// [`LinkError::DescriptorsLost`] when there is none, [`LinkError::Malformed`] or [`LinkError::Os`] when it has no
/// request inside.
pub fn take_large(descriptors: &mut Vec<OwnedFd>) -> Result<SpawnRequest, LinkError> {
    if descriptors.is_empty() {
        return Err(LinkError::DescriptorsLost);
    }
    let file = File::from(descriptors.remove(0));
    let to_errno = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let length = file.metadata().map_err(to_errno)?.len().min(REQUEST_MAX_BYTES as u64);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(to_errno)?;
    decode(&bytes).map_err(LinkError::Malformed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::ToManager;

    #[test]
    fn one_who_ends_without_having_read_everything_is_not_heard_out() {
        let (keeper, manager) = Link::pair().unwrap();
        keeper.send(&ToManager::Ping { number: 1 }, &[]).unwrap();
        manager.send(&ToKeeper::Acknowledge { ticket: 1 }, &[]).unwrap();
        manager.send(&ToKeeper::Ready, &[]).unwrap();
        drop(manager);
        assert_eq!(keeper.receive::<ToKeeper>().unwrap().0, ToKeeper::Acknowledge { ticket: 1 });
        assert_eq!(keeper.receive::<ToKeeper>().unwrap().0, ToKeeper::Ready);
        assert!(matches!(keeper.receive::<ToKeeper>(), Err(LinkError::Closed)));
    }
}
