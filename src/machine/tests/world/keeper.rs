//! A keeper without processes: it has the table and the rules of the real one, and its processes do what a test says.

use std::collections::{BTreeMap, BTreeSet};

use machine::class::Expect;
use machine::input::{Input, RollCallCondition, RollCallEntry};
use machine::job::{Cause, ProcessKind};
use machine::spawn::{Spawn, label, read_label};

const SIGCONT: i32 = 18;

/// What a keeper knows and has done.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    /// What it would tell in a roll call.
    pub table: BTreeMap<u64, RollCallEntry>,
    /// Spawn requests are left lying until [`Keeper::release`].
    pub is_slow: bool,
    /// Every process that was ever started, by label; and every signal that was carried out.
    pub deeds: Vec<String>,
    /// The highest number of a ticket or signal request so far.
    pub highest_number: u64,
    waiting: BTreeMap<u64, Spawn>,
    refusals: BTreeMap<String, String>,
    started: BTreeSet<u64>,
    requests: BTreeMap<u64, (u64, i32)>,
    last_pid: i32,
}

impl Keeper {
    /// A spawn request; what is answered to it.
    pub(crate) fn spawn(&mut self, spawn: Spawn) -> Vec<Input> {
        if let Some(known) = self.table.get(&spawn.ticket) {
            return told_again(known);
        }
        if self.is_slow {
            self.waiting.insert(spawn.ticket, spawn);
            return Vec::new();
        }
        vec![self.start(&spawn)]
    }

    /// Does a spawn request that was left lying.
    pub(crate) fn release(&mut self, kind: ProcessKind, class: &str, instance: &str) -> Option<Input> {
        let wanted = label(kind, class, instance);
        let ticket = *self.waiting.iter().find(|(_, spawn)| spawn.label == wanted)?.0;
        let spawn = self.waiting.remove(&ticket)?;
        Some(self.start(&spawn))
    }

    /// The manager's end is closed: requests that were not read yet are lost.
    pub(crate) fn lose_manager(&mut self) {
        self.waiting.clear();
    }

    fn start(&mut self, spawn: &Spawn) -> Input {
        let ticket = spawn.ticket;
        self.highest_number = self.highest_number.max(ticket);
        assert!(self.started.insert(ticket), "ticket {ticket} ({}) is started twice", spawn.label);
        let mut entry = RollCallEntry {
            ticket,
            label: spawn.label.clone(),
            pid: 0,
            start_time_ticks: 0,
            last_signal_request: 0,
            condition: RollCallCondition::Running { forks_left: follows(spawn.expect), has_stopped: false },
        };
        if let Some(reason) = self.refusals.remove(&spawn.label) {
            self.deeds.push(format!("refused {}", spawn.label));
            entry.condition = RollCallCondition::Failed(reason.clone());
            self.table.insert(ticket, entry);
            return Input::SpawnFailed { ticket, reason };
        }
        self.deeds.push(format!("started {}", spawn.label));
        let (pid, start_time_ticks) = self.next_process();
        (entry.pid, entry.start_time_ticks) = (pid, start_time_ticks);
        self.table.insert(ticket, entry);
        Input::Spawned { ticket, pid, start_time_ticks }
    }

    fn next_process(&mut self) -> (i32, u64) {
        self.last_pid += 1;
        (self.last_pid, 1000 + u64::from(self.last_pid.unsigned_abs()))
    }

    /// A signal request; what is answered to it. None is carried out twice.
    pub(crate) fn signal(&mut self, ticket: u64, request: u64, signal: i32) -> Input {
        let known = *self.requests.entry(request).or_insert((ticket, signal));
        assert_eq!(known, (ticket, signal), "signal request {request} is another one now, and would be ignored");
        if let Some(entry) = self.table.get_mut(&ticket).filter(|entry| entry.last_signal_request < request) {
            entry.last_signal_request = request;
            self.highest_number = self.highest_number.max(request);
            if let RollCallCondition::Running { has_stopped, .. } = &mut entry.condition {
                *has_stopped &= signal != SIGCONT;
                self.deeds.push(format!("signalled {} {signal}", entry.label));
            }
        }
        Input::Signalled { ticket, request }
    }

    /// No more forks of a process are followed.
    pub(crate) fn settle(&mut self, ticket: u64) {
        if let Some(RollCallEntry { condition: RollCallCondition::Running { forks_left, .. }, .. }) =
            self.table.get_mut(&ticket)
        {
            *forks_left = 0;
        }
    }

    /// The end of a ticket is recorded.
    pub(crate) fn acknowledge(&mut self, ticket: u64) {
        if let Some(gone) = self.table.remove(&ticket) {
            let runs = matches!(gone.condition, RollCallCondition::Running { .. });
            assert!(!runs, "{} (ticket {ticket}) is acknowledged while it runs", gone.label);
        }
    }

    /// The next spawn of this process will fail.
    pub(crate) fn refuse(&mut self, label: String, reason: &str) {
        self.refusals.insert(label, reason.into());
    }

    /// The running process of that name.
    pub(crate) fn running(&self, kind: ProcessKind, class: &str, instance: &str) -> Option<u64> {
        let wanted = label(kind, class, instance);
        let runs = |entry: &&RollCallEntry| {
            entry.label == wanted && matches!(entry.condition, RollCallCondition::Running { .. })
        };
        self.table.values().find(runs).map(|entry| entry.ticket)
    }

    /// The process ends.
    pub(crate) fn exit(&mut self, ticket: u64, cause: Cause) -> Option<Input> {
        self.table.get_mut(&ticket)?.condition = RollCallCondition::Exited(cause);
        Some(Input::Exited { ticket, cause })
    }

    /// The process forks, and its parent half ends. Without forks to follow that is its end.
    pub(crate) fn fork(&mut self, ticket: u64) -> Option<Input> {
        let next = self.next_process();
        let entry = self.table.get_mut(&ticket)?;
        let RollCallCondition::Running { forks_left, .. } = &mut entry.condition else { return None };
        if *forks_left == 0 {
            return self.exit(ticket, Cause::Status(0));
        }
        *forks_left -= 1;
        (entry.pid, entry.start_time_ticks) = next;
        Some(Input::Forked { ticket, pid: next.0, start_time_ticks: next.1, forks_left: *forks_left })
    }

    /// The process stops itself.
    pub(crate) fn stop_itself(&mut self, ticket: u64) -> Option<Input> {
        let RollCallCondition::Running { has_stopped, .. } = &mut self.table.get_mut(&ticket)?.condition else {
            return None;
        };
        *has_stopped = true;
        Some(Input::Stopped(ticket))
    }

    /// A process that no journal knows.
    pub(crate) fn add_stranger(&mut self, ticket: u64, label: String) {
        self.started.insert(ticket);
        self.highest_number = self.highest_number.max(ticket);
        let (pid, start_time_ticks) = self.next_process();
        let condition = RollCallCondition::Running { forks_left: 0, has_stopped: false };
        let entry = RollCallEntry { ticket, label, pid, start_time_ticks, last_signal_request: 0, condition };
        self.table.insert(ticket, entry);
    }

    /// What is left in the table, for comparison.
    pub(crate) fn left(&self) -> Vec<String> {
        self.table.values().map(|entry| format!("{} {:?}", entry.label, entry.condition)).collect()
    }
}

/// `job`, `job:instance` of a label, and the process kind.
pub(crate) fn title_of_label(text: &str) -> String {
    match read_label(text) {
        Some((kind, class, "")) => format!("{class} {}", kind.name()),
        Some((kind, class, instance)) => format!("{class}:{instance} {}", kind.name()),
        None => text.to_owned(),
    }
}

fn follows(expect: Expect) -> u8 {
    match expect {
        Expect::Fork => 1,
        Expect::Daemon => 2,
        Expect::None | Expect::Stop | Expect::Notify => 0,
    }
}

fn told_again(known: &RollCallEntry) -> Vec<Input> {
    let ticket = known.ticket;
    let spawned = Input::Spawned { ticket, pid: known.pid, start_time_ticks: known.start_time_ticks };
    match &known.condition {
        RollCallCondition::Running { .. } => vec![spawned],
        RollCallCondition::Exited(cause) => vec![spawned, Input::Exited { ticket, cause: *cause }],
        RollCallCondition::Failed(reason) => vec![Input::SpawnFailed { ticket, reason: reason.clone() }],
        RollCallCondition::Starting => Vec::new(),
    }
}
