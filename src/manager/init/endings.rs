//! Ends of processes that wait until what the process has printed is in its log: who hears that a job has stopped may look
//! there at once. The log may be on a disk that is slow or gone, so nothing waits long for it.
//!
//! The keeper keeps an end until it is acknowledged, so one that waits here survives this manager.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use keeper::protocol::ToManager;

/// How long an end waits at the most.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ends that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Endings {
    waiting: VecDeque<(Instant, u64, ToManager)>,
    /// The logs did not keep up the last time: nobody waits for them until they do.
    is_late: bool,
}

impl Endings {
    /// Whether it is of use to wait for the logs.
    pub(super) fn may_wait(&self) -> bool {
        !self.is_late
    }

    /// The process of this ticket has ended, as the message says.
    pub(super) fn wait(&mut self, ticket: u64, message: ToManager) {
        self.waiting.push_back((Instant::now() + PATIENCE, ticket, message));
    }

    /// Everything that this process has printed is in its log. Returns its end, if that waits.
    pub(super) fn is_logged(&mut self, ticket: u64) -> Option<ToManager> {
        self.is_late = false;
        let at = self.waiting.iter().position(|(_, waiting, _)| *waiting == ticket)?;
        self.waiting.remove(at).map(|(.., message)| message)
    }

    /// When the first one has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(deadline, ..)| *deadline)
    }

    /// One that has waited long enough.
    pub(super) fn overdue(&mut self) -> Option<ToManager> {
        self.deadline().filter(|deadline| *deadline <= Instant::now())?;
        self.is_late = true;
        self.waiting.pop_front().map(|(.., message)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_once_whether_the_log_is_written_or_not() {
        let message = |pid| ToManager::Exited { ticket: 7, pid, status: keeper::protocol::ExitStatus::Code(0) };
        let mut endings = Endings::default();
        endings.wait(7, message(1));
        assert!(endings.overdue().is_none() && endings.is_logged(8).is_none());
        assert_eq!(endings.is_logged(7), Some(message(1)));
        assert!(endings.is_logged(7).is_none() && endings.deadline().is_none());
        endings.waiting.push_back((Instant::now(), 7, message(2)));
        assert_eq!(endings.overdue(), Some(message(2)));
        assert!(!endings.may_wait() && endings.overdue().is_none());
        assert!(endings.is_logged(7).is_none() && endings.may_wait());
    }
}
