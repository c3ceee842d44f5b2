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
    /// Goes with the next answer to a ping, or before the last words.
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
        if matches!(message, ToKeeper::Pong { .. } | ToKeeper::Reexecute | ToKeeper::Finish(_)) {
            self.hurry();
        }
        self.waiting.push_back((message, descriptors));
        self.flush()
    }

    /// Says something that is not worth to wake the keeper for: with the next answer to a ping, or with more of its kind,
    /// or before the last words. To be lost with this manager must do no harm.
    ///
    /// # Errors
    /// As [`KeeperLink::send`].
    pub fn send_later(&mut self, message: ToKeeper) -> io::Result<()> {
        self.later.push(message);
        if self.later.len() < LATER {
            return Ok(());
        }
        self.hurry();
        self.flush()
    }

    /// What was in no hurry is now.
    fn hurry(&mut self) {
        self.waiting.extend(self.later.drain(..).map(|message| (message, Vec::new())));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_in_no_hurry_goes_with_a_pong_or_in_company_or_at_the_end() {
        let (ours, keeper) = Link::pair().unwrap();
        [&ours, &keeper].into_iter().for_each(|end| end.set_nonblocking(true).unwrap());
        // SAFETY: the link owns its descriptor and always names the same one.
        let link = unsafe { AsyncFd::register_with_interest(ours, Interest::READABLE) }.unwrap();
        let mut ours = KeeperLink { link, room: None, is_drained: false, waiting: VecDeque::new(), later: Vec::new() };
        let heard = || std::iter::from_fn(|| keeper.receive::<ToKeeper>().ok()).map(|(message, _)| message);
        let acknowledge = |ticket| ToKeeper::Acknowledge { ticket };

        ours.send_later(acknowledge(1)).unwrap();
        ours.send(ToKeeper::Ready, Vec::new()).unwrap();
        assert_eq!(heard().collect::<Vec<_>>(), [ToKeeper::Ready]);
        ours.send(ToKeeper::Pong { number: 5 }, Vec::new()).unwrap();
        assert_eq!(heard().collect::<Vec<_>>(), [acknowledge(1), ToKeeper::Pong { number: 5 }]);
        (0..LATER as u64 + 1).for_each(|ticket| ours.send_later(acknowledge(ticket)).unwrap());
        assert_eq!(heard().collect::<Vec<_>>(), (0..LATER as u64).map(acknowledge).collect::<Vec<_>>());
        ours.send(ToKeeper::Reexecute, Vec::new()).unwrap();
        assert_eq!(heard().collect::<Vec<_>>(), [acknowledge(LATER as u64), ToKeeper::Reexecute]);
    }
}
