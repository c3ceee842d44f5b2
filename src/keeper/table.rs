//! The keeper's memory: tickets, held descriptors and counters in a memfd, in place, so that a crashed or upgraded
//! keeper finds in it exactly what the one before had there.
//!
//! Every step is safe to be cut at any instruction: a slot is filled in first and published by one store of its `kind`
//! or `state` after that. What never changes is sealed by a hash; a slot whose seal is broken is dropped by
//! [`Table::adopt`] with a report. Later versions only append fields, to the unused (zero) room of head and slot.
//! Must never know why a process is started.

use crate::mapping::{Atomics, Mapping};
use crate::protocol::{Condition, Entry, ExitStatus, LABEL_MAX_BYTES, NAME_MAX_BYTES, Reason, Stage, Ticket};
use crate::protocol::{from_word, to_word};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// "StayUpKT": another layout gets another name.
const MAGIC: u64 = u64::from_le_bytes(*b"StayUpKT");

/// Counts additions to the layout; any version can read any other of this magic.
const VERSION: u32 = 1;

const HEAD_BYTES: usize = 4096;
const SLOT_BYTES: usize = 256;

/// Slots added at a time; 16 KiB.
const GROWTH: usize = 64;

/// How many strings of an environment are remembered to know a process by (see [`Slot::markers`]).
pub const MARKERS: usize = 8;

const FREE: u32 = 0;
const TICKET: u32 = 1;
const HELD: u32 = 2;

const STARTING: u32 = 1;
const RUNNING: u32 = 2;
const EXITED: u32 = 3;
const FAILED: u32 = 4;

/// The first page: counters of the keeper's whole life.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Head {
    magic: AtomicU64,
    version: AtomicU32,
    slot_bytes: AtomicU32,
    /// How many managers have been started before the present one.
    pub restarts: AtomicU64,
    /// How many managers in a row have ended before they were ready.
    pub failed_starts: AtomicU32,
    /// The process of the manager; 0 if there is none. The kernel itself stores it while it makes the process.
    pub manager_pid: AtomicI32,
    reason: AtomicU64,
    /// The signal of a crash nobody has reported yet; 0 for none.
    pub crash_signal: AtomicI32,
    /// Crashes in a row, each soon after the one before.
    pub crash_streak: AtomicU32,
    /// The soft and hard limit of open files that the keeper was started with, which its children get back; 0: unknown.
    pub open_files: [AtomicU64; 2],
    /// Signals that wait for a manager.
    pub pending: [Pending; 8],
}

/// A signal that waits for a manager, see [`Head::pending`].
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
    kind: AtomicU32,
    state: AtomicU32,
    seal: AtomicU32,
    descriptor: AtomicI32,
    ticket: AtomicU64,
    process: AtomicU64,
    start_time: AtomicU64,
    last_signal: AtomicU64,
    outcome: AtomicU64,
    errno: AtomicI32,
    cloned_pid: AtomicI32,
    report_stop: AtomicU32,
    has_stopped: AtomicU32,
    root_pid: AtomicI32,
    previous_pid: AtomicI32,
    text_bytes: AtomicU32,
    markers: [AtomicU32; MARKERS],
    text: [AtomicU8; LABEL_MAX_BYTES],
    unused: [AtomicU32; 11],
}

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES && size_of::<Head>() <= HEAD_BYTES);

#[allow(unsafe_code)]
// SAFETY: repr(C), made of atomics only, aligned to 8.
unsafe impl Atomics for Head {}
#[allow(unsafe_code)]
// SAFETY: repr(C), made of atomics only, aligned to 8.
unsafe impl Atomics for Slot {}

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

/// What [`Table::adopt`] found wrong with one slot, which it dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which slot.
    pub slot: usize,
    /// The ticket that stands in it, if it can be believed.
    pub ticket: Ticket,
    /// Why it is not believed.
    pub why: &'static str,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slot {} of the table (ticket {}) is damaged ({}) and dropped", self.slot, self.ticket, self.why)
    }
}

/// Why a memfd is not a table at all.
#[derive(Debug, PartialEq, Eq)]
pub enum NotATable {
    /// It cannot be mapped.
    Unusable(Errno),
    /// It begins with something else.
    Foreign,
}

impl std::fmt::Display for NotATable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable(errno) => write!(f, "the state descriptor cannot be used: {}", errno.desc()),
            Self::Foreign => f.write_str("the state descriptor holds no table of a keeper"),
        }
    }
}

impl std::error::Error for NotATable {}

/// What a new ticket's slot is to say for ever.
#[derive(Clone, Copy, Debug)]
pub struct NewTicket<'a> {
    /// Which.
    pub ticket: Ticket,
    /// Cut to [`LABEL_MAX_BYTES`].
    pub label: &'a str,
    /// How many forks to follow.
    pub forks: u8,
    /// Whether stops are reported.
    pub report_stop: bool,
    /// See [`Slot::markers`].
    pub markers: [u32; MARKERS],
}

/// The table. Finds slots by ticket, process and name; all changes go through it.
#[derive(Debug)]
pub struct Table {
    mapping: Arc<Mapping>,
    tickets: BTreeMap<Ticket, usize>,
    processes: BTreeMap<i32, usize>,
    names: BTreeMap<String, usize>,
    free: Vec<usize>,
}

impl Table {
    /// An empty one.
    ///
    /// # Errors
    /// The errno of memfd_create(2), mmap(2) or fallocate(2).
    pub fn create() -> Result<Self, Errno> {
        let mapping = Mapping::create(HEAD_BYTES + GROWTH * SLOT_BYTES)?;
        let table = Self::over(mapping).ok_or(Errno::EINVAL)?;
        let head = table.head();
        head.version.store(VERSION, Ordering::Relaxed);
        head.slot_bytes.store(SLOT_BYTES as u32, Ordering::Relaxed);
        head.magic.store(MAGIC, Ordering::Release);
        Ok(Self { free: (0..GROWTH).rev().collect(), ..table })
    }

    /// The table an earlier image of this process left, and what had to be dropped from it.
    ///
    /// # Errors
    /// [`NotATable`], and then nothing is known about the processes of before.
    pub fn adopt(file: OwnedFd) -> Result<(Self, Vec<Damage>), NotATable> {
        let mapping = Mapping::adopt(file).map_err(NotATable::Unusable)?;
        let mut table = Self::over(mapping).ok_or(NotATable::Foreign)?;
        let head = table.head();
        let is_ours =
            head.magic.load(Ordering::Acquire) == MAGIC && head.slot_bytes.load(Ordering::Relaxed) == SLOT_BYTES as u32;
        if !is_ours {
            return Err(NotATable::Foreign);
        }
        head.version.store(VERSION, Ordering::Relaxed);
        let mut damages = Vec::new();
        for index in (0..table.slots().len()).rev() {
            if let Err(why) = table.enlist(index) {
                let slot = &table.slots()[index];
                damages.push(Damage { slot: index, ticket: slot.ticket(), why });
                slot.kind.store(FREE, Ordering::Release);
                table.free.push(index);
            }
        }
        Ok((table, damages))
    }

    fn over(mapping: Mapping) -> Option<Self> {
        let (tickets, processes, names) = Default::default();
        (mapping.length() >= HEAD_BYTES).then(|| Self {
            mapping: Arc::new(mapping),
            tickets,
            processes,
            names,
            free: Vec::new(),
        })
    }

    /// Puts a slot that is already there into the indexes.
    fn enlist(&mut self, index: usize) -> Result<(), &'static str> {
        let slot = &self.slots()[index];
        let kind = slot.kind.load(Ordering::Acquire);
        if kind != FREE && slot.seal.load(Ordering::Relaxed) != slot.computed_seal() {
            return Err("its seal is broken");
        }
        let (ticket, pid) = (slot.ticket(), slot.pid());
        match kind {
            FREE => self.free.push(index),
            HELD => {
                let name = slot.text();
                if self.names.contains_key(&name) {
                    return Err("its name is there twice");
                }
                self.names.insert(name, index);
            }
            TICKET => {
                let state = slot.state().ok_or("its state is none")?;
                if self.tickets.contains_key(&ticket) {
                    return Err("its ticket is there twice");
                }
                let is_alive = matches!(state, State::Starting | State::Running);
                if is_alive && pid != 0 {
                    if self.processes.contains_key(&pid) {
                        return Err("its process is there twice");
                    }
                    self.processes.insert(pid, index);
                }
                self.tickets.insert(ticket, index);
            }
            _ => return Err("its kind is none"),
        }
        Ok(())
    }

    /// The counters.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.mapping.slice::<Head>(0, 1)[0]
    }

    /// All slots, free ones too.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        self.mapping.slice(HEAD_BYTES, usize::MAX)
    }

    /// The memfd.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.mapping.descriptor()
    }

    /// The slot of a ticket.
    #[must_use]
    pub fn by_ticket(&self, ticket: Ticket) -> Option<(usize, &Slot)> {
        self.tickets.get(&ticket).map(|&index| (index, &self.slots()[index]))
    }

    /// The slot of a process that is not reaped.
    #[must_use]
    pub fn by_process(&self, pid: i32) -> Option<(usize, &Slot)> {
        self.processes.get(&pid).map(|&index| (index, &self.slots()[index]))
    }

    /// The tickets, in their order.
    pub fn tickets(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.tickets.values().map(|&index| (index, &self.slots()[index]))
    }

    /// The tickets whose process is not reaped, in the order of their process ids.
    pub fn processes(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.processes.values().map(|&index| (index, &self.slots()[index]))
    }

    /// Names and numbers of the held descriptors.
    pub fn held(&self) -> impl Iterator<Item = (&str, i32)> {
        self.names.iter().map(|(name, &index)| (name.as_str(), self.slots()[index].descriptor()))
    }

    /// A slot nobody uses, its fields zero.
    fn take_free(&mut self) -> Result<usize, Errno> {
        if self.free.is_empty() {
            let before = self.slots().len();
            self.mapping.grow(self.mapping.length() + GROWTH * SLOT_BYTES)?;
            self.free.extend((before..self.slots().len()).rev());
        }
        let index = self.free.pop().ok_or(Errno::ENOSPC)?;
        self.slots()[index].clear();
        Ok(index)
    }

    /// Adds a ticket that is about to be started; `status_pipe` is the number of the descriptor that will tell how.
    ///
    /// # Errors
    /// `ENOSPC` or `ENOMEM` when the table cannot grow (65,000 slots), `EEXIST` for a known ticket.
    pub fn add_ticket(&mut self, new: &NewTicket<'_>, status_pipe: i32) -> Result<usize, Errno> {
        if self.tickets.contains_key(&new.ticket) {
            return Err(Errno::EEXIST);
        }
        let index = self.take_free()?;
        let slot = &self.slots()[index];
        slot.ticket.store(new.ticket, Ordering::Relaxed);
        slot.set_text(new.label, LABEL_MAX_BYTES);
        slot.report_stop.store(u32::from(new.report_stop), Ordering::Relaxed);
        for (into, marker) in slot.markers.iter().zip(new.markers) {
            into.store(marker, Ordering::Relaxed);
        }
        slot.process.store(process_word(0, new.forks), Ordering::Relaxed);
        slot.descriptor.store(status_pipe, Ordering::Relaxed);
        slot.state.store(STARTING, Ordering::Relaxed);
        slot.publish(TICKET);
        self.tickets.insert(new.ticket, index);
        Ok(index)
    }

    /// The process of a starting ticket is there.
    pub fn set_cloned(&mut self, index: usize, pid: i32) {
        let slot = &self.slots()[index];
        slot.root_pid.store(pid, Ordering::Relaxed);
        slot.process.store(process_word(pid, slot.forks_left()), Ordering::Release);
        self.processes.insert(pid, index);
    }

    /// The program of a starting ticket runs.
    pub fn set_running(&mut self, index: usize, start_time_ticks: u64) {
        let slot = &self.slots()[index];
        slot.start_time.store(start_time_ticks, Ordering::Relaxed);
        slot.state.store(RUNNING, Ordering::Release);
        slot.descriptor.store(-1, Ordering::Relaxed);
    }

    /// A starting ticket has failed; its process, if there was one, is a stranger from now on.
    pub fn set_failed(&mut self, index: usize, stage: Stage, errno: i32) {
        let slot = &self.slots()[index];
        let pid = slot.pid();
        slot.errno.store(errno, Ordering::Relaxed);
        slot.outcome.store(to_word(stage), Ordering::Relaxed);
        slot.state.store(FAILED, Ordering::Release);
        slot.descriptor.store(-1, Ordering::Relaxed);
        self.processes.remove(&pid);
    }

    /// A running ticket has ended. To be called before its process is reaped.
    pub fn set_exited(&mut self, index: usize, status: ExitStatus) {
        let slot = &self.slots()[index];
        let pid = slot.pid();
        slot.outcome.store(to_word(status), Ordering::Relaxed);
        slot.state.store(EXITED, Ordering::Release);
        self.processes.remove(&pid);
    }

    /// A running ticket goes on as this process. To be called before the one it was is reaped.
    pub fn set_forked(&mut self, index: usize, pid: i32, start_time_ticks: u64, forks_left: u8) {
        let slot = &self.slots()[index];
        let before = slot.pid();
        slot.previous_pid.store(before, Ordering::Relaxed);
        // A crash between these two leaves a start time that is too late by some ticks: it is read anew on adoption.
        slot.start_time.store(start_time_ticks, Ordering::Relaxed);
        slot.process.store(process_word(pid, forks_left), Ordering::Release);
        self.processes.remove(&before);
        self.processes.insert(pid, index);
    }

    /// Forgets a ticket.
    pub fn remove_ticket(&mut self, ticket: Ticket) {
        if let Some(index) = self.tickets.remove(&ticket) {
            let slot = &self.slots()[index];
            slot.kind.store(FREE, Ordering::Release);
            let pid = slot.pid();
            if self.processes.get(&pid) == Some(&index) {
                self.processes.remove(&pid);
            }
            self.free.push(index);
        }
    }

    /// Keeps the number of a descriptor under a name; gives back the number that was there before.
    ///
    /// # Errors
    /// `ENAMETOOLONG`, or as [`Table::add_ticket`]; then nothing has changed.
    pub fn hold(&mut self, name: &str, descriptor: i32) -> Result<Option<i32>, Errno> {
        if name.len() > NAME_MAX_BYTES || name.is_empty() {
            return Err(Errno::ENAMETOOLONG);
        }
        let index = self.take_free()?;
        let slot = &self.slots()[index];
        slot.set_text(name, NAME_MAX_BYTES);
        slot.descriptor.store(descriptor, Ordering::Relaxed);
        // The new one first: a crash between the two leaves both, and adoption takes either.
        slot.publish(HELD);
        let before = self.release(name);
        self.names.insert(name.to_owned(), index);
        Ok(before)
    }

    /// Forgets a held descriptor; gives back its number.
    pub fn release(&mut self, name: &str) -> Option<i32> {
        let index = self.names.remove(name)?;
        let slot = &self.slots()[index];
        slot.kind.store(FREE, Ordering::Release);
        let descriptor = slot.descriptor();
        self.free.push(index);
        Some(descriptor)
    }

    /// What the crash handler may use of it.
    #[must_use]
    pub fn view(&self) -> View {
        View(Arc::clone(&self.mapping))
    }
}

/// The bytes of a table without its indexes; everything here is async-signal-safe.
#[derive(Clone, Debug)]
pub struct View(Arc<Mapping>);

impl View {
    /// The counters.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.0.slice::<Head>(0, 1)[0]
    }

    /// The number of the memfd.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.0.descriptor().as_raw_fd()
    }

    /// Numbers of all descriptors that must survive an exec, the memfd's own included.
    pub fn surviving_descriptors(&self) -> impl Iterator<Item = i32> {
        let slots = self.0.slice::<Slot>(HEAD_BYTES, usize::MAX);
        slots.iter().filter_map(Slot::surviving_descriptor).chain([self.descriptor()])
    }
}

impl Head {
    /// Why the next manager is started.
    #[must_use]
    pub fn reason(&self) -> Reason {
        from_word(self.reason.load(Ordering::Relaxed)).unwrap_or(Reason::Boot)
    }

    /// See [`Head::reason`].
    pub fn set_reason(&self, reason: Reason) {
        self.reason.store(to_word(reason), Ordering::Relaxed);
    }
}

fn process_word(pid: i32, forks_left: u8) -> u64 {
    u64::from(pid.cast_unsigned()) | u64::from(forks_left) << 32
}

impl Slot {
    fn clear(&self) {
        self.state.store(0, Ordering::Relaxed);
        self.descriptor.store(-1, Ordering::Relaxed);
        for word in [&self.ticket, &self.process, &self.start_time, &self.last_signal, &self.outcome] {
            word.store(0, Ordering::Relaxed);
        }
        for word in [&self.errno, &self.cloned_pid, &self.root_pid, &self.previous_pid] {
            word.store(0, Ordering::Relaxed);
        }
        for word in [&self.report_stop, &self.has_stopped].into_iter().chain(&self.markers).chain(&self.unused) {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn publish(&self, kind: u32) {
        self.seal.store(self.computed_seal(), Ordering::Relaxed);
        self.kind.store(kind, Ordering::Release);
    }

    /// FNV-1a of what never changes: enough against stray writes, and nobody attacks from inside.
    fn computed_seal(&self) -> u32 {
        let words = [self.report_stop.load(Ordering::Relaxed), self.text_bytes.load(Ordering::Relaxed)];
        let ticket = self.ticket().to_le_bytes();
        let text = self.text.iter().map(|byte| byte.load(Ordering::Relaxed));
        let markers = self.markers.iter().flat_map(|marker| marker.load(Ordering::Relaxed).to_le_bytes());
        hash(ticket.into_iter().chain(words.into_iter().flat_map(u32::to_le_bytes)).chain(markers).chain(text))
    }

    fn set_text(&self, text: &str, max_bytes: usize) {
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

    /// Remembers a signal request.
    pub fn set_last_signal_request(&self, request: u64) {
        self.last_signal.store(request, Ordering::Relaxed);
    }

    /// Whether a stop is still to be reported.
    #[must_use]
    pub fn awaits_stop(&self) -> bool {
        self.report_stop.load(Ordering::Relaxed) != 0 && self.has_stopped.load(Ordering::Relaxed) == 0
    }

    /// It has stopped itself.
    pub fn set_stopped(&self) {
        self.has_stopped.store(1, Ordering::Relaxed);
    }

    /// Hashes of the last strings of its environment (the most particular ones), 0 where there were fewer.
    #[must_use]
    pub fn markers(&self) -> [u32; MARKERS] {
        std::array::from_fn(|index| self.markers[index].load(Ordering::Relaxed))
    }

    /// The held descriptor, or the status pipe of a starting ticket; -1 for none.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.descriptor.load(Ordering::Relaxed)
    }

    fn surviving_descriptor(&self) -> Option<i32> {
        let counts = match self.kind.load(Ordering::Acquire) {
            HELD => true,
            TICKET => self.state.load(Ordering::Relaxed) == STARTING,
            _ => false,
        };
        counts.then(|| self.descriptor()).filter(|&number| number > 2)
    }

    /// Its line of the roll call; none while it is starting, when the answer to the spawn is still to come.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        let condition = match self.state()? {
            State::Starting => return None,
            State::Running => Condition::Running {
                forks_left: self.forks_left(),
                has_stopped: self.has_stopped.load(Ordering::Relaxed) != 0,
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
