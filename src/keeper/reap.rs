//! Children that ended, stopped, or came as orphans. A status is in the table before its process is reaped, and where
//! forks are followed ([`crate::follow`]) the keeper looks at all orphans before it reaps any.

use crate::follow::{self, Choice, Known, Orphan};
use crate::proc;
use crate::processes;
use crate::supervise::Keeper;
use keeper::protocol::{ExitStatus, ToManager};
use keeper::table::{Slot, State};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Zombies of nobody that are kept while a ticket may still want to follow them, at most.
const KEPT_ZOMBIES: usize = 32;
/// The same while such a ticket's process has ended, and what it has left is decided when another has ended, too.
const KEPT_ZOMBIES_SHORTLY: usize = 1024;

impl Keeper {
    /// Deals with every child whose state has changed.
    pub(crate) fn reap(&mut self) {
        self.note_stops();
        while self.table.processes().any(|(_, slot)| is_waiting(slot)) {
            if !self.reap_carefully() {
                return;
            }
        }
        while let Some((pid, status)) = processes::any_ended() {
            self.ended(pid, status);
            // Before the look for the next: there hardly is one.
            self.send_outgoing();
        }
    }

    fn note_stops(&mut self) {
        for (_, slot) in self.table.processes() {
            let has_stopped =
                slot.awaits_stop() && slot.state() == Some(State::Running) && processes::stopped(slot.pid());
            if has_stopped && slot.set_stopped() {
                self.outgoing.push_back(ToManager::Stopped { ticket: slot.ticket() });
            }
        }
    }

    /// A child that has ended and that nobody is to follow.
    fn ended(&mut self, pid: i32, status: ExitStatus) {
        if pid == self.table.head().manager_pid.load(Ordering::Relaxed) {
            self.let_go(pid);
            return self.manager_ended(status);
        }
        if self.was_shell(pid) {
            return self.let_go(pid);
        }
        self.settle_ended(pid);
        if let Some((index, slot)) = self.table.by_process(pid) {
            let ticket = slot.ticket();
            self.table.set_exited(index, status);
            self.outgoing.push_back(ToManager::Exited { ticket, pid, status });
        } else {
            self.remember(pid, status);
        }
        self.let_go(pid);
    }

    /// A stranger's end, for a keeper that may ask for it.
    fn remember(&mut self, pid: i32, status: ExitStatus) {
        if let (Some(stat), Some(uid)) = (proc::own_stat(pid), proc::uid(pid)) {
            self.ends.remember(pid, stat.start_time_ticks, uid, status);
        }
    }

    /// Reaps a process; its pid may be used anew from here on.
    fn let_go(&mut self, pid: i32) {
        processes::reap(pid);
        self.take_back(pid);
    }

    /// One round while forks are followed; false when there is nothing more to do before the next child ends.
    fn reap_carefully(&mut self) -> bool {
        let manager = self.table.head().manager_pid.load(Ordering::Relaxed);
        let pids: Vec<i32> =
            self.table.processes().map(|(_, slot)| slot.pid()).chain([manager, self.shell_pid()]).collect();
        let mut followed = Vec::new();
        for pid in pids.into_iter().filter(|&pid| pid > 0) {
            let Some(status) = processes::ended(pid) else { continue };
            self.settle_ended(pid);
            match self.table.by_process(pid).and_then(|(_, slot)| Known::of(slot)) {
                Some(known) if known.forks_left > 0 => followed.push((known, status)),
                _ => self.ended(pid, status),
            }
        }
        // Only now, when those that ended are known: what they have left is among these.
        let orphans = self.orphans(!followed.is_empty());
        // Whoever has left one of them runs its program, whether that was told yet or not.
        self.read_statuses();
        let known: Vec<Known> = self.table.processes().filter_map(|(_, slot)| Known::of(slot)).collect();
        let ended: Vec<i32> = followed.iter().map(|(ticket, _)| ticket.pid).collect();
        if followed.is_empty() {
            return self.reap_strangers(&known, &orphans, &ended);
        }
        let mut left = orphans;
        let mut goes_on = false;
        for (ticket, status) in followed {
            if follow::is_too_early(&ticket, &known, &left) {
                continue;
            }
            goes_on = true;
            match follow::choose(&ticket, &known, &left) {
                Some(choice) => {
                    left.retain(|orphan| orphan.stat.pid != choice.pid);
                    self.go_on_as(ticket.pid, choice);
                }
                None => self.ended(ticket.pid, status),
            }
        }
        goes_on || self.reap_strangers(&known, &left, &ended)
    }

    /// A ticket's process has forked and ended: the ticket goes on as the child.
    fn go_on_as(&mut self, before: i32, choice: Choice) {
        let Choice { pid, start_time_ticks, forks_left } = choice;
        if let Some((index, slot)) = self.table.by_process(before) {
            let ticket = slot.ticket();
            self.table.set_forked(index, pid, start_time_ticks, forks_left);
            self.outgoing.push_back(ToManager::Forked { ticket, pid, start_time_ticks, forks_left });
        }
        self.let_go(before);
    }

    /// A process that ended while it was starting: its pipe has everything it ever said.
    fn settle_ended(&mut self, pid: i32) {
        if let Some((index, slot)) = self.table.by_process(pid)
            && slot.state() == Some(State::Starting)
        {
            self.status_arrived(index);
            if self.table.slots()[index].state() == Some(State::Starting) {
                self.settle_started(index);
            }
        }
    }

    /// Children that neither a ticket nor the manager is. Where one of them is a zombie, what it has left is among them:
    /// a process may end between the list of children and the look at it, so the list is read until it says nothing new.
    /// Environments only where they decide: to read one can take as long as that process holds on to its memory.
    fn orphans(&self, with_environments: bool) -> Vec<Orphan> {
        let manager = self.table.head().manager_pid.load(Ordering::Relaxed);
        let mut orphans: BTreeMap<i32, Orphan> = BTreeMap::new();
        loop {
            let is_new = |pid: &i32| !orphans.contains_key(pid);
            let is_own = |pid: i32| pid == manager || pid == self.vault.pid() || pid == self.shell_pid();
            let is_orphan = |pid: &i32| !is_own(*pid) && self.table.by_process(*pid).is_none();
            let new: Vec<i32> = proc::children().into_iter().filter(is_new).filter(is_orphan).collect();
            if new.is_empty() {
                return orphans.into_values().collect();
            }
            for stat in new.into_iter().filter_map(proc::stat) {
                let reads = with_environments && !stat.is_zombie;
                let environment = if reads { proc::environment_hashes(stat.pid) } else { Vec::new() };
                // It had none, or has none any more.
                let stat = if environment.is_empty() { proc::stat(stat.pid).unwrap_or(stat) } else { stat };
                orphans.insert(stat.pid, Orphan { stat, environment });
            }
        }
    }

    /// Reaps what no ticket may want. Not where another of those that may has ended since `ended` did, because some of these may be
    /// what that one has left; then there is more to do: whether that is so.
    fn reap_strangers(&mut self, known: &[Known], orphans: &[Orphan], ended: &[i32]) -> bool {
        let ends_now =
            |slot: &Slot| is_waiting(slot) && !ended.contains(&slot.pid()) && processes::ended(slot.pid()).is_some();
        if self.table.processes().any(|(_, slot)| ends_now(slot)) {
            return true;
        }
        let limit = if ended.is_empty() { KEPT_ZOMBIES } else { KEPT_ZOMBIES_SHORTLY };
        let zombies: Vec<&Orphan> = orphans.iter().filter(|orphan| orphan.stat.is_zombie).collect();
        let kept: Vec<i32> = zombies
            .iter()
            .rev()
            .filter(|orphan| follow::is_wanted(orphan, known))
            .take(limit)
            .map(|orphan| orphan.stat.pid)
            .collect();
        for pid in zombies.iter().map(|orphan| orphan.stat.pid).filter(|pid| !kept.contains(pid)) {
            if let Some(status) = processes::ended(pid) {
                self.remember(pid, status);
            }
            self.let_go(pid);
        }
        false
    }
}

fn is_waiting(slot: &Slot) -> bool {
    slot.forks_left() > 0 && !slot.is_adopted() && matches!(slot.state(), Some(State::Starting | State::Running))
}
