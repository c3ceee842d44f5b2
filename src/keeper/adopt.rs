//! Taking over from a keeper that was killed: its processes live on, as children of whoever reaps orphans there.
//!
//! The table says which they were. Each is known again by its pid and start time, and held by a pidfd from then on, so that a
//! pid that is used anew is never mistaken for it. What a parent gets from wait(2) comes from the pidfd (Linux 6.15), or from the
//! zombie if it is seen before it is reaped, or from the keeper that has reaped it ([`crate::ends`]); else nobody can tell, and that
//! is what is told.
//!
//! Where forks are followed, what an adopted process leaves comes to whoever takes orphans there. Of these, the ones are
//! followed that are in its session or process group, or have its environment; guessing is for children of one's own.

#![allow(unsafe_code)] // system calls on pidfds, which nix does not have.

use crate::ends;
use crate::follow::{self, Choice, Known, Orphan};
use crate::proc::{self, Stat};
use crate::processes;
use crate::report::say;
use crate::supervise::{ADOPTED, Keeper, OLD_MANAGER};
use keeper::protocol::{ExitStatus, Reason, ToManager};
use keeper::table::{Slot, State};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::Ordering;

/// How much later than its ticket a process may have started, in clock ticks: one that started after a pid had gone round is
/// somebody else's.
const START_MAX_TICKS: u64 = 200;

/// How often what a process has left is looked for.
const LOOKS: usize = 5;

/// `PIDFD_SIGNAL_PROCESS_GROUP` (linux/pidfd.h, Linux 6.9).
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// `PIDFD_GET_INFO`, and in its mask the request for how the process ended (linux/pidfd.h, Linux 6.13 and 6.15).
const GET_INFO: libc::Ioctl = 0xC040_FF0B_u32 as libc::Ioctl;
const INFO_EXIT: u64 = 1 << 3;

/// `struct pidfd_info` in its first version.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<Info>() == 64);

impl Keeper {
    /// Goes on from the table of a keeper that was killed.
    pub(crate) fn take_over(&mut self, number: i32) {
        let slots: Vec<usize> = self.table.tickets().map(|(index, _)| index).collect();
        let before = self.table.processes().count();
        self.reapers = proc::ancestors();
        let gone: Vec<usize> = slots.into_iter().filter(|&index| !self.adopt(index)).collect();
        // Only now, when it is known who takes orphans here.
        gone.into_iter().for_each(|index| self.end_adopted(index, None));
        let alive = self.adopted.len();
        say!(
            "took over session {number} from its keeper, which was killed: {alive} processes run on, {} have ended",
            before - alive.min(before)
        );
        self.table.head().set_reason(Reason::KeeperLost);
        self.await_old_manager();
    }

    /// A manager that cannot be gone yet is made to; the next one waits for it, because it may still write the journal.
    fn await_old_manager(&mut self) {
        let head = self.table.head();
        let (pid, started) =
            (head.manager_pid.swap(0, Ordering::Relaxed), head.manager_start_time.load(Ordering::Relaxed));
        let Some((pidfd, _)) = open_pidfd(pid, |stat| started != 0 && stat.start_time_ticks == started) else { return };
        let _ = send(&pidfd, libc::SIGKILL, 0);
        if self.epoll.add(&pidfd, EpollEvent::new(EpollFlags::EPOLLIN, OLD_MANAGER)).is_ok() {
            self.old_manager = Some(pidfd);
            self.watch.hold_back();
        }
    }

    /// It has ended.
    pub(crate) fn old_manager_ended(&mut self) {
        if self.old_manager.take().is_some() {
            self.watch.let_go();
        }
    }

    /// Holds the process of a slot; false if it is gone.
    fn adopt(&mut self, index: usize) -> bool {
        let slot = &self.table.slots()[index];
        let (ticket, pid) = (slot.ticket(), slot.pid());
        match slot.state() {
            // Its keeper was killed before the clone: the manager will ask again.
            Some(State::Starting) if pid == 0 => {
                self.table.remove_ticket(ticket);
                return true;
            }
            Some(State::Starting | State::Running) => {}
            _ => return true,
        }
        let Some((pidfd, stat)) = open_pidfd(pid, |stat| started(slot).contains(&stat.start_time_ticks)) else {
            return false;
        };
        self.reapers.push(stat.parent);
        self.table.set_adopted(index, pid, stat.start_time_ticks, pidfd.as_raw_fd());
        let slot = &self.table.slots()[index];
        if stat.is_stopped && slot.awaits_stop() {
            // Nobody has told of it; and who stops twice is rare.
            while slot.awaits_stop() && !slot.set_stopped() {}
        }
        self.watch_adopted(index, pidfd);
        true
    }

    /// A process that an image of this keeper before this one has adopted.
    pub(crate) fn resume_adopted(&mut self, index: usize) {
        if self.reapers.is_empty() {
            self.reapers = proc::ancestors();
        }
        let slot = &self.table.slots()[index];
        self.reapers.extend(proc::own_stat(slot.pid()).map(|stat| stat.parent));
        match processes::take_over(slot.descriptor()) {
            Some(pidfd) => self.watch_adopted(index, pidfd),
            None => self.table.set_exited(index, ExitStatus::Unknown),
        }
    }

    fn watch_adopted(&mut self, index: usize, pidfd: OwnedFd) {
        // Edges: a zombie that nobody has reaped yet stays readable, and there is a second one when it is (Linux 6.9).
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, ADOPTED | index as u64);
        if let Err(errno) = self.epoll.add(&pidfd, event) {
            say!("the end of adopted process {} will not be seen: {}", self.table.slots()[index].pid(), errno.desc());
        }
        self.adopted.insert(index, pidfd);
    }

    /// An adopted process has ended, or been reaped by whoever is its parent now.
    pub(crate) fn adopted_ended(&mut self, index: usize) {
        let Some(pidfd) = self.adopted.get(&index) else { return };
        let slot = &self.table.slots()[index];
        let (pid, started) = (slot.pid(), slot.start_time_ticks());
        let status = match status_of(pidfd, pid, started) {
            Found::Alive | Found::Later => return,
            Found::Status(status) => Some(status),
            Found::Nowhere => None,
        };
        self.end_adopted(index, status);
    }

    /// The process of a slot is gone: the ticket goes on as what that has left, if that is to be followed, or has ended.
    fn end_adopted(&mut self, index: usize, status: Option<ExitStatus>) {
        if let Some((choice, pidfd)) = self.heir(index) {
            return self.go_on_as_adopted(index, choice, pidfd);
        }
        let slot = &self.table.slots()[index];
        let (ticket, pid, started) = (slot.ticket(), slot.pid(), started(slot));
        let status = status.unwrap_or_else(|| self.asked(pid, &started));
        self.table.set_exited(index, status);
        self.adopted.remove(&index);
        self.outgoing.push_back(ToManager::Exited { ticket, pid, status });
    }

    /// What whoever has reaped a process says of its end.
    fn asked(&mut self, pid: i32, started: &RangeInclusive<u64>) -> ExitStatus {
        let mut status = None;
        self.reapers.sort_unstable();
        self.reapers.dedup();
        let reapers = std::mem::take(&mut self.reapers).into_iter();
        self.reapers = reapers
            .filter(|&reaper| {
                let answer = if status.is_none() { ends::ask(reaper, pid, started) } else { Ok(None) };
                status = status.or(answer.unwrap_or_default());
                // One that is silent would keep this one waiting with each end.
                answer != Err(Errno::ETIMEDOUT)
            })
            .collect();
        status.unwrap_or(ExitStatus::Unknown)
    }

    /// What an adopted process with forks to follow has left, if it is found. It may be about to fork and end itself, between two
    /// looks at it; what it has left then is there at the next one.
    fn heir(&self, index: usize) -> Option<(Choice, OwnedFd)> {
        let looks = if self.table.slots()[index].forks_left() == 0 { 0 } else { LOOKS };
        (0..looks).find_map(|_| self.look_for_heir(index))
    }

    fn look_for_heir(&self, index: usize) -> Option<(Choice, OwnedFd)> {
        let slot = &self.table.slots()[index];
        let ticket = Known::of_adopted(slot);
        let known: Vec<Known> = self.table.processes().filter_map(|(_, slot)| Known::of(slot)).collect();
        let is_left = |stat: &Stat| self.reapers.contains(&stat.parent) && self.table.by_process(stat.pid).is_none();
        let left = proc::all().into_iter().filter_map(proc::own_stat).filter(is_left);
        let orphans: Vec<Orphan> = left
            .map(|stat| Orphan { environment: proc::environment_hashes(stat.pid), stat })
            .filter(|orphan| follow::is_surely_of(&ticket, &known, orphan))
            .collect();
        let choice = follow::choose(&ticket, &known, &orphans)?;
        let (pidfd, _) = open_pidfd(choice.pid, |stat| stat.start_time_ticks == choice.start_time_ticks)?;
        Some((choice, pidfd))
    }

    fn go_on_as_adopted(&mut self, index: usize, choice: Choice, pidfd: OwnedFd) {
        let Choice { pid, start_time_ticks, forks_left } = choice;
        let ticket = self.table.slots()[index].ticket();
        self.table.set_adopted_fork(index, pid, start_time_ticks, forks_left, pidfd.as_raw_fd());
        self.watch_adopted(index, pidfd);
        self.outgoing.push_back(ToManager::Forked { ticket, pid, start_time_ticks, forks_left });
    }

    /// Signals the process of a slot, or its process group if it leads one.
    pub(crate) fn send_signal(&self, index: usize, signal: i32, whole_group: bool) -> Result<(), Errno> {
        let pid = self.table.slots()[index].pid();
        if pid <= 0 {
            // It is still tried to be made. Never all of our own process group.
            return Err(Errno::ESRCH);
        }
        // Which it does not lead while it is starting, and a daemon perhaps never.
        let is_group = whole_group && processes::leads_group(pid);
        let Some(pidfd) = self.adopted.get(&index) else {
            return processes::kill(if is_group { -pid } else { pid }, signal);
        };
        match send(pidfd, signal, if is_group { SIGNAL_PROCESS_GROUP } else { 0 }) {
            // Before Linux 6.9. While the leader is there, so is its group, and the number is nobody else's.
            Err(Errno::EINVAL) if is_group => send(pidfd, 0, 0).and_then(|()| processes::kill(-pid, signal)),
            result => result,
        }
    }
}

/// A descriptor of the process that has this pid, if it is the one that is meant.
fn open_pidfd(pid: i32, is_meant: impl Fn(&Stat) -> bool) -> Option<(OwnedFd, Stat)> {
    if pid <= 0 {
        return None;
    }
    // SAFETY: touches no memory.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = i32::try_from(number).ok().filter(|&number| number >= 0)?;
    // SAFETY: a fresh descriptor (close-on-exec, pidfd_open(2)) that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(number) };
    // After the open: what has this start time now is what was opened, or that has ended, and the pidfd will say so.
    let stat = proc::own_stat(pid).filter(is_meant)?;
    Some((pidfd, stat))
}

/// pidfd_send_signal(2).
fn send(pidfd: &OwnedFd, signal: i32, flags: libc::c_uint) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: no siginfo is given.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, flags) })
        .map(drop)
}

/// When the process of a slot may have started: of one that was starting only the time of its ticket is known.
fn started(slot: &Slot) -> RangeInclusive<u64> {
    let begun = slot.start_time_ticks();
    match slot.state() {
        Some(State::Starting) => begun..=begun.saturating_add(START_MAX_TICKS),
        // 0: nobody knows, and so it is nobody.
        _ => begun.max(1)..=begun,
    }
}

/// How the process of a pidfd has ended.
enum Found {
    /// It has not.
    Alive,
    /// It will be known when somebody has reaped it.
    Later,
    /// Like this.
    Status(ExitStatus),
    /// It is reaped, and the kernel does not tell.
    Nowhere,
}

fn status_of(pidfd: &OwnedFd, pid: i32, started: u64) -> Found {
    if is_alive(pidfd.as_fd()) {
        return Found::Alive;
    }
    // Twice: it may be reaped between the two looks, and then the first one has the answer.
    for _ in 0..2 {
        let mut info = Info { mask: INFO_EXIT, ..Info::default() };
        // SAFETY: the kernel writes as much as the number of the request says: the size of Info.
        let answer = Errno::result(unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) });
        if answer.is_ok() && info.mask & INFO_EXIT != 0 {
            return Found::Status(of_wait_status(info.exit_code));
        }
        match proc::zombie_status(pid, started) {
            Some(Some(status)) => return Found::Status(of_wait_status(status)),
            // Somebody will reap it.
            Some(None) if answer.is_ok() => return Found::Later,
            _ => {}
        }
    }
    Found::Nowhere
}

fn is_alive(pidfd: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(0)
}

/// From the word that wait(2) gives.
fn of_wait_status(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signal { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
    } else {
        ExitStatus::Code(libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_words_are_read_as_the_kernel_writes_them() {
        assert_eq!(of_wait_status(0), ExitStatus::Code(0));
        assert_eq!(of_wait_status(7 << 8), ExitStatus::Code(7));
        assert_eq!(of_wait_status(9), ExitStatus::Signal { signal: 9, core_dumped: false });
        assert_eq!(of_wait_status(0x8b), ExitStatus::Signal { signal: 11, core_dumped: true });
    }
}
