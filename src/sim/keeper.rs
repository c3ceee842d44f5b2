//! The keeper: its real table and protocol over simulated processes.
//!
//! What the program does with system calls is done here with [`Process`]es, in the same order, so that a crash of the
//! keeper may come between any two of its steps. Knows tickets and processes. Must never know jobs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

use ::keeper::protocol::{ExitStatus, Finish, Occasion, Reason, SpawnRequest, Stage, Ticket, ToKeeper, ToManager};
use ::keeper::table::{MARKERS, NewTicket, State, Table};

use crate::chance::Chance;
use crate::process::{Deed, Process};
use crate::seen::{Seen, Watch};

/// SIGSEGV: what a crash of the keeper is told as.
const SIGSEGV: i32 = 11;
/// ESRCH, ENOENT, EAGAIN, EINVAL (errno(3)).
const ESRCH: i32 = 3;
const ENOENT: i32 = 2;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;

/// The heartbeat, and how many unanswered pings are too many, as in the program.
const BEAT_MS: u64 = 5_000 / 3;
const PINGS: u32 = 3;

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    /// The real one.
    pub table: Table,
    /// All processes that are not reaped.
    pub processes: BTreeMap<i32, Process>,
    /// What the manager has sent and nobody has read.
    pub inbox: VecDeque<ToKeeper>,
    /// What the manager has not read.
    pub outbox: VecDeque<ToManager>,
    /// Notifications of processes that the manager has not taken: pids.
    pub notes: VecDeque<i32>,
    /// Whether the manager has said that it is ready.
    pub is_ready: bool,
    /// How it is to end, once its manager has.
    pub finish: Option<Finish>,
    /// One clone in so many fails; none if 0.
    pub refusing: u64,
    /// From now on all processes behave.
    pub is_good: bool,
    next_pid: i32,
    pings: u64,
    unanswered: u32,
    next_beat_ms: u64,
    chance: Chance,
}

/// What the manager is to be told first.
#[derive(Debug)]
pub struct Greeting {
    /// Why it is started.
    pub occasion: Occasion,
    /// The table.
    pub entries: Vec<::keeper::protocol::Entry>,
    /// Names of held descriptors.
    pub held: Vec<String>,
    /// The highest number that it has been given.
    pub highest_number: u64,
}

impl Keeper {
    /// A keeper that has just been started.
    ///
    /// # Errors
    /// When the system has no memory for its table.
    pub fn new(chance: Chance) -> Result<Self, String> {
        Ok(Self {
            table: Table::create().map_err(|errno| format!("no table for the keeper: {}", errno.desc()))?,
            processes: BTreeMap::new(),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            notes: VecDeque::new(),
            is_ready: false,
            finish: None,
            refusing: 0,
            is_good: false,
            next_pid: 100,
            pings: 0,
            unanswered: 0,
            next_beat_ms: 0,
            chance,
        })
    }

    /// How many managers in a row have ended before they were ready.
    #[must_use]
    pub fn failed_starts(&self) -> u32 {
        self.table.head().failed_starts.load(Ordering::Relaxed)
    }

    /// Begins a manager: the roll call, all at once.
    pub fn greet(&mut self, now_ms: u64) -> Greeting {
        let head = self.table.head();
        let occasion = Occasion {
            reason: head.reason(),
            failed_starts: self.failed_starts(),
            restarts: head.restarts.load(Ordering::Relaxed),
            session: 0,
        };
        // Whatever it has not told is in the roll call.
        self.outbox.clear();
        self.is_ready = false;
        self.unanswered = 0;
        self.next_beat_ms = now_ms + 4 * 5_000;
        Greeting {
            occasion,
            entries: self.table.tickets().filter_map(|(_, slot)| slot.entry()).collect(),
            held: self.table.held().map(|(name, _)| name.to_owned()).collect(),
            highest_number: self.table.head().highest_number(),
        }
    }

    /// The manager has ended: its last messages are heard, and why the next one starts is noted.
    pub fn manager_ended(&mut self, reason: Reason, now_ms: u64, watch: &mut Watch) {
        while self.obey(now_ms, watch) {}
        self.outbox.clear();
        let head = self.table.head();
        head.restarts.fetch_add(1, Ordering::Relaxed);
        head.set_reason(reason);
        if !self.is_ready && !matches!(reason, Reason::KeeperCrashed(_) | Reason::Reexecuted) {
            head.failed_starts.fetch_add(1, Ordering::Relaxed);
        }
        self.is_ready = false;
    }

    /// It crashes, and executes itself anew with nothing but its table; the manager dies with its link.
    ///
    /// # Errors
    /// When its own table is no table any more, or a slot in it is damaged.
    pub fn crash(&mut self, now_ms: u64, watch: &mut Watch) -> Result<(), String> {
        // Half of the time in the middle of a step: between its record and its deed.
        if self.chance.one_in(2) {
            self.crash_in_a_step(now_ms, watch);
        }
        self.inbox.clear();
        self.outbox.clear();
        let file = self.table.descriptor().try_clone_to_owned().map_err(|error| error.to_string())?;
        let (table, damages) = Table::adopt(file).map_err(|error| error.to_string())?;
        if let Some(damage) = damages.first() {
            return Err(format!("a crash of the keeper has damaged its table: {damage}"));
        }
        self.table = table;
        self.table.head().set_reason(Reason::KeeperCrashed(SIGSEGV));
        let slots: Vec<usize> = self.table.tickets().map(|(index, _)| index).collect();
        for index in slots {
            let slot = &self.table.slots()[index];
            if slot.state() == Some(State::Starting) {
                match slot.pid() {
                    // The crash was before the clone. The manager will ask again.
                    0 => {
                        let ticket = slot.ticket();
                        self.table.remove_ticket(ticket);
                    }
                    pid => self.table.set_cloned(index, pid),
                }
            }
        }
        self.manager_ended(Reason::KeeperCrashed(SIGSEGV), now_ms, watch);
        Ok(())
    }

    /// The next message, obeyed but for its last step.
    fn crash_in_a_step(&mut self, now_ms: u64, watch: &mut Watch) {
        match self.inbox.pop_front() {
            Some(ToKeeper::Spawn(request)) if self.table.by_ticket(request.ticket).is_none() => {
                let Ok(index) = self.table.add_ticket(&new_ticket(&request), 90) else { return };
                if self.chance.one_in(2) {
                    let pid = self.clone_process(&request, now_ms, watch);
                    // The kernel has stored it; the keeper has not come to its own store.
                    self.table.slots()[index].cloned_pid().store(pid, Ordering::Relaxed);
                }
            }
            Some(ToKeeper::Signal { ticket, request, signal, whole_group }) => {
                let pid = self.table.by_ticket(ticket).filter(|(_, slot)| request > slot.last_signal_request());
                if let Some(pid) = pid.map(|(_, slot)| slot.pid()) {
                    self.kill(pid, signal, whole_group, now_ms, watch);
                }
            }
            _ => {}
        }
    }

    /// Takes one message of the manager; whether there was one.
    pub fn obey(&mut self, now_ms: u64, watch: &mut Watch) -> bool {
        let Some(message) = self.inbox.pop_front() else { return false };
        match message {
            ToKeeper::Ready => {
                self.table.head().failed_starts.store(0, Ordering::Relaxed);
                self.is_ready = true;
                self.next_beat_ms = now_ms + BEAT_MS;
            }
            ToKeeper::Spawn(request) => self.spawn(&request, now_ms, watch),
            ToKeeper::Signal { ticket, request, signal, whole_group } => {
                self.signal(ticket, request, (signal, whole_group), now_ms, watch);
            }
            ToKeeper::Acknowledge { ticket } => {
                let has_ended = |state| !matches!(state, Some(State::Starting | State::Running));
                if self.table.by_ticket(ticket).is_some_and(|(_, slot)| has_ended(slot.state())) {
                    watch.see(&Seen::Acknowledged { ticket });
                    self.table.remove_ticket(ticket);
                }
            }
            ToKeeper::Hold { name } => {
                if let Err(errno) = self.table.hold(&name, 90) {
                    watch.fail("keeper", format!("cannot hold {name}: {}", errno.desc()));
                }
            }
            ToKeeper::Release { name } => drop(self.table.release(&name)),
            ToKeeper::Pong { number } if number == self.pings => self.unanswered = 0,
            ToKeeper::Finish(finish) => self.finish = Some(finish),
            ToKeeper::Settle { ticket } => {
                if let Some((_, slot)) = self.table.by_ticket(ticket) {
                    slot.settle();
                }
            }
            ToKeeper::Pong { .. } | ToKeeper::SignalTaken { .. } | ToKeeper::SpawnLarge | ToKeeper::Reexecute => {}
        }
        true
    }

    fn clone_process(&mut self, request: &SpawnRequest, now_ms: u64, watch: &mut Watch) -> i32 {
        let pid = self.next_pid;
        self.next_pid += 1;
        let process = Process::of(request, pid, now_ms, self.is_good, &mut self.chance);
        self.processes.insert(pid, process);
        watch.see(&Seen::Started { ticket: request.ticket, label: &request.label, pid });
        pid
    }

    /// A process that was started before the simulation, and runs: what it is still waited for to do, it does.
    ///
    /// # Errors
    /// When the table is full, or knows the ticket.
    pub fn take_up(
        &mut self,
        request: &SpawnRequest,
        known: &machine::job::Process,
        now_ms: u64,
        watch: &mut Watch,
    ) -> Result<(), String> {
        let (ticket, pid) = (request.ticket, known.pid);
        let request = SpawnRequest {
            follow_forks: request.follow_forks.min(known.awaits),
            report_stop: request.report_stop && known.awaits > 0,
            ..request.clone()
        };
        let index = self.table.add_ticket(&new_ticket(&request), 90);
        let index = index.map_err(|errno| format!("ticket {ticket}: {}", errno.desc()))?;
        let mut process = Process::of(&request, pid, now_ms, self.is_good, &mut self.chance);
        process.begun_before(known.start_time_ticks);
        self.processes.insert(pid, process);
        self.next_pid = self.next_pid.max(pid + 1);
        self.table.set_cloned(index, pid);
        self.table.set_running(index, known.start_time_ticks);
        watch.see(&Seen::Started { ticket, label: &request.label, pid });
        Ok(())
    }

    fn spawn(&mut self, request: &SpawnRequest, now_ms: u64, watch: &mut Watch) {
        let ticket = request.ticket;
        watch.see(&Seen::Asked { ticket, label: &request.label });
        if let Some((_, slot)) = self.table.by_ticket(ticket) {
            let (pid, start_time_ticks) = (slot.pid(), slot.start_time_ticks());
            let answer = match slot.state() {
                Some(State::Running) => ToManager::Spawned { ticket, pid, start_time_ticks },
                Some(State::Exited(status)) => ToManager::Exited { ticket, pid, status },
                Some(State::Failed(stage, errno)) => ToManager::SpawnFailed { ticket, stage, errno },
                Some(State::Starting) | None => return,
            };
            return self.outbox.push_back(answer);
        }
        let index = match self.table.add_ticket(&new_ticket(request), 90) {
            Ok(index) => index,
            Err(errno) => return watch.fail("keeper", format!("the table is full: {}", errno.desc())),
        };
        if request.argv.is_empty() {
            return self.set_failed(index, Stage::Request, EINVAL, watch);
        }
        if self.refuses() {
            return self.set_failed(index, Stage::Clone, EAGAIN, watch);
        }
        let pid = self.clone_process(request, now_ms, watch);
        self.table.set_cloned(index, pid);
    }

    /// Whether there is too little of something for one more process: on a machine short of pids or of descriptors.
    pub fn refuses(&mut self) -> bool {
        self.refusing > 0 && self.chance.one_in(self.refusing)
    }

    fn set_failed(&mut self, index: usize, stage: Stage, errno: i32, watch: &mut Watch) {
        self.table.set_failed(index, stage, errno);
        let ticket = self.table.slots()[index].ticket();
        watch.see(&Seen::Refused { ticket });
        self.outbox.push_back(ToManager::SpawnFailed { ticket, stage, errno });
    }

    fn signal(&mut self, ticket: Ticket, request: u64, what: (i32, bool), now_ms: u64, watch: &mut Watch) {
        let mut errno = 0;
        let found =
            self.table.by_ticket(ticket).map(|(_, slot)| (slot.pid(), slot.state(), slot.last_signal_request()));
        match found {
            Some((_, _, last)) if request <= last => {}
            Some((pid, Some(State::Starting | State::Running), _)) => {
                self.kill(pid, what.0, what.1, now_ms, watch);
                if let Some((index, _)) = self.table.by_ticket(ticket) {
                    self.table.set_signalled(index, request);
                }
            }
            _ => errno = ESRCH,
        }
        self.outbox.push_back(ToManager::Signalled { ticket, request, errno });
    }

    fn kill(&mut self, pid: i32, signal: i32, whole_group: bool, now_ms: u64, watch: &mut Watch) {
        let root = self.processes.get(&pid).map(|process| process.root_pid);
        watch.see(&Seen::Signalled { pid, signal });
        let is_meant = |process: &Process| process.pid == pid || (whole_group && Some(process.root_pid) == root);
        for process in self.processes.values_mut().filter(|process| is_meant(process)) {
            process.signal(signal, now_ms);
        }
    }

    /// When a process does the next thing.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.processes.values().filter_map(Process::next_ms).min()
    }

    /// Processes do what they had in mind, up to now.
    pub fn pass(&mut self, now_ms: u64, watch: &mut Watch) {
        loop {
            let due = self.processes.values().filter_map(|one| one.next_ms().map(|at| (at, one.pid))).min();
            let Some((_, pid)) = due.filter(|(at, _)| *at <= now_ms) else { break };
            let Some(process) = self.processes.get_mut(&pid) else { break };
            if let Some((_, deed)) = process.deeds.pop_front() {
                self.happens(pid, deed, now_ms, watch);
            }
        }
    }

    fn happens(&mut self, pid: i32, deed: Deed, now_ms: u64, watch: &mut Watch) {
        let slot = self.table.by_process(pid).map(|(index, slot)| (index, slot.ticket(), slot.start_time_ticks()));
        match deed {
            Deed::Execute(true) => {
                if let Some((index, ticket, _)) = slot {
                    let start_time_ticks = self.processes.get(&pid).map_or(0, |process| process.start_time_ticks);
                    self.table.set_running(index, start_time_ticks);
                    self.outbox.push_back(ToManager::Spawned { ticket, pid, start_time_ticks });
                }
            }
            Deed::Execute(false) => {
                self.processes.remove(&pid);
                if let Some((index, ..)) = slot {
                    self.set_failed(index, Stage::Execute, ENOENT, watch);
                }
            }
            Deed::Fork => {
                let child = self.next_pid;
                self.next_pid += 1;
                let made = self.processes.get(&pid).map(|process| process.child(child, now_ms));
                self.processes.extend(made.map(|made| (child, made)));
                self.ended(pid, ExitStatus::Code(0), watch);
            }
            Deed::Stop => {
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.stop();
                }
                if let Some((_, slot)) = self.table.by_process(pid)
                    && slot.set_stopped()
                {
                    self.outbox.push_back(ToManager::Stopped { ticket: slot.ticket() });
                }
            }
            Deed::Notify => self.notes.push_back(pid),
            Deed::End(status) => self.ended(pid, status, watch),
        }
    }

    /// A process has ended: it goes on as its child if that is to be followed, or its status is kept.
    fn ended(&mut self, pid: i32, status: ExitStatus, watch: &mut Watch) {
        let Some(process) = self.processes.remove(&pid) else { return };
        let Some((index, slot)) = self.table.by_process(pid) else { return };
        let (ticket, forks_left) = (slot.ticket(), slot.forks_left());
        if slot.state() == Some(State::Starting) {
            // Its status pipe is closed by its end, as it would be by its exec.
            self.table.set_running(index, process.start_time_ticks);
            self.outbox.push_back(ToManager::Spawned { ticket, pid, start_time_ticks: process.start_time_ticks });
        }
        let heir = self.processes.values().find(|one| one.root_pid == process.root_pid);
        if let Some(heir) = heir.filter(|_| forks_left > 0) {
            let (pid, start_time_ticks, forks_left) = (heir.pid, heir.start_time_ticks, forks_left - 1);
            self.table.set_forked(index, pid, start_time_ticks, forks_left);
            self.outbox.push_back(ToManager::Forked { ticket, pid, start_time_ticks, forks_left });
            return;
        }
        watch.see(&Seen::Ended { ticket, pid, status });
        self.table.set_exited(index, status);
        self.outbox.push_back(ToManager::Exited { ticket, pid, status });
    }

    /// Asks the manager whether it is alive; true when it has not been for too long.
    pub fn beat(&mut self, now_ms: u64) -> bool {
        if now_ms < self.next_beat_ms {
            return false;
        }
        if !self.is_ready || self.unanswered >= PINGS {
            return true;
        }
        self.pings += 1;
        self.unanswered += 1;
        self.next_beat_ms = now_ms + BEAT_MS;
        self.outbox.push_back(ToManager::Ping { number: self.pings });
        false
    }

    /// The faults have stopped: no process misbehaves any longer.
    pub fn reform(&mut self, now_ms: u64) {
        self.is_good = true;
        self.refusing = 0;
        self.processes.values_mut().for_each(|process| process.reform(now_ms));
    }
}

fn new_ticket(request: &SpawnRequest) -> NewTicket<'_> {
    NewTicket {
        ticket: request.ticket,
        label: &request.label,
        forks: request.follow_forks,
        stops: u32::from(request.report_stop) * (1 + u32::from(request.stop_first)),
        markers: [0; MARKERS],
    }
}
