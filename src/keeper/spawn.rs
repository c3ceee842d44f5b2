//! Tickets from request to running process, and the signals to it.

use crate::child;
use crate::launch::{Failure, Launch};
use crate::proc;
use crate::raw::Stack;
use crate::report::say;
use crate::supervise::Keeper;
use keeper::protocol::{SpawnRequest, Stage, Ticket, ToManager};
use keeper::table::{NewTicket, State, now_ticks};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::stat::Mode;
use nix::unistd::pipe2;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// Stacks that are kept for the next children, at most.
const STACKS: usize = 4;

/// How often more a process is tried to be made when there are none to be had (fork(2), EAGAIN), and how long after the first
/// time; twice as long each time. In all 1.3 s.
const TRIES: u32 = 7;
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// How long after its process was made a program runs, as a rule; then the keeper looks, once. To be woken by exec itself would be
/// to take the processor from that very program, wherever the scheduler has no other one for the keeper.
const USUAL_EXEC: Duration = Duration::from_micros(150);

/// A process that is to be made.
#[derive(Debug)]
pub(crate) struct Attempt {
    index: usize,
    launch: Box<Launch>,
    /// Of its status: our end and its.
    pipe: (OwnedFd, OwnedFd),
    /// The launch names them by number.
    given: Vec<OwnedFd>,
    tries: u32,
    /// When to try again.
    pub(crate) at: Option<Instant>,
}

/// A process on its way to its program.
#[derive(Debug)]
pub(crate) struct Starting {
    /// Where it tells what becomes of it.
    pipe: OwnedFd,
    /// When it was made, in ticks since boot, where that is certain.
    made_ticks: Option<u64>,
    /// Whether epoll tells of the pipe; not before the keeper has looked itself.
    is_watched: bool,
}

impl Keeper {
    /// Starts the process of a request, once per ticket.
    pub(crate) fn spawn(&mut self, mut request: SpawnRequest, given: Vec<OwnedFd>) {
        if self.table.by_ticket(request.ticket).is_some() {
            return self.answer_again(request.ticket);
        }
        // Before the process exists: its first write must find a reader, whatever becomes of the manager.
        let mut given = given;
        for (name, index) in std::mem::take(&mut request.hold) {
            match given.get_mut(usize::from(index)).map(|descriptor| descriptor.try_clone()) {
                Some(Ok(copy)) => self.hold(name, copy),
                _ => return self.refuse(&request, (Stage::Request, Errno::EBADF)),
            }
        }
        let (read_end, write_end) = match self.status_pipe() {
            Ok(pipe) => pipe,
            Err(errno) => return self.refuse(&request, (Stage::Clone, errno)),
        };
        let index = match self.table.add_ticket(&new_ticket(&request), read_end.as_raw_fd()) {
            Ok(index) => index,
            Err(errno) => {
                let ticket = request.ticket;
                say!("the table is full: {}", errno.desc());
                let failed = ToManager::SpawnFailed { ticket, stage: Stage::Clone, errno: errno as i32 };
                return self.outgoing.push_back(failed);
            }
        };
        let open_files = self.open_files();
        match Launch::of_request(request, &given, open_files) {
            Ok(mut launch) => {
                launch.ignored = self.ignored_signals;
                launch.null = self.null.as_ref().map(|null| null.as_raw_fd());
                let launch = Box::new(launch);
                self.attempt(Attempt { index, launch, pipe: (read_end, write_end), given, tries: 0, at: None });
            }
            Err(failure) => self.set_failed(index, failure),
        }
    }

    /// Through what a process tells what becomes of its start, see [`crate::child`]; to be had just before it is made. Another
    /// process that has a copy of the writing end, and gets stuck, would keep this one from ever having started.
    pub(crate) fn status_pipe(&mut self) -> Result<(OwnedFd, OwnedFd), Errno> {
        self.spare_pipe.take().map_or_else(|| pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK), Ok)
    }

    /// Has what the next process takes ready, and puts away what is of no use any more, when there is nothing better to do.
    pub(crate) fn keep_ready(&mut self) {
        self.spent.clear();
        if self.spare_pipe.is_none() && self.starting.is_empty() {
            self.spare_pipe = self.status_pipe().ok();
        }
        if self.null.is_none() {
            self.null = open("/dev/null", OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty()).ok();
        }
    }

    /// Makes the process of a ticket that has a slot. Where there are no more processes to be had, later again, and in the end
    /// not.
    fn attempt(&mut self, attempt: Attempt) {
        let Attempt { index, launch, pipe: (read_end, write_end), given, tries, .. } = attempt;
        // None of what is made here may have a copy of it.
        self.spare_pipe = None;
        let cloned_pid = self.table.slots()[index].cloned_pid();
        let stack = || self.stacks.pop().map_or_else(Stack::new, Ok);
        let before = now_ticks();
        match child::start(launch, &write_end, cloned_pid, stack) {
            Ok(lent) => {
                // Within one tick there is but one start time, and to ask the clock is cheap.
                let made_ticks = (self.is_clock_of_proc && now_ticks() == before).then_some(before);
                drop(write_end);
                let pid = self.table.slots()[index].pid();
                self.lent.extend(lent.map(|lent| (pid, lent)));
                self.table.set_cloned(index, pid);
                self.watch_pipe(index, read_end, made_ticks);
            }
            Err(((_, Errno::EAGAIN | Errno::ENOMEM), launch)) if tries < TRIES => {
                let at = Some(Instant::now() + FIRST_WAIT * (1 << tries));
                let pipe = (read_end, write_end);
                self.attempts.push(Attempt { index, launch, pipe, given, tries: tries + 1, at });
            }
            Err((failure, _)) => self.set_failed(index, failure),
        }
    }

    /// Tries again what is due.
    pub(crate) fn attempt_again(&mut self, now: Instant) {
        let is_due = |attempt: &Attempt| attempt.at.is_none_or(|at| at <= now);
        if self.attempts.iter().any(is_due) {
            let (due, later) = std::mem::take(&mut self.attempts).into_iter().partition(is_due);
            self.attempts = later;
            let due: Vec<Attempt> = due;
            due.into_iter().for_each(|attempt| self.attempt(attempt));
        }
    }

    /// A request that fails before there is anything to clean up.
    fn refuse(&mut self, request: &SpawnRequest, failure: Failure) {
        match self.table.add_ticket(&new_ticket(request), -1) {
            Ok(index) => self.set_failed(index, failure),
            Err(errno) => say!("the table is full: {}", errno.desc()),
        }
    }

    /// What is known of a ticket that was asked for before.
    fn answer_again(&mut self, ticket: Ticket) {
        let Some((_, slot)) = self.table.by_ticket(ticket) else { return };
        let (pid, start_time_ticks) = (slot.pid(), slot.start_time_ticks());
        let answer = match slot.state() {
            Some(State::Running) => ToManager::Spawned { ticket, pid, start_time_ticks },
            Some(State::Exited(status)) => ToManager::Exited { ticket, pid, status },
            Some(State::Failed(stage, errno)) => ToManager::SpawnFailed { ticket, stage, errno },
            // The answer is on its way.
            Some(State::Starting) | None => return,
        };
        self.outgoing.push_back(answer);
    }

    pub(crate) fn watch_pipe(&mut self, index: usize, pipe: OwnedFd, made_ticks: Option<u64>) {
        self.starting.insert(index, Starting { pipe, made_ticks, is_watched: false });
        self.look_at.get_or_insert_with(|| Instant::now() + USUAL_EXEC);
    }

    /// Looks at the processes that were being started, and has epoll tell of those that still are.
    pub(crate) fn look_at_starting(&mut self) {
        self.look_at = None;
        let unwatched = |(&index, starting): (&usize, &Starting)| (!starting.is_watched).then_some(index);
        let indices: Vec<usize> = self.starting.iter().filter_map(unwatched).collect();
        for index in indices {
            self.status_arrived(index);
            let Some(starting) = self.starting.get_mut(&index) else { continue };
            starting.is_watched = true;
            if self.epoll.add(&starting.pipe, EpollEvent::new(EpollFlags::EPOLLIN, index as u64)).is_err() {
                // No room for another watch: what its exec came to will be seen when it ends.
                self.settle_started(index);
            }
        }
    }

    /// Reads what all starting processes have to say by now.
    pub(crate) fn read_statuses(&mut self) {
        let indices: Vec<usize> = self.starting.keys().copied().collect();
        indices.into_iter().for_each(|index| self.status_arrived(index));
    }

    /// The status pipe of a starting process has something to say.
    pub(crate) fn status_arrived(&mut self, index: usize) {
        let Some(starting) = self.starting.get(&index) else { return };
        match read_status(&starting.pipe) {
            None => {}
            Some(Ok(())) => self.settle_started(index),
            Some(Err(failure)) => self.set_failed(index, failure),
        }
    }

    /// The process runs its program.
    pub(crate) fn settle_started(&mut self, index: usize) {
        let starting = self.starting.remove(&index);
        if starting.is_some() {
            // The kernel closes the pipe after it has given the process memory of its own (`begin_new_exec`), or ended it.
            self.take_back(self.table.slots()[index].pid());
        }
        let slot = &self.table.slots()[index];
        let (ticket, pid) = (slot.ticket(), slot.pid());
        // While it was starting nobody looked whether it stops.
        self.children_changed |= slot.awaits_stop();
        let made_ticks = starting.as_ref().and_then(|starting| starting.made_ticks);
        self.spent.extend(starting.map(|starting| starting.pipe));
        let start_time_ticks = made_ticks.unwrap_or_else(|| proc::start_time_ticks(pid));
        self.table.set_running(index, start_time_ticks);
        self.outgoing.push_back(ToManager::Spawned { ticket, pid, start_time_ticks });
    }

    /// The process has left the keeper's memory.
    pub(crate) fn take_back(&mut self, pid: i32) {
        if let Some(lent) = self.lent.remove(&pid) {
            let stack = lent.take_back();
            if self.stacks.len() < STACKS {
                self.stacks.push(stack);
            }
        }
    }

    fn set_failed(&mut self, index: usize, (stage, errno): Failure) {
        self.starting.remove(&index);
        let errno = errno as i32;
        self.table.set_failed(index, stage, errno);
        let ticket = self.table.slots()[index].ticket();
        self.outgoing.push_back(ToManager::SpawnFailed { ticket, stage, errno });
        // Its process has become a stranger, whose end may have been seen already.
        self.children_changed = true;
    }

    /// Signals the process of a ticket, which is not reaped, so its pid is its own.
    pub(crate) fn signal(&mut self, ticket: Ticket, request: u64, signal: i32, whole_group: bool) {
        let result = match self.table.by_ticket(ticket) {
            Some((_, slot)) if request <= slot.last_signal_request() => Ok(()),
            Some((index, slot)) if matches!(slot.state(), Some(State::Starting | State::Running)) => {
                let result = self.send_signal(index, signal, whole_group);
                // After the deed: a crash in between signals twice, rather than not at all.
                self.table.set_signalled(index, request);
                result
            }
            _ => Err(Errno::ESRCH),
        };
        let errno = result.err().map_or(0, |errno| errno as i32);
        self.outgoing.push_back(ToManager::Signalled { ticket, request, errno });
    }

    /// Forgets a ticket that has ended.
    pub(crate) fn acknowledge(&mut self, ticket: Ticket) {
        match self.table.by_ticket(ticket).map(|(_, slot)| slot.state()) {
            Some(Some(State::Starting | State::Running)) => {
                say!("manager: ticket {ticket} has not ended, so its end cannot be acknowledged");
            }
            Some(_) => self.table.remove_ticket(ticket),
            None => {}
        }
    }
}

fn new_ticket(request: &SpawnRequest) -> NewTicket<'_> {
    NewTicket {
        ticket: request.ticket,
        label: &request.label,
        forks: request.follow_forks,
        stops: u32::from(request.report_stop) * (1 + u32::from(request.stop_first)),
        markers: proc::markers(&request.environment),
    }
}

/// None while the child is still on its way; else whether its exec succeeded.
pub(crate) fn read_status(pipe: &OwnedFd) -> Option<Result<(), Failure>> {
    let mut report = [0; child::REPORT_BYTES];
    match nix::unistd::read(pipe, &mut report) {
        Ok(child::REPORT_BYTES) => {
            let (word, errno) = report.split_at(8);
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            let errno = errno.try_into().map_or(0, i32::from_le_bytes);
            Some(Err((Stage::from_word(word).unwrap_or(Stage::Execute), Errno::from_raw(errno))))
        }
        Err(Errno::EAGAIN | Errno::EINTR) => None,
        Ok(_) | Err(_) => Some(Ok(())),
    }
}
