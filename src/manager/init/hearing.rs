//! What the keeper and the output thread say.

use std::io;

use keeper::protocol::{SpawnRequest, Stage, ToKeeper, ToManager};
use machine::input::Input;

use super::Init;
use crate::turn::Turn as _;
use crate::{output, report};

impl Init {
    /// A process that cannot be started. The keeper is asked for one without a program, which it refuses, unless a manager
    /// before this one has asked for the real one: then there is that.
    pub(super) fn give_up(&mut self, spawn: &machine::spawn::Spawn, reason: String) -> io::Result<()> {
        self.refusals.insert(spawn.ticket, reason);
        let (ticket, label) = (spawn.ticket, spawn.label.clone());
        let request = SpawnRequest { ticket, label, ..SpawnRequest::default() };
        self.link.send(ToKeeper::Spawn(Box::new(request)), Vec::new())
    }

    /// The keeper has said something. Why it was asked for what it must refuse is known only here.
    pub(super) fn hear_keeper(&mut self, message: ToManager) -> io::Result<()> {
        let reason = match &message {
            ToManager::SpawnFailed { ticket, .. } | ToManager::Spawned { ticket, .. } => self.refusals.remove(ticket),
            _ => None,
        };
        match (message, reason) {
            (ToManager::SpawnFailed { ticket, stage: Stage::Request, .. }, Some(reason)) => {
                self.take(Input::SpawnFailed { ticket, reason })
            }
            (message @ ToManager::Exited { ticket, .. }, _) if self.endings.may_wait() && self.output.drain(ticket) => {
                self.endings.wait(ticket, message);
                Ok(())
            }
            (message, _) => self.hear(message),
        }
    }

    /// What the output thread asks for, or says.
    pub(super) fn oblige(&mut self, request: output::Request) -> io::Result<()> {
        match request {
            output::Request::Hold(name, descriptor) => self.link.send(ToKeeper::Hold { name }, vec![descriptor]),
            output::Request::Release(name) => self.link.send(ToKeeper::Release { name }, Vec::new()),
            output::Request::Logged(ticket) => match self.endings.is_logged(ticket) {
                Some(message) => self.hear(message),
                None => Ok(()),
            },
            output::Request::Warn(text) => {
                report::warn(&text);
                Ok(())
            }
        }
    }

    /// Ends that have waited long enough for the logs.
    pub(super) fn hear_overdue(&mut self) -> io::Result<()> {
        while let Some(message) = self.endings.overdue() {
            self.hear(message)?;
        }
        Ok(())
    }
}
