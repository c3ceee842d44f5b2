//! The keeper's memory: tickets, held descriptors and counters in a memfd, in place, so that a crashed or upgraded
//! keeper finds in it exactly what the one before had there. A session's lies in a file on a tmpfs instead: even if its keeper
//! is killed, the next one finds it there.
//!
//! Every step is safe to be cut at any instruction: a slot is filled in first and published by one store of its `kind`
//! or `state` after that. What never changes is sealed by a hash; a slot whose seal is broken is dropped by
//! [`Table::adopt`] with a report. Later versions only append fields, to the unused (zero) room of head and slot.
//! Must never know why a process is started.

use crate::mapping::Mapping;
use crate::protocol::{ExitStatus, LABEL_MAX_BYTES, NAME_MAX_BYTES, Stage, Ticket, to_word};
use crate::slot::OWNER_WORDS;
use crate::slot::process_word;
use crate::slot::{EXITED, FAILED, FREE, HEAD_BYTES, HELD, MAGIC, RUNNING, SLOT_BYTES, STARTING, TICKET, VERSION};
pub use crate::slot::{Head, MARKERS, Owner, PENDING_SIGNALS, Pending, Slot, State, hash};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::mem::offset_of;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Slots added at a time; 16 KiB.
const GROWTH: usize = 64;

/// The time in the unit of start times: clock ticks since boot, suspend included. The tick of /proc is 10 ms everywhere
/// (`USER_HZ`, time(7)).
#[must_use]
pub fn now_ticks() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    now.map_or(0, |now| now.tv_sec().cast_unsigned() * 100 + now.tv_nsec().cast_unsigned() / 10_000_000)
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
    /// The how manyeth stop of its own is to be reported; 0 for none.
    pub stops: u32,
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
        Self::begin(Mapping::create(HEAD_BYTES + GROWTH * SLOT_BYTES)?)
    }

    /// An empty one in this empty file, which is on a tmpfs: on a disk, the keeper might have to wait for it.
    ///
    /// # Errors
    /// As [`Table::create`].
    pub fn create_in(file: OwnedFd) -> Result<Self, Errno> {
        Self::begin(Mapping::create_in(file, HEAD_BYTES + GROWTH * SLOT_BYTES)?)
    }

    fn begin(mapping: Mapping) -> Result<Self, Errno> {
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

    /// Whether a file holds a table of this owner. Only reads.
    #[must_use]
    pub fn is_of(file: &File, owner: &Owner) -> bool {
        read_owner(file).is_some_and(|words| words == owner.words())
    }

    /// Whether a file holds a table of this owner's boot and pid namespace, whatever its login. Only reads.
    #[must_use]
    pub fn is_of_boot(file: &File, owner: &Owner) -> bool {
        read_owner(file).is_some_and(|words| words[..OWNER_WORDS - 1] == owner.words()[..OWNER_WORDS - 1])
    }

    /// When the last manager of the keeper that has left this file was started, in clock ticks since boot; none if the file is no
    /// table. Only reads.
    #[must_use]
    pub fn last_manager_start(file: &File) -> Option<u64> {
        read_head(file).map(|word| word(offset_of!(Head, manager_start_time)))
    }

    /// Forgets what died with the keeper that has left this table: its descriptors, its crashes and what it was sent.
    pub fn disown(&mut self) {
        let names: Vec<String> = self.names.keys().cloned().collect();
        for name in names {
            self.release(&name);
        }
        let head = self.head();
        head.crash_signal.store(0, Ordering::Relaxed);
        head.crash_streak.store(0, Ordering::Relaxed);
        head.open_files.iter().for_each(|limit| limit.store(0, Ordering::Relaxed));
        head.arrived[0].store(0, Ordering::Relaxed);
        head.pending.iter().for_each(|one| one.signal.store(0, Ordering::Relaxed));
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
                // A table of version 1 has no such number.
                self.head().note_number(ticket.max(slot.last_signal_request()));
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

    /// The file it lies in.
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
        self.head().note_number(new.ticket);
        let slot = &self.slots()[index];
        slot.ticket.store(new.ticket, Ordering::Relaxed);
        slot.set_text(new.label, LABEL_MAX_BYTES);
        slot.report_stop.store(new.stops, Ordering::Relaxed);
        for (into, marker) in slot.markers.iter().zip(new.markers) {
            into.store(marker, Ordering::Relaxed);
        }
        slot.process.store(process_word(0, new.forks), Ordering::Relaxed);
        slot.descriptor.store(status_pipe, Ordering::Relaxed);
        // Not before this: by it a process whose keeper was killed meanwhile is known.
        slot.start_time.store(now_ticks(), Ordering::Relaxed);
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

    /// The process of this ticket runs, and is no child of this keeper; `pidfd` is the number of a descriptor of it.
    pub fn set_adopted(&mut self, index: usize, pid: i32, start_time_ticks: u64, pidfd: i32) {
        let led = self.slots()[index].root_pid();
        self.set_cloned(index, pid);
        let slot = &self.slots()[index];
        if led != 0 {
            slot.root_pid.store(led, Ordering::Relaxed);
        }
        slot.start_time.store(start_time_ticks, Ordering::Relaxed);
        slot.descriptor.store(pidfd, Ordering::Relaxed);
        slot.adopted.store(1, Ordering::Relaxed);
        slot.state.store(RUNNING, Ordering::Release);
    }

    /// A starting ticket has failed; its process, if there was one, is a stranger from now on.
    pub fn set_failed(&mut self, index: usize, stage: Stage, errno: i32) {
        let slot = &self.slots()[index];
        let pid = slot.pid();
        slot.errno.store(errno, Ordering::Relaxed);
        slot.start_time.store(0, Ordering::Relaxed);
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
        // The pid of a process that others have reaped may be that of a new child by now.
        if self.processes.get(&pid) == Some(&index) {
            self.processes.remove(&pid);
        }
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

    /// A signal request of this ticket was carried out.
    pub fn set_signalled(&self, index: usize, request: u64) {
        self.head().note_number(request);
        self.slots()[index].set_last_signal_request(request);
    }

    /// A running ticket whose process is no child of this keeper goes on as this one; `pidfd` is the number of a descriptor of it.
    pub fn set_adopted_fork(&mut self, index: usize, pid: i32, start_time_ticks: u64, forks_left: u8, pidfd: i32) {
        let slot = &self.slots()[index];
        // First the descriptor: should there be a crash between the two, the ticket is held by the process that it is.
        slot.descriptor.store(pidfd, Ordering::Relaxed);
        slot.adopted.store(1, Ordering::Relaxed);
        slot.state.store(RUNNING, Ordering::Release);
        self.set_forked(index, pid, start_time_ticks, forks_left);
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

    /// The raw words of a slot, to damage.
    #[cfg(test)]
    fn words(&self, index: usize) -> &[std::sync::atomic::AtomicU32] {
        self.mapping.slice(HEAD_BYTES + index * SLOT_BYTES, SLOT_BYTES / 4)
    }

    /// What the crash handler may use of it.
    #[must_use]
    pub fn view(&self) -> View {
        View(Arc::clone(&self.mapping))
    }
}

/// The owner of the table in a file; none if it holds no table.
fn read_owner(file: &File) -> Option<[u64; OWNER_WORDS]> {
    let word = read_head(file)?;
    Some(std::array::from_fn(|index| word(offset_of!(Head, owner) + 8 * index)))
}

/// The words of a table's head, by their offset.
fn read_head(file: &File) -> Option<impl Fn(usize) -> u64> {
    let mut bytes = [0; size_of::<Head>()];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let word = move |offset: usize| u64::from_ne_bytes(std::array::from_fn(|index| bytes[offset + index]));
    (word(offset_of!(Head, magic)) == MAGIC).then_some(word)
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

    /// The number of its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.0.descriptor().as_raw_fd()
    }

    /// Numbers of all descriptors that must survive an exec, the table's own included.
    pub fn surviving_descriptors(&self) -> impl Iterator<Item = i32> {
        let slots = self.0.slice::<Slot>(HEAD_BYTES, usize::MAX);
        slots.iter().filter_map(Slot::surviving_descriptor).chain([self.descriptor()])
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
// SAFETY: one atomic.
unsafe impl crate::mapping::Atomics for std::sync::atomic::AtomicU32 {}

#[cfg(test)]
mod tests;
