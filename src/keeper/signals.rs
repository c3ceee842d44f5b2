//! Signals to init: into the table, and from there to a manager.
//!
//! They are told to one manager after the other, until one says that what follows from them is in its journal, so that none is
//! lost when a manager or the keeper crashes meanwhile. Just then one may be told twice.

use crate::crash;
use crate::processes;
use crate::supervise::Keeper;
use keeper::container::shutdown_signal;
use keeper::protocol::ToManager;
use keeper::table::PENDING_SIGNALS;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

/// Signals the manager is told of.
const FORWARDED: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGWINCH, Signal::SIGPWR, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGUSR1];

/// Where signals come in, and what is known of those that were told.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: SignalFd,
    /// By place in the table.
    told: [Told; PENDING_SIGNALS],
}

/// How far the manager has been told of a signal.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The number of the ping that comes after it; none if it was not told. A manager answers it when it has dealt with all that
    /// came before, also one that is so old that it says nothing of signals.
    ping: Option<u64>,
    /// Whether it came again since; then it is told again after the answer, however often it came, as with signal(7).
    again: bool,
}

impl Signals {
    /// All signals but those of a crash.
    pub(crate) fn open() -> Result<Self, Errno> {
        let mut mask = SigSet::all();
        crash::FATAL.into_iter().for_each(|signal| mask.remove(signal));
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { descriptor, told: Default::default() })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Keeper {
    /// One at a time: as long as there are more, the loop comes here again at once.
    pub(crate) fn read_signals(&mut self) {
        if processes::next_signal(self.signals.as_fd(), &self.table.head().arrived) {
            self.take_arrived();
        }
    }

    /// Deals with the signal that was read last, by this image or by the one before.
    pub(crate) fn take_arrived(&mut self) {
        let word = |index: usize| self.table.head().arrived[index].load(Ordering::Relaxed);
        // signalfd_siginfo: ssi_signo, ssi_errno, ssi_code, ssi_pid, ssi_uid.
        let (signal, sender_pid, sender_uid) = (word(0).cast_signed(), word(3).cast_signed(), word(4));
        if signal == libc::SIGCHLD {
            self.children_changed = true;
        } else if FORWARDED.iter().any(|&one| one as i32 == signal) || (signal != 0 && signal == shutdown_signal()) {
            self.signal_arrived(signal, sender_pid, sender_uid);
        }
        self.table.head().arrived[0].store(0, Ordering::Release);
    }

    fn signal_arrived(&mut self, signal: i32, sender_pid: i32, sender_uid: u32) {
        let pending = &self.table.head().pending;
        let place = |number: i32| pending.iter().position(|one| one.signal.load(Ordering::Relaxed) == number);
        let known = place(signal);
        if let Some(place) = known.or_else(|| place(0)) {
            let one = &pending[place];
            one.sender_pid.store(sender_pid, Ordering::Relaxed);
            one.sender_uid.store(sender_uid, Ordering::Relaxed);
            one.signal.store(signal, Ordering::Release);
            if self.watch.is_ready && self.signals.told[place].ping.is_some() {
                self.signals.told[place].again = true;
            } else if self.watch.is_ready {
                self.tell_signal(place);
            }
        }
        let is_insisting = known.is_some() && signal == libc::SIGTERM && !self.is_system;
        if is_insisting && self.watch.is_hopeless(&self.table) {
            self.give_up();
        }
    }

    /// Tells the manager, which has just become ready, what none before has dealt with.
    pub(crate) fn tell_pending_signals(&mut self) {
        self.signals.told = Default::default();
        for place in 0..self.signals.told.len() {
            self.tell_signal(place);
        }
    }

    fn tell_signal(&mut self, place: usize) {
        let one = &self.table.head().pending[place];
        let signal = one.signal.load(Ordering::Acquire);
        if signal != 0 {
            let sender_pid = one.sender_pid.load(Ordering::Relaxed);
            let sender_uid = one.sender_uid.load(Ordering::Relaxed);
            self.outgoing.push_back(ToManager::Signal { signal, sender_pid, sender_uid });
            self.signals.told[place] = Told { ping: Some(self.watch.next_ping()), again: false };
        }
    }

    /// The manager has dealt with this one.
    pub(crate) fn signal_taken(&mut self, signal: i32) {
        let pending = &self.table.head().pending;
        if let Some(place) = pending.iter().position(|one| one.signal.load(Ordering::Relaxed) == signal) {
            self.put_away(place);
        }
    }

    /// The manager has dealt with all that it was told before this ping.
    pub(crate) fn signals_answered(&mut self, ping: u64) {
        for place in 0..self.signals.told.len() {
            if self.signals.told[place].ping.is_some_and(|next| next <= ping) {
                self.put_away(place);
            }
        }
    }

    fn put_away(&mut self, place: usize) {
        let told = std::mem::take(&mut self.signals.told[place]);
        if told.again {
            self.tell_signal(place);
        } else if told.ping.is_some() {
            self.table.head().pending[place].signal.store(0, Ordering::Relaxed);
        }
    }
}
