//! The manager: started, watched, ended and started again, one at a time. It has no ticket.

use crate::child;
use crate::crash;
use crate::launch::Launch;
use crate::processes;
use crate::raw::Stack;
use crate::report::say;
use crate::spawn::read_status;
use crate::supervise::{Keeper, MANAGER_PIPE};
use keeper::link::Link;
use keeper::protocol::{
    DUMP, EXIT_USAGE, ExitStatus, Finish, IMAGE_AFTER, MANAGER_FD, MANAGER_IMAGE, Occasion, PACKET_MAX_FDS, Reason,
    Stage, ToManager,
};
use keeper::table::{Table, now_ticks};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::signal::Signal;
use nix::sys::socket::{Shutdown, shutdown};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a manager that was asked to end may take.
const END: Duration = Duration::from_secs(2);

/// So many deaths of managers that worked, within [`CALM`], and the next one has to wait for [`BREATH`].
const DEATHS: usize = 10;
const CALM: Duration = Duration::from_secs(10);
const BREATH: Duration = Duration::from_millis(100);

/// After so many failed starts in a row a session may be given up.
const HOPELESS: u32 = 5;

/// A manager that is not yet ready may take this many times as long as one that is.
const START_FACTOR: u32 = 4;

/// So many unanswered pings mean that it hangs. Counted, not timed, so that a keeper that was itself held up does not kill a
/// sound manager. One that hangs right after it has answered is found at the time of the ping after those, which is the
/// heartbeat's.
const PINGS: u32 = 3;

/// How long a manager that hangs has to say where, when it is asked to (see [`DUMP`]).
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What to do when the manager has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Start another; why it ended is told by how.
    #[default]
    Restart,
    /// Start another; this is why.
    RestartFor(Reason),
    /// Execute the keeper anew.
    Reexecute,
    /// The end.
    Finish(Finish),
}

/// The manager as the keeper sees it. Its pid is in the table's head.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) link: Option<Link>,
    /// The link's buffer is full.
    pub(crate) is_full: bool,
    pub(crate) is_ready: bool,
    /// Open until it executes its program.
    pipe: Option<OwnedFd>,
    heartbeat: Option<Duration>,
    ping: u64,
    unanswered: u32,
    /// When to ping, or (before it is ready) to lose patience.
    next_beat: Option<Instant>,
    kill_at: Option<Instant>,
    start_at: Option<Instant>,
    afterwards: Afterwards,
    /// Of managers that had been ready.
    deaths: VecDeque<Instant>,
    /// These have come so fast that the program itself is suspected.
    is_suspect: bool,
    /// The program is the one that has worked before.
    is_fallback: bool,
    /// PID 1 does not ask for the same usage error twice.
    drops_options: bool,
}

impl Watch {
    pub(crate) fn new(heartbeat: Option<Duration>) -> Self {
        Self {
            link: None,
            is_full: false,
            is_ready: false,
            pipe: None,
            heartbeat,
            ping: 0,
            unanswered: 0,
            next_beat: None,
            kill_at: None,
            start_at: Some(Instant::now()),
            afterwards: Afterwards::Restart,
            deaths: VecDeque::with_capacity(DEATHS),
            is_suspect: false,
            is_fallback: false,
            drops_options: false,
        }
    }

    /// A manager of the image before, which is on its way out.
    pub(crate) fn take_over(&mut self, reason: Reason) {
        self.start_at = None;
        self.afterwards = Afterwards::RestartFor(reason);
    }

    /// No manager before [`Watch::let_go`].
    pub(crate) fn hold_back(&mut self) {
        self.start_at = None;
    }

    /// The next manager may start.
    pub(crate) fn let_go(&mut self) {
        self.start_at = Some(Instant::now());
    }

    /// When something is to be done even if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.next_beat, self.kill_at, self.start_at].into_iter().flatten().min()
    }

    /// The number of the ping that comes next.
    pub(crate) fn next_ping(&self) -> u64 {
        self.ping + 1
    }

    pub(crate) fn answered(&mut self, number: u64) {
        if number == self.ping {
            self.unanswered = 0;
        }
    }

    /// Whether managers fail to start, again and again.
    pub(crate) fn is_hopeless(&self, table: &Table) -> bool {
        !self.is_ready && table.head().failed_starts.load(Ordering::Relaxed) >= HOPELESS
    }
}

impl Keeper {
    fn manager_pid(&self) -> i32 {
        self.table.head().manager_pid.load(Ordering::Relaxed)
    }

    /// Whatever is due now.
    pub(crate) fn watch_manager(&mut self, now: Instant) {
        let is_due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if is_due(self.watch.start_at) {
            self.watch.start_at = None;
            self.start_manager(now);
        }
        if is_due(self.watch.next_beat) {
            self.beat(now);
        }
        if is_due(self.watch.kill_at) {
            self.watch.kill_at = None;
            let _ = processes::kill(self.manager_pid(), libc::SIGKILL);
        }
    }

    fn start_manager(&mut self, now: Instant) {
        if let Err((stage, errno)) = self.try_start_manager(now) {
            say!("cannot start the manager: {stage:?}: {}", errno.desc());
            self.watch.link = None;
            self.watch.pipe = None;
            self.count_failed_start(now);
        }
    }

    fn try_start_manager(&mut self, now: Instant) -> Result<(), (Stage, Errno)> {
        let on_clone = |errno| (Stage::Clone, errno);
        let (ours, theirs) = Link::pair().map_err(|_| (Stage::Clone, Errno::EMFILE))?;
        let (read_end, write_end) = self.status_pipe().map_err(on_clone)?;
        ours.set_nonblocking(true).map_err(|_| (Stage::Clone, Errno::EBADF))?;
        self.epoll.add(&read_end, EpollEvent::new(EpollFlags::EPOLLIN, MANAGER_PIPE)).map_err(on_clone)?;
        let path = self.manager_program();
        let is_fallback = path.starts_with("/proc/self/fd");
        if is_fallback && !self.watch.is_fallback {
            say!("managers keep ending: going back to the last one that worked");
        }
        self.watch.is_fallback = is_fallback;
        let arguments = if self.watch.drops_options { &[][..] } else { &self.options.for_manager[..] };
        let descriptors = vec![(theirs.as_raw_fd(), MANAGER_FD)];
        let mut launch = Launch::of_manager(&path, arguments, descriptors, self.open_files())?;
        launch.ignored = self.ignored_signals;
        let before = now_ticks();
        child::start(Box::new(launch), &write_end, &self.table.head().manager_pid, Stack::new)
            .map_err(|(failure, _)| failure)?;
        let after = now_ticks();
        drop(write_end);
        let started = crate::proc::start_time_ticks(self.manager_pid());
        self.is_clock_of_proc = (before..=after).contains(&started);
        self.table.head().manager_start_time.store(started, Ordering::Relaxed);
        self.connect(ours).map_err(on_clone)?;
        self.watch.pipe = Some(read_end);
        self.watch.is_ready = false;
        self.watch.unanswered = 0;
        self.watch.next_beat = self.watch.heartbeat.map(|deadline| now + deadline * START_FACTOR);
        self.call_roll();
        Ok(())
    }

    /// The installed manager, or when that one keeps failing, by turns the one that has worked before.
    fn manager_program(&self) -> PathBuf {
        let failed = self.table.head().failed_starts.load(Ordering::Relaxed);
        let cannot_start = failed >= IMAGE_AFTER && (failed - IMAGE_AFTER).is_multiple_of(2);
        match self.held.get(MANAGER_IMAGE) {
            Some(image) if cannot_start || self.watch.is_suspect => {
                format!("/proc/self/fd/{}", image.as_raw_fd()).into()
            }
            _ => self.options.manager_path(&self.own_path),
        }
    }

    /// Everything the keeper knows, for a manager that knows nothing yet.
    fn call_roll(&mut self) {
        let head = self.table.head();
        let occasion = Occasion {
            reason: head.reason(),
            failed_starts: head.failed_starts.load(Ordering::Relaxed),
            restarts: head.restarts.load(Ordering::Relaxed),
            session: if self.is_system { 1 } else { self.number() },
        };
        self.outgoing.clear();
        self.outgoing.push_back(ToManager::RollCallBegin(occasion));
        let entries = self.table.tickets().filter_map(|(_, slot)| slot.entry());
        self.outgoing.extend(entries.map(ToManager::RollCallEntry));
        let names: Vec<String> = self.held.keys().cloned().collect();
        let packets = names.chunks(PACKET_MAX_FDS).map(|names| ToManager::RollCallHeld { names: names.to_vec() });
        self.outgoing.extend(packets);
        let highest = self.table.head().highest_number();
        self.outgoing.push_back(ToManager::RollCallNumbers { highest });
        self.outgoing.push_back(ToManager::RollCallEnd);
    }

    /// The manager's status pipe has something to say: an exec that failed has a reason, which its exit has not.
    pub(crate) fn manager_executed(&mut self) {
        let Some(status) = self.watch.pipe.as_ref().and_then(read_status) else { return };
        self.watch.pipe = None;
        if let Err((stage, errno)) = status {
            let path = self.manager_program();
            say!("cannot start {}: {stage:?}: {}", path.display(), errno.desc());
        }
    }

    pub(crate) fn manager_ready(&mut self) {
        let head = self.table.head();
        head.failed_starts.store(0, Ordering::Relaxed);
        self.watch.is_ready = true;
        self.end_shell();
        self.watch.next_beat = self.watch.heartbeat.map(|deadline| Instant::now() + deadline / (PINGS + 1));
        self.tell_pending_signals();
    }

    fn beat(&mut self, now: Instant) {
        let Some(deadline) = self.watch.heartbeat else { return };
        if !self.watch.is_ready || self.watch.unanswered >= PINGS {
            let pid = self.manager_pid();
            say!("the manager does not answer: killing it; {}", crate::proc::whereabouts(pid));
            self.watch.next_beat = None;
            self.watch.afterwards = Afterwards::RestartFor(Reason::ManagerHung);
            // It says what it is in the middle of, if it can, and ends.
            let _ = processes::kill(pid, DUMP);
            self.watch.kill_at = Some(now + LAST_WORDS);
            return;
        }
        self.watch.ping += 1;
        self.watch.unanswered += 1;
        self.watch.next_beat = Some(now + deadline / (PINGS + 1));
        self.outgoing.push_back(ToManager::Ping { number: self.watch.ping });
    }

    /// It has closed its end: it ends, or it has gone mad.
    pub(crate) fn link_closed(&mut self) {
        self.watch.link = None;
        self.watch.next_beat = None;
        if self.manager_pid() > 0 && self.watch.kill_at.is_none() {
            self.watch.kill_at = Some(Instant::now() + END);
        }
    }

    /// Has the manager end, and then does something else than starting it again.
    pub(crate) fn end_manager(&mut self, afterwards: Afterwards) {
        self.watch.afterwards = afterwards;
        self.watch.next_beat = None;
        self.watch.kill_at = Some(Instant::now() + END);
        // It reads the end of the link, but what it still has to say is heard.
        if let Some(link) = &self.watch.link {
            let _ = shutdown(link.as_raw_fd(), Shutdown::Write);
        }
    }

    /// The manager is reaped.
    pub(crate) fn manager_ended(&mut self, status: ExitStatus) {
        // What an exec that failed has to say would be lost with its pipe, and its last messages with the link.
        self.manager_executed();
        while self.read_link() {}
        let now = Instant::now();
        let was_ready = self.watch.is_ready;
        self.table.head().manager_pid.store(0, Ordering::Relaxed);
        self.watch.link = None;
        self.watch.pipe = None;
        self.watch.is_ready = false;
        self.watch.next_beat = None;
        self.watch.kill_at = None;
        self.outgoing.clear();
        let restarts = self.table.head().restarts.fetch_add(1, Ordering::Relaxed);
        let reason = match std::mem::take(&mut self.watch.afterwards) {
            Afterwards::Finish(finish) => return self.finish(finish, now),
            Afterwards::Reexecute => {
                self.table.head().set_reason(Reason::Reexecuted);
                crash::execute_installed();
                // Still here, so there is no other keeper to be had; a new manager there is.
                Reason::Reexecuted
            }
            Afterwards::RestartFor(reason) => reason,
            Afterwards::Restart => {
                if status == ExitStatus::Code(i32::from(EXIT_USAGE)) && !was_ready && self.usage_error(restarts) {
                    return;
                }
                say!("the manager ended ({}): starting another", describe(status));
                Reason::ManagerEnded(status)
            }
        };
        self.table.head().set_reason(reason);
        match reason {
            Reason::KeeperCrashed(_) | Reason::Reexecuted => self.watch.start_at = Some(now),
            _ if was_ready => self.watch.start_at = Some(now + self.pause(now)),
            _ => self.count_failed_start(now),
        }
    }

    /// The manager refuses its options; whether that was the end.
    fn usage_error(&mut self, restarts: u64) -> bool {
        if self.is_system && !self.watch.drops_options {
            say!("the options are wrong: starting the manager without");
            self.watch.drops_options = true;
        } else if !self.is_system && restarts == 0 {
            self.exit_status = Some(1);
            return true;
        }
        false
    }

    /// Managers that worked start again at once, unless that has become a habit.
    fn pause(&mut self, now: Instant) -> Duration {
        if self.watch.deaths.len() == DEATHS {
            self.watch.deaths.pop_front();
        }
        self.watch.deaths.push_back(now);
        let is_habit = self.watch.deaths.len() == DEATHS
            && self.watch.deaths.front().is_some_and(|&oldest| now.duration_since(oldest) < CALM);
        // By turns, as with those that cannot even start: what is kept need not be better.
        self.watch.is_suspect = is_habit && !self.watch.is_fallback;
        if is_habit { BREATH } else { Duration::ZERO }
    }

    /// Managers that end before they are ready wait longer each time: 0, 50 ms, 100 ms, … 5 s.
    fn count_failed_start(&mut self, now: Instant) {
        let failed = self.table.head().failed_starts.fetch_add(1, Ordering::Relaxed);
        let wait_ms = if failed == 0 { 0 } else { (50_u64 << (failed - 1).min(7)).min(5_000) };
        self.watch.start_at = Some(now + Duration::from_millis(wait_ms));
        self.offer_shell(now);
    }

    fn finish(&mut self, finish: Finish, now: Instant) {
        match finish {
            Finish::Exit(status) => self.exit_status = Some(status),
            Finish::Reboot(command) => {
                nix::unistd::sync();
                let errno = processes::reboot(command);
                say!("reboot failed: {}", errno.desc());
                self.watch.start_at = Some(now);
            }
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit status {code}"),
        ExitStatus::Signal { signal, .. } => {
            Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string())
        }
        ExitStatus::Unknown => "nobody knows how".into(),
    }
}
