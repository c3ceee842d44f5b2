//! The link to the keeper: never waits, never loses a message.

#![allow(unsafe_code)] // AsyncFd wants a promise about the descriptor.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use keeper::link::{Link, LinkError};
use keeper::protocol::{Entry, Occasion, ToKeeper, ToManager};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// So many messages that are in no hurry are put off.
const LATER: usize = 16;

/// The manager's end.
#[derive(Debug)]
pub struct KeeperLink {
    /// Watched for messages alone: with interest in room as well, each message that the keeper takes would wake us.
    link: AsyncFd<Link>,
    /// The same socket, watched for room while messages wait for it.
    room: Option<AsyncFd<OwnedFd>>,
    /// Whether a look found no message since the last wake-up.
    is_drained: bool,
    waiting: VecDeque<(ToKeeper, Vec<OwnedFd>)>,
    /// Goes before whatever is said next.
    later: Vec<ToKeeper>,
}

/// What a keeper says first.
#[derive(Debug)]
pub struct Greeting {
    /// Why this manager was started.
    pub occasion: Occasion,
    /// All tickets.
    pub entries: Vec<Entry>,
    /// Descriptors that outlived the manager before.
    pub held: Vec<(String, OwnedFd)>,
    /// The highest number that the keeper has been given.
    pub highest_number: u64,
}

impl KeeperLink {
    /// Takes over the inherited end and hears the roll call, to its end.
    ///
    /// # Errors
    /// When this process was not started by a keeper, or the keeper ends in the middle.
    pub fn open() -> io::Result<(Self, Greeting)> {
        let link = Link::inherited()?;
        link.set_nonblocking(false)?;
        let greeting = hear_greeting(&link)?;
        link.set_nonblocking(true)?;
        // SAFETY: the link owns its descriptor and always names the same one.
        let link = unsafe { AsyncFd::register_with_interest(link, Interest::READABLE) }?;
        Ok((Self { link, room: None, is_drained: false, waiting: VecDeque::new(), later: Vec::new() }, greeting))
    }

    /// Says something, now or as soon as there is room for it; in order.
    ///
    /// # Errors
    /// When the keeper is gone, or the message can never be sent.
    pub fn send(&mut self, message: ToKeeper, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        self.waiting.extend(self.later.drain(..).map(|message| (message, Vec::new())));
        self.waiting.push_back((message, descriptors));
        self.flush()
    }

    /// Says something that is in no hurry, just before whatever is said next, in order: it is not worth to be woken for. The
    /// keeper's pings are answered, so it does not have to wait longer than to the next of them. Nothing is lost if this
    /// manager ends before.
    ///
    /// # Errors
    /// As [`KeeperLink::send`].
    pub fn send_later(&mut self, message: ToKeeper) -> io::Result<()> {
        if self.later.len() < LATER {
            self.later.push(message);
            return Ok(());
        }
        self.send(message, Vec::new())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some((message, descriptors)) = self.waiting.front() {
            match send_one(self.link.get_ref(), message, descriptors) {
                Ok(()) => {}
                Err(LinkError::WouldBlock) => return Ok(()),
                Err(error) => {
                    self.waiting.pop_front();
                    return Err(error.into());
                }
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub async fn next(&mut self) -> io::Result<(ToManager, Vec<OwnedFd>)> {
        loop {
            if !self.waiting.is_empty() {
                self.flush()?;
            }
            if !self.is_drained
                && let Some(message) = self.try_next()?
            {
                return Ok(message);
            }
            if self.waiting.is_empty() {
                self.room = None;
                self.link.readable().await?.clear_ready();
            } else {
                if self.room.is_none() {
                    let copy = self.link.get_ref().as_fd().try_clone_to_owned()?;
                    // SAFETY: it owns its descriptor and always names the same one.
                    self.room = Some(unsafe { AsyncFd::register_with_interest(copy, Interest::WRITABLE) }?);
                }
                let Some(room) = &self.room else { continue };
                tokio::select! {
                    guard = self.link.readable() => guard?.clear_ready(),
                    guard = room.writable() => guard?.clear_ready(),
                }
            }
            // Cleared before the look, so that what comes meanwhile wakes us again.
            self.is_drained = false;
        }
    }

    /// A message that is there already.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn try_next(&mut self) -> io::Result<Option<(ToManager, Vec<OwnedFd>)>> {
        match self.link.get_ref().receive() {
            Ok(message) => Ok(Some(message)),
            Err(LinkError::WouldBlock) => {
                self.is_drained = true;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends all that waits, however long the keeper takes; for the last words before an exit.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn drain(&mut self) -> io::Result<()> {
        self.link.get_ref().set_nonblocking(false)?;
        let result = self.flush();
        self.link.get_ref().set_nonblocking(true)?;
        result
    }
}

fn send_one(link: &Link, message: &ToKeeper, descriptors: &[OwnedFd]) -> Result<(), LinkError> {
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    match (link.send(message, &descriptors), message) {
        (Err(LinkError::TooLarge { .. }), ToKeeper::Spawn(request)) => {
            link.send_spawn(request.as_ref().clone(), &descriptors)
        }
        (result, _) => result,
    }
}

fn hear_greeting(link: &Link) -> io::Result<Greeting> {
    let mut occasion = None;
    let (mut entries, mut held, mut highest_number) = (Vec::new(), Vec::new(), 0);
    loop {
        match link.receive::<ToManager>() {
            Ok((ToManager::RollCallBegin(begin), _)) => occasion = Some(begin),
            Ok((ToManager::RollCallEntry(entry), _)) => entries.push(entry),
            Ok((ToManager::RollCallHeld { names }, descriptors)) => held.extend(names.into_iter().zip(descriptors)),
            Ok((ToManager::RollCallNumbers { highest }, _)) => highest_number = highest,
            Ok((ToManager::RollCallEnd, _)) => break,
            Ok((other, _)) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{other:?} before the roll call")));
            }
            // One message that cannot be read is one ticket less, which the machine takes as ended.
            Err(LinkError::Malformed(error)) => crate::report::warn(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    let occasion =
        occasion.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a roll call without beginning"))?;
    Ok(Greeting { occasion, entries, held, highest_number })
}
