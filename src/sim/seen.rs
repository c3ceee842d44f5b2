//! What can be seen from outside, and who watches.
//!
//! Checkers are told everything that a person with a camera in the machine room could see, and nothing of what the manager
//! thinks but for the states that it shows when it has come back and when all is quiet.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use ::keeper::protocol::{ExitStatus, Reason, ToManager};
use ::keeper::table::Table;
use machine::effect::{Announcement, Caller};
use machine::input::Call;
use machine::state::State;

use crate::check::Checker;
use crate::fuse::Point;
use crate::manager::Expected;

/// Something that was seen.
#[derive(Debug)]
#[allow(missing_docs, reason = "fields are named after what they refer to")]
pub enum Seen<'a> {
    /// The keeper was asked to start a process.
    Asked { ticket: u64, label: &'a str },
    /// It has made one.
    Started { ticket: u64, label: &'a str, pid: i32 },
    /// It could not, or the program could not be executed.
    Refused { ticket: u64 },
    /// A process that a ticket stands for has ended.
    Ended { ticket: u64, pid: i32, status: ExitStatus },
    /// A process was signalled.
    Signalled { pid: i32, signal: i32 },
    /// The keeper was told that it may forget the end of a ticket.
    Acknowledged { ticket: u64 },
    /// A client has called.
    Called { caller: &'a Caller, call: &'a Call },
    /// A client is gone, or was cut off.
    Gone { connection: u64 },
    /// An announcement is out; it may have been before.
    Told { number: u64, announcement: &'a Announcement },
    /// The manager has read a message of the keeper.
    Heard(&'a ToManager),
    /// A manager has died, here.
    Died { at: Point, reason: Reason },
    /// From here on less can be asked: why.
    Lost(&'a str),
    /// A manager has replayed its journal.
    Replayed { state: &'a State, digest: u32, expected: Expected, frames: u64, findings: &'a [String] },
    /// It has taken over and says that it is ready.
    Resumed { state: &'a State, table: &'a Table },
    /// The faults have stopped long ago; whether some client did not read its answers at once.
    Settled { state: &'a State, table: &'a Table, has_work: Option<String>, was_slow: bool },
    /// Something else that happened, in words.
    Note(&'a str),
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise (the name of the checker).
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
    /// When, in milliseconds of the simulated clock.
    pub at_ms: u64,
}

/// All checkers, and the trace.
#[derive(Debug)]
pub struct Watch {
    checkers: Vec<Box<dyn Checker>>,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Set by the world, for the trace.
    pub now_ms: u64,
    hasher: DefaultHasher,
    lines: Option<String>,
}

impl Watch {
    /// Watched by these; with every step in words, if it is wanted.
    #[must_use]
    pub fn new(checkers: Vec<Box<dyn Checker>>, has_lines: bool) -> Self {
        let lines = has_lines.then(String::new);
        Self { checkers, violation: None, now_ms: 0, hasher: DefaultHasher::new(), lines }
    }

    /// Something was seen.
    pub fn see(&mut self, seen: &Seen<'_>) {
        self.trace(seen);
        if self.violation.is_some() {
            return;
        }
        for checker in &mut self.checkers {
            if let Err(what) = checker.see(seen) {
                self.violation = Some(Violation { promise: checker.promise(), what, at_ms: self.now_ms });
                break;
            }
        }
        if let (Some(lines), Some(found)) = (&mut self.lines, &self.violation) {
            let _ = writeln!(lines, "{:>9} ms  VIOLATION of {}: {}", self.now_ms, found.promise, found.what);
        }
    }

    /// Something is wrong with the rig's own parts, or seen by them.
    pub fn fail(&mut self, promise: &'static str, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { promise, what, at_ms: self.now_ms });
        }
    }

    /// A number that is the same only if everything that was seen was the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    /// Everything in words, if it was wanted.
    #[must_use]
    pub fn lines(&self) -> Option<&str> {
        self.lines.as_deref()
    }

    fn trace(&mut self, seen: &Seen<'_>) {
        self.now_ms.hash(&mut self.hasher);
        std::mem::discriminant(seen).hash(&mut self.hasher);
        match seen {
            Seen::Asked { ticket, .. } | Seen::Refused { ticket } | Seen::Acknowledged { ticket } => {
                ticket.hash(&mut self.hasher);
            }
            Seen::Started { ticket, label, pid } => (ticket, label, pid).hash(&mut self.hasher),
            Seen::Ended { ticket, pid, status } => (ticket, pid, status).hash(&mut self.hasher),
            Seen::Signalled { pid, signal } => (pid, signal).hash(&mut self.hasher),
            Seen::Called { caller, .. } => (caller.connection, caller.serial).hash(&mut self.hasher),
            Seen::Gone { connection } => connection.hash(&mut self.hasher),
            Seen::Told { number, .. } => number.hash(&mut self.hasher),
            Seen::Died { at, .. } => at.hash(&mut self.hasher),
            Seen::Lost(why) | Seen::Note(why) => why.hash(&mut self.hasher),
            Seen::Replayed { frames, .. } => frames.hash(&mut self.hasher),
            Seen::Heard(_) | Seen::Resumed { .. } | Seen::Settled { .. } => {}
        }
        if let Some(lines) = &mut self.lines {
            let text = words(seen);
            let _ = writeln!(lines, "{:>9} ms  {text}", self.now_ms);
        }
    }
}

/// One line of the trace.
fn words(seen: &Seen<'_>) -> String {
    let named = |label: &str| label.replace('\t', " ").trim_end().to_owned();
    match seen {
        Seen::Asked { ticket, label } => format!("keeper: asked for ticket {ticket} ({})", named(label)),
        Seen::Started { ticket, label, pid } => format!("keeper: process {pid} is ticket {ticket} ({})", named(label)),
        Seen::Refused { ticket } => format!("keeper: ticket {ticket} cannot be started"),
        Seen::Ended { ticket, pid, status } => format!("process {pid} (ticket {ticket}) has ended: {status:?}"),
        Seen::Signalled { pid, signal } => format!("keeper: signal {signal} to process {pid}"),
        Seen::Acknowledged { ticket } => format!("keeper: the end of ticket {ticket} is acknowledged"),
        Seen::Called { caller, call } => format!("client {}: call {}: {call:?}", caller.connection, caller.serial),
        Seen::Gone { connection } => format!("client {connection} is gone"),
        Seen::Told { number, announcement } => format!("manager: tells ({number}) {announcement:?}"),
        Seen::Heard(message) => format!("manager: hears {message:?}"),
        Seen::Died { at, reason } => format!("manager: DIES at {at:?} ({reason:?})"),
        Seen::Lost(why) => format!("(from here on less is promised: {why})"),
        Seen::Replayed { frames, findings, .. } => {
            format!("manager: has replayed {frames} frames; findings: {findings:?}")
        }
        Seen::Resumed { .. } => "manager: is ready".into(),
        Seen::Settled { has_work, .. } => match has_work {
            None => "all is quiet".into(),
            Some(work) => format!("still not quiet: {work}"),
        },
        Seen::Note(text) => (*text).to_owned(),
    }
}
