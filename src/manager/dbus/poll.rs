//! One place to wait for all sockets: an epoll(7) queue that is itself watched by tokio. So a wake-up costs as much as
//! there are sockets with news, whatever the number of connections is, and nothing is lost when waiting is cancelled.

#![allow(unsafe_code)] // AsyncFd wants a promise about the descriptor.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

/// How many sockets are heard of at once.
const EVENTS: usize = 64;

struct Queue(Epoll);

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

/// What has happened to a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    /// The number it was added under.
    pub(super) number: u64,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
}

/// The queue.
pub(super) struct Poll {
    queue: AsyncFd<Queue>,
}

impl Poll {
    /// Must be called in a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let queue = Queue(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: the queue owns its descriptor, never gives it away, and always names the same one.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) }?;
        Ok(Self { queue })
    }

    fn epoll(&self) -> &Epoll {
        &self.queue.get_ref().0
    }

    /// Watches a socket: each arrival is told once.
    pub(super) fn add(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.epoll().add(socket, EpollEvent::new(flags(false), number))?)
    }

    /// Also tells when there is room to write, or no longer. Not always on, because a client that reads would wake us.
    pub(super) fn watch_room(&self, socket: impl AsFd, number: u64, awaits_room: bool) -> io::Result<()> {
        Ok(self.epoll().modify(socket, &mut EpollEvent::new(flags(awaits_room), number))?)
    }

    /// Watches a socket no longer. Needed even before it is closed: the keeper has a duplicate.
    pub(super) fn remove(&self, socket: impl AsFd) {
        // It may never have been added.
        let _ = self.epoll().delete(socket);
    }

    /// Waits for news, at most until the deadline. Cancel-safe.
    pub(super) async fn wait(&self, deadline: Option<Instant>, mut tell: impl FnMut(News)) -> io::Result<()> {
        let readable = self.queue.readable();
        let mut guard = match deadline {
            None => readable.await?,
            Some(deadline) => match timeout_at(deadline, readable).await {
                Ok(guard) => guard?,
                Err(_) => return Ok(()),
            },
        };
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = self.epoll().wait(&mut events, EpollTimeout::ZERO)?;
        if count < EVENTS {
            guard.clear_ready();
        }
        for event in &events[..count] {
            let flags = event.events();
            let has_ended = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            tell(News {
                number: event.data(),
                is_readable: has_ended || flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP),
                is_writable: has_ended || flags.contains(EpollFlags::EPOLLOUT),
            });
        }
        Ok(())
    }
}

fn flags(awaits_room: bool) -> EpollFlags {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    if awaits_room { flags | EpollFlags::EPOLLOUT } else { flags }
}
