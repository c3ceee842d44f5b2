//! Coming back: what the keeper knows, held against what the journal says.
//!
//! There is no other reconciliation. What the keeper has done since the journal's last frame comes in as if it had been
//! told just now, and what it has not done is asked for again.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Turn;
use crate::apply::HIGHEST_NUMBER;
use crate::change::Change;
use crate::class::Expect;
use crate::effect::{Announcement, Effect, Priority};
use crate::input::{RollCall, RollCallCondition, RollCallEntry};
use crate::job::{Cause, Goal, JobState, ProcessKind, SignalRequest};
use crate::spawn;

impl Turn<'_> {
    pub(super) fn hear_roll_call(&mut self, call: &RollCall) {
        let waiting: Vec<(u64, Arc<Announcement>)> = self.state.outbox.iter().cloned().collect();
        for (number, announcement) in waiting {
            self.again(Effect::Announce(number, announcement));
        }
        if call.is_restart {
            let generation = self.state.generation.saturating_add(1);
            self.commit(Change::Restarted { generation });
            self.log(Priority::Message, || format!("Resumed after {}", call.reason));
            self.announce(Announcement::Restarted(generation));
        }
        self.see_numbers(call);
        call.classes.iter().for_each(|class| self.define(Box::new(class.clone())));
        self.release_files(call);
        let gone: Vec<u64> =
            self.state.connections.keys().copied().filter(|number| !call.connections.contains(number)).collect();
        gone.into_iter().for_each(|connection| self.commit(Change::ConnectionEnded { connection }));
        let entries: BTreeMap<u64, &RollCallEntry> = call.entries.iter().map(|entry| (entry.ticket, entry)).collect();
        let known: Vec<u64> = self.state.index.tickets.keys().copied().collect();
        for ticket in known {
            match entries.get(&ticket) {
                Some(entry) => self.hear_of(entry),
                None => match self.successor(ticket, &entries) {
                    Some(entry) => self.go_on_with(ticket, entry),
                    None => self.miss(ticket),
                },
            }
        }
        for entry in entries.values() {
            if self.state.process(entry.ticket).is_none() {
                self.hear_of_stranger(entry);
            }
        }
        let lost: Vec<u64> = self.state.strays.keys().copied().filter(|ticket| !entries.contains_key(ticket)).collect();
        lost.into_iter().for_each(|ticket| self.commit(Change::StrayEnded { ticket }));
        self.resume_stuck();
    }

    /// What a lost journal (or a lost piece of one) had handed out: the keeper would take a number that comes a second
    /// time for one that is done. And where processes were started that we do not know of, the boot is behind us.
    fn see_numbers(&mut self, call: &RollCall) {
        let numbers = call.entries.iter().map(|entry| entry.ticket.max(entry.last_signal_request));
        let number = numbers.chain([call.highest_number]).filter(|&number| number <= HIGHEST_NUMBER).max().unwrap_or(0);
        if number < self.next_id() {
            return;
        }
        self.commit(Change::NumberSeen { number });
        if call.is_restart && !self.state.has_booted {
            self.commit(Change::Booted);
        }
    }

    /// Descriptors of events that ended before the keeper was told to close them.
    fn release_files(&mut self, call: &RollCall) {
        for file in &call.files {
            if !self.state.events.values().any(|event| event.file.as_ref() == Some(file)) {
                self.again(Effect::Release(file.clone()));
            }
        }
    }

    /// A process that both know.
    fn hear_of(&mut self, entry: &RollCallEntry) {
        let ticket = entry.ticket;
        self.settle_signals(ticket, entry.last_signal_request);
        match &entry.condition {
            RollCallCondition::Running { forks_left, has_stopped } => {
                self.process_spawned(ticket, entry.pid, entry.start_time_ticks);
                // It has forked meanwhile: from the process that the journal knows, or from one of which the journal has never heard.
                let counts_forks = matches!(self.expected(ticket), Some(Expect::Fork | Expect::Daemon));
                let is_behind = |pid, awaits| pid != entry.pid || (counts_forks && awaits > *forks_left);
                if self.state.process(ticket).is_some_and(|(.., process)| is_behind(process.pid, process.awaits)) {
                    self.process_forked(ticket, entry.pid, entry.start_time_ticks, *forks_left);
                }
                let is_settled = self.state.process(ticket).is_some_and(|(_, _, process)| process.awaits == 0);
                if *forks_left > 0 && is_settled {
                    self.again(Effect::Settle(ticket));
                }
                if *has_stopped {
                    self.process_stopped(ticket);
                }
            }
            RollCallCondition::Exited(cause) => {
                self.process_spawned(ticket, entry.pid, entry.start_time_ticks);
                // It had forked before it ended: what is told of its end names the process that has ended.
                let awaits = self.state.process(ticket).filter(|(_, _, process)| process.pid != entry.pid);
                if let Some(awaits) = awaits.map(|(_, _, process)| process.awaits) {
                    let (pid, start_time_ticks) = (entry.pid, entry.start_time_ticks);
                    self.commit(Change::ProcessForked { ticket, pid, start_time_ticks, awaits });
                }
                self.process_ended(ticket, *cause);
            }
            RollCallCondition::Failed(reason) => self.process_failed_to_spawn(ticket, reason),
            // Not asked for again: should that fail here, it would be taken for one that never ran. A journal that could not be
            // written for a time, and is believed again, may know the process that the ticket had before that.
            RollCallCondition::Starting => self.correct_process(ticket, entry.pid, entry.start_time_ticks),
        }
    }

    /// Signals that were on their way: they have arrived, or are sent again, in order.
    fn settle_signals(&mut self, ticket: u64, last_signal_request: u64) {
        let Some((_, _, process)) = self.state.process(ticket) else { return };
        let signals: Vec<SignalRequest> = process.signals.iter().filter(|signal| !signal.confirmed).copied().collect();
        for SignalRequest { request, signal, whole_group, .. } in signals {
            if last_signal_request >= request {
                self.commit(Change::SignalConfirmed { ticket, request });
            } else {
                self.again(Effect::Signal { ticket, request, signal, whole_group });
            }
        }
    }

    /// Where the newest frames are lost: the process that runs now in place of one that the keeper has been told to forget.
    fn successor<'a>(&self, ticket: u64, entries: &BTreeMap<u64, &'a RollCallEntry>) -> Option<&'a RollCallEntry> {
        let (_, instance, process) = self.state.process(ticket)?;
        let has_come_up = matches!(instance.state, JobState::PostStarting | JobState::PostStart | JobState::Running);
        let is_up = is_on_its_way_up(instance.state) || has_come_up;
        if process.kind != ProcessKind::Main || instance.goal != Goal::Start || !is_up {
            return None;
        }
        let label = spawn::label(process.kind, &instance.class, &instance.name);
        let is_it = |entry: &&RollCallEntry| {
            matches!(entry.condition, RollCallCondition::Running { .. })
                && entry.label == label
                && self.state.process(entry.ticket).is_none()
        };
        let newest_first = entries.range(..=HIGHEST_NUMBER).rev().map(|(_, entry)| *entry);
        newest_first.take_while(|entry| entry.ticket > ticket).find(is_it)
    }

    /// The end of one process and the start of the next are lost, and the instance has the next one.
    fn go_on_with(&mut self, ticket: u64, entry: &RollCallEntry) {
        let Some((number, instance, before)) = self.state.process(ticket) else { return };
        let (title, pid, kind) = (instance.title(), before.pid, ProcessKind::Main);
        let is_waited_for = is_on_its_way_up(instance.state);
        let expect = self.state.classes.get(&*instance.class).map(|record| record.definition.expect);
        let awaits = expect.filter(|_| is_waited_for).map_or(0, Expect::awaits);
        self.commit(Change::ProcessEnded { ticket });
        let (ticket, label) = (entry.ticket, entry.label.clone());
        // What is noted is not asked for, because it runs.
        self.commit(Change::StrayNoted { ticket, pid: entry.pid, label });
        self.commit(Change::ProcessRequested { instance: number, kind, ticket, awaits });
        self.commit(Change::StrayAdopted { ticket });
        self.log(Priority::Warn, || {
            let before = if pid == 0 { "that was asked for".into() } else { format!("({pid})") };
            format!("{title} main process {before} has ended unheard of; process {} runs in its place", entry.pid)
        });
        self.hear_of(entry);
    }

    /// A process that only we know: the keeper has not heard of it yet, or its table was damaged.
    fn miss(&mut self, ticket: u64) {
        let Some((_, instance, process)) = self.state.process(ticket) else { return };
        if process.pid == 0 {
            self.again(Effect::Spawn(ticket));
            self.settle_signals(ticket, 0);
            return;
        }
        let (title, kind, pid) = (instance.title(), process.kind.name(), process.pid);
        self.log(Priority::Error, || {
            format!("{title} {kind} process ({pid}) is not in the keeper's table; taken as ended")
        });
        self.process_ended(ticket, Cause::Unknown);
    }

    /// A process that only the keeper knows: the journal was lost. A running main process gets its instance back if its
    /// job file is still there; anything else is left in peace, and forgotten when it ends.
    fn hear_of_stranger(&mut self, entry: &RollCallEntry) {
        let ticket = entry.ticket;
        if matches!(entry.condition, RollCallCondition::Exited(_) | RollCallCondition::Failed(_)) {
            self.commit(Change::StrayEnded { ticket });
            return;
        }
        self.commit(Change::StrayNoted { ticket, pid: entry.pid, label: entry.label.clone() });
        if entry.condition == RollCallCondition::Starting || ticket > HIGHEST_NUMBER {
            return;
        }
        let Some((ProcessKind::Main, class, name)) = spawn::read_label(&entry.label) else { return };
        if self.state.class(class).is_none() || self.state.find(class, name).is_some() {
            return;
        }
        let instance = self.instance_to_start(class, name);
        let environment = self.environment_of_class(class);
        self.commit(Change::Begun { instance, environment });
        self.commit(Change::GoalChanged { instance, goal: Goal::Start });
        self.commit(Change::StateChanged { instance, state: JobState::Running });
        self.commit(Change::ProcessRequested { instance, kind: ProcessKind::Main, ticket, awaits: 0 });
        self.commit(Change::ProcessSpawned { ticket, pid: entry.pid, start_time_ticks: entry.start_time_ticks });
        self.commit(Change::StrayAdopted { ticket });
        self.log(Priority::Warn, || {
            format!("{class} ({name}) was found running as process {} and is ours again", entry.pid)
        });
    }

    /// Instances that could go on by themselves, because a repair cut the journal between two steps.
    fn resume_stuck(&mut self) {
        let numbers: Vec<u64> = self.state.instances.keys().copied().collect();
        for number in numbers {
            let is_orphaned = self.state.instances.get(&number).is_some_and(|instance| {
                instance.blocked_by.is_some_and(|event| !self.state.events.contains_key(&event))
            });
            if is_orphaned {
                self.commit(Change::Unblocked { instance: number });
            }
            self.advance(number);
        }
    }
}

/// Whether its main process is being started, or has still to say that it is ready.
fn is_on_its_way_up(state: JobState) -> bool {
    matches!(state, JobState::Spawning | JobState::Spawned)
}
