//! The system calls of a connection: bytes and descriptors, never what they mean.
//!
//! Nothing here blocks, whatever the mode of the descriptor is: every call has `MSG_DONTWAIT` (the mode is shared with
//! the keeper's duplicate, so it is left alone).

#![allow(unsafe_code)] // recvmsg(2) hands over raw descriptors, and nix leaks them when the control data is cut.

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, getpeername, getsockopt, send, sockopt,
};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// How many descriptors are taken from one message at most; the kernel closes the others.
pub(super) const DESCRIPTORS_MAX: usize = 8;

/// Messages up to this size leave whole or not at all: the kernel makes one buffer of them (`unix_stream_sendmsg` since
/// Linux 3.9 uses up to 32 KiB of page fragments and 16 KiB before them).
pub(super) const ATOMIC_BYTES: usize = 32 * 1024;

/// What a look into the socket has shown.
pub(super) struct Seen {
    /// So many bytes; 0 is the end.
    pub(super) bytes: usize,
    /// Descriptors came with some of them.
    pub(super) has_descriptors: bool,
}

/// Copies what has arrived without taking it; none if there is nothing. Descriptors are not touched.
pub(super) fn peek(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<Seen>> {
    receive(socket, buffer, libc::MSG_PEEK, None)
}

/// Copies the descriptors that came with the first `length` bytes, without taking anything.
pub(super) fn peek_descriptors(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Vec<OwnedFd>> {
    let mut descriptors = Vec::new();
    receive(socket, buffer, libc::MSG_PEEK, Some(&mut descriptors))?;
    Ok(descriptors)
}

/// Takes bytes and the descriptors that came with them.
pub(super) fn take(socket: &OwnedFd, buffer: &mut [u8], into: &mut Vec<OwnedFd>) -> io::Result<Option<Seen>> {
    receive(socket, buffer, 0, Some(into))
}

/// Removes bytes that were peeked before.
pub(super) fn consume(socket: &OwnedFd, mut length: usize, scratch: &mut [u8]) -> io::Result<()> {
    while length > 0 {
        let part = length.min(scratch.len());
        match receive(socket, &mut scratch[..part], 0, None)? {
            Some(seen) if seen.bytes > 0 => length -= seen.bytes,
            // They were there, and nobody else reads.
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Ok(())
}

/// recvmsg(2), with room for descriptors only if they are wanted: without it the kernel does not make any.
fn receive(
    socket: &OwnedFd,
    buffer: &mut [u8],
    flags: libc::c_int,
    descriptors: Option<&mut Vec<OwnedFd>>,
) -> io::Result<Option<Seen>> {
    // u64 for the alignment of cmsghdr.
    let mut control = [0_u64; 2 + DESCRIPTORS_MAX / 2];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain data, for which zeroes are valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if descriptors.is_some() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = std::mem::size_of_val(&control) as _;
    }
    let count = loop {
        // SAFETY: the header points to live buffers of the lengths it says.
        let count = unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC)
        };
        match Errno::result(count) {
            Ok(count) => break usize::try_from(count).unwrap_or(0),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    };
    let is_cut = header.msg_flags & libc::MSG_CTRUNC != 0;
    let mut has_descriptors = is_cut;
    if let Some(into) = descriptors {
        let before = into.len();
        // SAFETY: the kernel has just filled the header and the control buffer it points to, which are still alive.
        unsafe { collect_descriptors(&header, into) };
        has_descriptors |= into.len() > before;
    }
    Ok(Some(Seen { bytes: count, has_descriptors }))
}

/// Takes over the descriptors of a received header.
///
/// # Safety
/// The header must be as recvmsg(2) left it, its control buffer alive, and its descriptors owned by nobody yet.
unsafe fn collect_descriptors(header: &libc::msghdr, into: &mut Vec<OwnedFd>) {
    // SAFETY: as the caller promises; the CMSG macros stay inside the control buffer.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = message.as_ref() {
            if control.cmsg_level == libc::SOL_SOCKET && control.cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(message).cast::<libc::c_int>();
                #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
                let bytes = control.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for at in 0..bytes / size_of::<libc::c_int>() {
                    into.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                }
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}

/// Writes; none if there is no room.
pub(super) fn write(socket: &OwnedFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::ENOBUFS) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether a message above [`ATOMIC_BYTES`] would find room for all of itself: what is queued is known from `SIOCOUTQ`
/// (in memory used, so a margin is left for the kernel's own headers).
pub(super) fn has_room(socket: &OwnedFd, length: usize) -> bool {
    let mut queued: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (the same number as SIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) };
    let size = getsockopt(socket, sockopt::SndBuf).unwrap_or(0);
    result == 0 && length + length / 2 + 16 * 1024 + usize::try_from(queued).unwrap_or(usize::MAX / 4) <= size
}

/// Who is at the other end: uid and pid as seen from here (unix(7), `SO_PEERCRED`).
pub(super) fn credentials(socket: BorrowedFd<'_>) -> io::Result<(u32, i32)> {
    let credentials = getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok((credentials.uid(), credentials.pid()))
}

/// The D-Bus address of the socket at the other end, if it has a name.
pub(super) fn peer_address(socket: &OwnedFd) -> Option<String> {
    let address: UnixAddr = getpeername(socket.as_raw_fd()).ok()?;
    let (key, bytes) = match (address.path(), address.as_abstract()) {
        (Some(path), _) => ("path", path.as_os_str().as_encoded_bytes().to_vec()),
        (None, Some(name)) => ("abstract", name.to_vec()),
        (None, None) => return None,
    };
    let mut text = format!("unix:{key}=");
    for byte in bytes {
        match byte {
            b'-' | b'_' | b'/' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    Some(text)
}

/// Connects without waiting: a full queue at the other end is an error (`EAGAIN`) like any other.
pub(super) fn connect(address: &UnixAddr) -> io::Result<OwnedFd> {
    let socket = nix::sys::socket::socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    nix::sys::socket::connect(socket.as_raw_fd(), address)?;
    Ok(socket)
}

/// Ends a connection for everybody who has a duplicate of it, the keeper too.
pub(super) fn end(socket: &OwnedFd) {
    // It may have ended by itself.
    let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), Shutdown::Both);
}

/// A duplicate for the keeper.
pub(super) fn duplicate(socket: &OwnedFd) -> io::Result<OwnedFd> {
    socket.as_fd().try_clone_to_owned()
}
