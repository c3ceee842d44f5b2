//! The layout of the table: its first page, and its slots. Atomics only, in a fixed order, appended to and never changed.
//!
//! A slot is filled in first and published by one store of its `kind` or `state` after that, so that it can be cut at any
//! instruction. [`crate::table`] decides when; this module knows only how.

use crate::mapping::Atomics;
use crate::protocol::{Condition, Entry, ExitStatus, LABEL_MAX_BYTES, Reason, Stage, Ticket};
use crate::protocol::{from_word, to_word};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// "StayUpKT": another layout gets another name.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"StayUpKT");

/// Counts additions to the layout; any version can read any other of this magic.
pub(crate) const VERSION: u32 = 4;

pub(crate) const HEAD_BYTES: usize = 4096;
pub(crate) const SLOT_BYTES: usize = 256;

/// How many strings of an environment are remembered to know a process by (see [`Slot::markers`]).
pub const MARKERS: usize = 8;

/// How many signals may wait for a manager at a time; there are fewer that it is told of.
pub const PENDING_SIGNALS: usize = 8;

pub(crate) const FREE: u32 = 0;
pub(crate) const TICKET: u32 = 1;
pub(crate) const HELD: u32 = 2;

pub(crate) const STARTING: u32 = 1;
pub(crate) const RUNNING: u32 = 2;
pub(crate) const EXITED: u32 = 3;
pub(crate) const FAILED: u32 = 4;

/// The first page: counters of the keeper's whole life.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Head {
    pub(crate) magic: AtomicU64,
    pub(crate) version: AtomicU32,
    pub(crate) slot_bytes: AtomicU32,
    /// How many managers have been started before the present one.
    pub restarts: AtomicU64,
    /// How many managers in a row have ended before they were ready.
    pub failed_starts: AtomicU32,
    /// The process of the manager; 0 if there is none. The kernel itself stores it while it makes the process.
    pub manager_pid: AtomicI32,
    pub(crate) reason: AtomicU64,
    /// The signal of a crash nobody has reported yet; 0 for none.
    pub crash_signal: AtomicI32,
    /// Crashes in a row, each soon after the one before.
    pub crash_streak: AtomicU32,
    /// The soft and hard limit of open files that the keeper was started with, which its children get back; 0: unknown.
    pub open_files: [AtomicU64; 2],
    /// Signals that no manager has taken yet.
    pub pending: [Pending; PENDING_SIGNALS],
    /// The number that the session goes by, see [`crate::place`]; 0: that of the process.
    pub session: AtomicI32,
    pub(crate) unused: AtomicU32,
    /// When the manager's process started, in clock ticks since boot; 0 if unknown.
    pub manager_start_time: AtomicU64,
    pub(crate) owner: [AtomicU64; OWNER_WORDS],
    /// The highest number that was ever given for a ticket or a signal request (since version 2).
    pub(crate) highest_number: AtomicU64,
    /// The shell of an emergency; 0 if there is none (since version 3).
    pub shell_pid: AtomicI32,
    pub(crate) unused_after_shell: AtomicU32,
    /// The signal that the keeper is dealing with, as signalfd(2) gives it: the kernel takes it from the process and writes it
    /// here in one step. Its first word is its number, 0 for none (since version 4).
    pub arrived: [AtomicU32; 32],
}

/// A signal that no manager has taken yet, see [`Head::pending`].
#[derive(Debug)]
#[repr(C)]
pub struct Pending {
    /// Its number; 0 for none.
    pub signal: AtomicI32,
    /// Who sent it.
    pub sender_pid: AtomicI32,
    /// Its user.
    pub sender_uid: AtomicU32,
}

/// A ticket or a held descriptor. Fields without another word belong to tickets.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Slot {
    pub(crate) kind: AtomicU32,
    pub(crate) state: AtomicU32,
    pub(crate) seal: AtomicU32,
    pub(crate) descriptor: AtomicI32,
    pub(crate) ticket: AtomicU64,
    pub(crate) process: AtomicU64,
    pub(crate) start_time: AtomicU64,
    pub(crate) last_signal: AtomicU64,
    pub(crate) outcome: AtomicU64,
    pub(crate) errno: AtomicI32,
    pub(crate) cloned_pid: AtomicI32,
    /// The how manyeth stop of its own is to be reported; 0 for none.
    pub(crate) report_stop: AtomicU32,
    pub(crate) has_stopped: AtomicU32,
    pub(crate) root_pid: AtomicI32,
    pub(crate) previous_pid: AtomicI32,
    pub(crate) text_bytes: AtomicU32,
    pub(crate) markers: [AtomicU32; MARKERS],
    pub(crate) text: [AtomicU8; LABEL_MAX_BYTES],
    /// Not 0: the process is no child of this keeper, but was of one that was killed; `descriptor` is its pidfd.
    pub(crate) adopted: AtomicU32,
    pub(crate) unused: [AtomicU32; 10],
}

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES && size_of::<Head>() <= HEAD_BYTES);

#[allow(unsafe_code)]
// SAFETY: repr(C), made of atomics only, aligned to 8.
unsafe impl Atomics for Head {}
#[allow(unsafe_code)]
// SAFETY: repr(C), made of atomics only, aligned to 8.
unsafe impl Atomics for Slot {}

/// Words of an [`Owner`].
pub(crate) const OWNER_WORDS: usize = 4;

/// Whose a table is that lies where others find it. A keeper takes over only what was its own in all of this: pids and start
/// times mean nothing in another boot or pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: u128,
    /// Inode of /proc/self/ns/pid.
    pub pid_namespace: u64,
    /// Hash of `$XDG_SESSION_ID`, see [`hash`].
    pub login: u64,
}

impl Owner {
    pub(crate) fn words(&self) -> [u64; OWNER_WORDS] {
        [self.boot_id as u64, (self.boot_id >> 64) as u64, self.pid_namespace, self.login]
    }
}

/// The state of a ticket's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Cloned, or about to be; the status pipe will tell.
    Starting,
    /// Its program runs; not reaped.
    Running,
    /// Ended, kept until acknowledged.
    Exited(ExitStatus),
    /// Could not be started, kept until acknowledged.
    Failed(Stage, i32),
}

impl Head {
    /// Why the next manager is started.
    #[must_use]
    pub fn reason(&self) -> Reason {
        from_word(self.reason.load(Ordering::Relaxed)).unwrap_or(Reason::Boot)
    }

    /// Says whose the table is.
    pub fn set_owner(&self, owner: &Owner) {
        for (into, word) in self.owner.iter().zip(owner.words()) {
            into.store(word, Ordering::Relaxed);
        }
    }

    /// The highest number that was ever given for a ticket or a signal request; 0 if there was none.
    #[must_use]
    pub fn highest_number(&self) -> u64 {
        self.highest_number.load(Ordering::Relaxed)
    }

    /// This number is taken.
    pub(crate) fn note_number(&self, number: u64) {
        self.highest_number.fetch_max(number, Ordering::Relaxed);
    }

    /// See [`Head::reason`].
    pub fn set_reason(&self, reason: Reason) {
        self.reason.store(to_word(reason), Ordering::Relaxed);
    }
}

pub(crate) fn process_word(pid: i32, forks_left: u8) -> u64 {
    u64::from(pid.cast_unsigned()) | u64::from(forks_left) << 32
}

impl Slot {
    pub(crate) fn clear(&self) {
        self.state.store(0, Ordering::Relaxed);
        self.descriptor.store(-1, Ordering::Relaxed);
        for word in [&self.ticket, &self.process, &self.start_time, &self.last_signal, &self.outcome] {
            word.store(0, Ordering::Relaxed);
        }
        for word in [&self.errno, &self.cloned_pid, &self.root_pid, &self.previous_pid] {
            word.store(0, Ordering::Relaxed);
        }
        let words = [&self.report_stop, &self.has_stopped, &self.adopted];
        for word in words.into_iter().chain(&self.markers).chain(&self.unused) {
            word.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn publish(&self, kind: u32) {
        self.seal.store(self.computed_seal(), Ordering::Relaxed);
        self.kind.store(kind, Ordering::Release);
    }

    /// FNV-1a of what never changes: enough against stray writes, and nobody attacks from inside.
    pub(crate) fn computed_seal(&self) -> u32 {
        let words = [self.report_stop.load(Ordering::Relaxed), self.text_bytes.load(Ordering::Relaxed)];
        let ticket = self.ticket().to_le_bytes();
        let text = self.text.iter().map(|byte| byte.load(Ordering::Relaxed));
        let markers = self.markers.iter().flat_map(|marker| marker.load(Ordering::Relaxed).to_le_bytes());
        hash(ticket.into_iter().chain(words.into_iter().flat_map(u32::to_le_bytes)).chain(markers).chain(text))
    }

    pub(crate) fn set_text(&self, text: &str, max_bytes: usize) {
        let mut end = text.len().min(max_bytes);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let bytes = text.as_bytes()[..end].iter().copied().chain(std::iter::repeat(0));
        for (into, byte) in self.text.iter().zip(bytes) {
            into.store(byte, Ordering::Relaxed);
        }
        self.text_bytes.store(end as u32, Ordering::Relaxed);
    }

    /// The label of a ticket, or the name of a held descriptor.
    #[must_use]
    pub fn text(&self) -> String {
        let count = (self.text_bytes.load(Ordering::Relaxed) as usize).min(LABEL_MAX_BYTES);
        let bytes: Vec<u8> = self.text[..count].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Which ticket.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket.load(Ordering::Relaxed)
    }

    /// Its process; 0 if it has none yet.
    #[must_use]
    pub fn pid(&self) -> i32 {
        match (self.process.load(Ordering::Acquire) as u32).cast_signed() {
            // The crash was between the kernel's store and ours.
            0 => self.cloned_pid.load(Ordering::Relaxed),
            pid => pid,
        }
    }

    /// Where the kernel is to store the pid of the clone (`CLONE_PARENT_SETTID`), so that no crash can lose it.
    #[must_use]
    pub fn cloned_pid(&self) -> &AtomicI32 {
        &self.cloned_pid
    }

    /// The first process of this ticket, which led a session of this number; 0 until it is cloned.
    #[must_use]
    pub fn root_pid(&self) -> i32 {
        self.root_pid.load(Ordering::Relaxed)
    }

    /// The processes this ticket has been so far; 0 where there are fewer. A session or process group of such a number
    /// was made by this ticket.
    #[must_use]
    pub fn led(&self) -> [i32; 3] {
        [self.pid(), self.root_pid(), self.previous_pid.load(Ordering::Relaxed)]
    }

    /// Forks still to be followed.
    #[must_use]
    pub fn forks_left(&self) -> u8 {
        (self.process.load(Ordering::Relaxed) >> 32) as u8
    }

    /// Follow no more forks.
    pub fn settle(&self) {
        let pid = self.process.load(Ordering::Relaxed) as u32;
        self.process.store(process_word(pid.cast_signed(), 0), Ordering::Release);
    }

    /// When its process started, in clock ticks since boot; 0 if unknown.
    #[must_use]
    pub fn start_time_ticks(&self) -> u64 {
        self.start_time.load(Ordering::Relaxed)
    }

    /// Corrects the start time.
    pub fn set_start_time_ticks(&self, ticks: u64) {
        self.start_time.store(ticks, Ordering::Relaxed);
    }

    /// How it is; none if the slot is damaged, or not a ticket.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        match self.state.load(Ordering::Acquire) {
            STARTING => Some(State::Starting),
            RUNNING => Some(State::Running),
            EXITED => from_word(self.outcome.load(Ordering::Relaxed)).map(State::Exited),
            FAILED => from_word(self.outcome.load(Ordering::Relaxed))
                .map(|stage| State::Failed(stage, self.errno.load(Ordering::Relaxed))),
            _ => None,
        }
    }

    /// The highest signal request carried out.
    #[must_use]
    pub fn last_signal_request(&self) -> u64 {
        self.last_signal.load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_signal_request(&self, request: u64) {
        self.last_signal.store(request, Ordering::Relaxed);
    }

    /// Whether a stop is still to be reported.
    #[must_use]
    pub fn awaits_stop(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed) < self.report_stop.load(Ordering::Relaxed)
    }

    /// It has stopped itself; whether that is the stop to report.
    pub fn set_stopped(&self) -> bool {
        let stops = self.has_stopped.load(Ordering::Relaxed).saturating_add(1);
        self.has_stopped.store(stops, Ordering::Relaxed);
        stops == self.report_stop.load(Ordering::Relaxed)
    }

    /// Hashes of the last strings of its environment (the most particular ones), 0 where there were fewer.
    #[must_use]
    pub fn markers(&self) -> [u32; MARKERS] {
        std::array::from_fn(|index| self.markers[index].load(Ordering::Relaxed))
    }

    /// Whether its process is no child of this keeper, but was of one that was killed.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.adopted.load(Ordering::Relaxed) != 0
    }

    /// The held descriptor, the status pipe of a starting ticket, or the pidfd of an adopted process; -1 for none.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.descriptor.load(Ordering::Relaxed)
    }

    pub(crate) fn surviving_descriptor(&self) -> Option<i32> {
        let counts = match self.kind.load(Ordering::Acquire) {
            HELD => true,
            TICKET => match self.state.load(Ordering::Relaxed) {
                STARTING => true,
                RUNNING => self.is_adopted(),
                _ => false,
            },
            _ => false,
        };
        counts.then(|| self.descriptor()).filter(|&number| number > 2)
    }

    /// Its line of the roll call; none if the slot is damaged.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        let condition = match self.state()? {
            State::Starting => Condition::Starting,
            State::Running => Condition::Running {
                forks_left: self.forks_left(),
                has_stopped: self.report_stop.load(Ordering::Relaxed) != 0 && !self.awaits_stop(),
            },
            State::Exited(status) => Condition::Exited(status),
            State::Failed(stage, errno) => Condition::Failed { stage, errno },
        };
        Some(Entry {
            ticket: self.ticket(),
            label: self.text(),
            pid: self.pid(),
            start_time_ticks: self.start_time_ticks(),
            last_signal_request: self.last_signal_request(),
            condition,
        })
    }
}

/// FNV-1a, 32 bits.
#[must_use]
pub fn hash(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
