//! Messages that wait to be sent over one connection, how much of them there may be, and which of them are replies. Knows no
//! socket, and writes nothing.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

use super::connection::End;
use super::plain::Bytes;
use super::socket;

/// What may be queued for somebody who may change something, and for the bus, in bytes, when nothing of it is read.
const PRIVILEGED_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// What may be queued for anybody else, in bytes.
const ORDINARY_QUEUE_BYTES: usize = 512 * 1024;
/// So many times as much may be queued for one who reads, and is only slower than init tells: a single event can lead to tens
/// of thousands of signals at once. What is queued for many is in memory once.
const READER_FACTOR: usize = 16;
/// So long one may read nothing before it counts as not reading.
const READING: Duration = Duration::from_secs(10);
/// So many announcements may wait because of one reply that is not read, and so many altogether. They are kept in the state, and
/// written with each checkpoint.
const BEHIND: u64 = 10_000;
const FAR_BEHIND: u64 = 100_000;

/// Messages on their way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Bytes>,
    /// What they cost, in bytes.
    cost: usize,
    /// So much of the first one is out.
    sent: usize,
    /// Since when there has been no room for it.
    stuck_since: Option<Instant>,
    /// How many messages are out since the beginning.
    gone: u64,
    /// Replies among them: which message since the beginning, and the announcement it answers for.
    replies: VecDeque<(u64, u64)>,
}

/// What a queued message costs, in bytes: small ones are mostly bookkeeping.
fn cost(message: &Bytes) -> usize {
    message.len() + 256
}

impl Outbox {
    /// Queues a message; see [`super::connection::Connection::queue`].
    pub(super) fn push(&mut self, announcement: u64, message: Bytes, is_trusted: bool) -> Result<(), End> {
        let limit = if is_trusted { PRIVILEGED_QUEUE_BYTES } else { ORDINARY_QUEUE_BYTES };
        let limit = if self.is_stuck() { limit } else { limit * READER_FACTOR };
        if !self.queue.is_empty() && self.cost + cost(&message) > limit {
            return Err(End::Misbehaved("it does not read what it is sent"));
        }
        if announcement != 0 {
            self.replies.push_back((self.gone + self.queue.len() as u64, announcement));
        }
        self.cost += cost(&message);
        self.queue.push_back(message);
        Ok(())
    }

    /// Whether all is out.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What is left of the first message.
    pub(super) fn front(&self) -> Option<&[u8]> {
        self.queue.front().map(|message| &message[self.sent..])
    }

    /// Half a message is out.
    pub(super) fn is_amid_message(&self) -> bool {
        self.sent > 0
    }

    /// The lowest number of an announcement whose reply is not out.
    pub(super) fn unsent_reply(&self) -> Option<u64> {
        self.replies.front().map(|(_, announcement)| *announcement)
    }

    /// Whether too much waits for a reply that is not read; `through` is the last announcement.
    pub(super) fn holds_up(&self, through: u64) -> bool {
        let behind = self.unsent_reply().map_or(0, |unsent| through.saturating_sub(unsent));
        behind > FAR_BEHIND || (behind > BEHIND && self.is_stuck())
    }

    /// Whether nothing of it has been read for some time.
    fn is_stuck(&self) -> bool {
        self.stuck_since.is_some_and(|since| since.elapsed() >= READING)
    }

    /// What is to be written next: the first message, or as many as leave in one piece, copied into the buffer.
    pub(super) fn batch<'a>(&'a self, buffer: &'a mut [u8]) -> &'a [u8] {
        let first = self.front().unwrap_or_default();
        if self.queue.len() < 2 || first.len() >= socket::ATOMIC_BYTES {
            return first;
        }
        let mut end = 0;
        for bytes in std::iter::once(first).chain(self.queue.iter().skip(1).map(|message| &**message)) {
            if end + bytes.len() > socket::ATOMIC_BYTES {
                break;
            }
            buffer[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        }
        &buffer[..end]
    }

    /// So many bytes of it were written; none if there was no room.
    pub(super) fn took(&mut self, sent: Option<usize>) {
        match sent {
            None => _ = self.stuck_since.get_or_insert_with(Instant::now),
            Some(count) => {
                self.stuck_since = None;
                self.advance(count);
            }
        }
    }

    /// So many bytes more are out.
    fn advance(&mut self, mut count: usize) {
        while let Some(message) = self.queue.front() {
            let length = message.len();
            let left = length - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.sent = 0;
            self.gone += 1;
            self.cost -= cost(message);
            self.queue.pop_front();
            while self.replies.front().is_some_and(|(at, _)| *at < self.gone) {
                self.replies.pop_front();
            }
        }
    }
}
