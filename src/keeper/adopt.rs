//! Taking over from a keeper that was killed: its processes live on, as children of whoever reaps orphans there.
//!
//! The table says which they were. Each is known again by its pid and start time, and held by a pidfd from then on, so that a
//! pid that is used anew is never mistaken for it. What a parent gets from wait(2) comes from the pidfd (Linux 6.15), or from the
//! zombie if it is seen before it is reaped; else nobody can tell, and that is what is told.

#![allow(unsafe_code)] // system calls on pidfds, which nix does not have.

use crate::proc::{self, Stat};
use crate::processes;
use crate::report::say;
use crate::supervise::{ADOPTED, Keeper, OLD_MANAGER};
use keeper::protocol::{ExitStatus, Reason, ToManager};
use keeper::table::State;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::Ordering;

/// How much later than its ticket a process may have started, in clock ticks: one that started after a pid had gone round is
/// somebody else's.
const START_MAX_TICKS: u64 = 200;

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
        slots.into_iter().for_each(|index| self.adopt(index));
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

    fn adopt(&mut self, index: usize) {
        let slot = &self.table.slots()[index];
        let (ticket, pid, begun) = (slot.ticket(), slot.pid(), slot.start_time_ticks());
        let found = match slot.state() {
            // Its keeper was killed before the clone: the manager will ask again.
            Some(State::Starting) if pid == 0 => return self.table.remove_ticket(ticket),
            Some(State::Starting) => {
                open_pidfd(pid, |stat| (begun..=begun + START_MAX_TICKS).contains(&stat.start_time_ticks))
            }
            Some(State::Running) => open_pidfd(pid, |stat| begun != 0 && stat.start_time_ticks == begun),
            _ => return,
        };
        match found {
            Some((pidfd, stat)) => {
                self.table.set_adopted(index, pid, stat.start_time_ticks, pidfd.as_raw_fd());
                let slot = &self.table.slots()[index];
                if stat.is_stopped && slot.awaits_stop() {
                    // Nobody has told of it; and who stops twice is rare.
                    while slot.awaits_stop() && !slot.set_stopped() {}
                }
                self.watch_adopted(index, pidfd);
            }
            None => self.table.set_exited(index, ExitStatus::Unknown),
        }
    }

    /// A process that an image of this keeper before this one has adopted.
    pub(crate) fn resume_adopted(&mut self, index: usize) {
        match processes::take_over(self.table.slots()[index].descriptor()) {
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
        let (ticket, pid, started) = (slot.ticket(), slot.pid(), slot.start_time_ticks());
        let Some(status) = status_of(pidfd, pid, started) else { return };
        self.table.set_exited(index, status);
        self.adopted.remove(&index);
        self.outgoing.push_back(ToManager::Exited { ticket, pid, status });
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

/// How the process of a pidfd has ended; none while it has not, or while that can still be found out.
fn status_of(pidfd: &OwnedFd, pid: i32, started: u64) -> Option<ExitStatus> {
    if is_alive(pidfd.as_fd()) {
        return None;
    }
    // Twice: it may be reaped between the two looks, and then the first one has the answer.
    for _ in 0..2 {
        let mut info = Info { mask: INFO_EXIT, ..Info::default() };
        // SAFETY: the kernel writes as much as the number of the request says: the size of Info.
        let answer = Errno::result(unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) });
        if answer.is_ok() && info.mask & INFO_EXIT != 0 {
            return Some(of_wait_status(info.exit_code));
        }
        match proc::zombie_status(pid, started) {
            Some(Some(status)) => return Some(of_wait_status(status)),
            // Somebody will reap it.
            Some(None) if answer.is_ok() => return None,
            _ => {}
        }
    }
    Some(ExitStatus::Unknown)
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
