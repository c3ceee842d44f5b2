//! Every exit status is delivered once: what each process's end was is told as it was, under one number, and is recorded
//! before the keeper may forget it.

use std::collections::{BTreeMap, BTreeSet};

use keeper::protocol::ExitStatus;
use machine::effect::Announcement;
use machine::signals;

use super::Checker;
use crate::seen::Seen;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    /// By pid: how it ended, and under which number that was told.
    ended: BTreeMap<i32, (ExitStatus, Option<u64>)>,
    /// Tickets that were acknowledged since the last replay.
    acknowledged: Vec<u64>,
    /// Tickets whose processes run, and those of them that nobody may know any more.
    running: BTreeSet<u64>,
    strays: BTreeSet<u64>,
    /// The next manager may miss what an older journal knows.
    is_forgiven: bool,
    /// Something was lost once; of what that has led to, some is told much later.
    was_lost: bool,
}

impl Statuses {
    fn told(&mut self, number: u64, text: &str) -> Result<(), String> {
        if text.contains("is not in the keeper's table") && !self.was_lost {
            return Err(format!("a status was lost: {text}"));
        }
        let Some((_, rest)) = text.rsplit_once(" process (") else { return Ok(()) };
        let Some((pid, ending)) = rest.split_once(") ") else { return Ok(()) };
        let Some((status, told)) = pid.parse().ok().and_then(|pid: i32| self.ended.get_mut(&pid)) else {
            return Ok(());
        };
        if !is_an_ending(ending) {
            return Ok(());
        }
        if ending != words(*status) {
            return Err(format!("process {pid} ended otherwise ({status:?}) than is told: {text}"));
        }
        match told.replace(number) {
            Some(before) if before != number => {
                Err(format!("the end of process {pid} is delivered twice, as {before} and {number}: {text}"))
            }
            _ => Ok(()),
        }
    }
}

fn is_an_ending(text: &str) -> bool {
    ["exited normally", "terminated with", "killed by", "is gone"].iter().any(|begin| text.starts_with(begin))
}

fn words(status: ExitStatus) -> String {
    match status {
        ExitStatus::Unknown => "is gone".into(),
        ExitStatus::Code(0) => "exited normally".into(),
        ExitStatus::Code(code) => format!("terminated with status {code}"),
        ExitStatus::Signal { signal, .. } => {
            format!("killed by {} signal", signals::name(signal).map_or_else(|| signal.to_string(), ToOwned::to_owned))
        }
    }
}

impl Checker for Statuses {
    fn promise(&self) -> &'static str {
        "every exit status is delivered once"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Started { ticket, .. } => {
                self.strays.remove(ticket);
                self.running.insert(*ticket);
            }
            Seen::Ended { ticket, pid, status } => {
                self.running.remove(ticket);
                if !self.strays.remove(ticket) {
                    self.ended.insert(*pid, (*status, None));
                }
            }
            Seen::Acknowledged { ticket } => self.acknowledged.push(*ticket),
            Seen::Told { number, announcement: Announcement::Log(_, text) } => self.told(*number, text)?,
            Seen::Replayed { state, .. } => {
                let acknowledged = std::mem::take(&mut self.acknowledged);
                let unknown = acknowledged.into_iter().find(|ticket| state.process(*ticket).is_some());
                if let Some(ticket) = unknown.filter(|_| !self.is_forgiven) {
                    return Err(format!("the end of ticket {ticket} was acknowledged before it was recorded"));
                }
            }
            Seen::Lost(_) => {
                self.ended.clear();
                self.strays.append(&mut self.running);
                self.is_forgiven = true;
                self.was_lost = true;
            }
            Seen::Resumed { .. } => self.is_forgiven = false,
            Seen::Settled { has_work: None, .. } => {
                if let Some((pid, (status, _))) = self.ended.iter().find(|(_, (_, told))| told.is_none()) {
                    return Err(format!("the end of process {pid} ({status:?}) was never delivered"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
