//! No process is started twice for one decision: a ticket has one process, and of each process of each instance there is
//! one at a time.

use std::collections::BTreeMap;

use super::Checker;
use crate::seen::Seen;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StartedOnce {
    /// All tickets with their labels; none for those that have ended.
    tickets: BTreeMap<u64, Option<String>>,
}

impl Checker for StartedOnce {
    fn promise(&self) -> &'static str {
        "no process is started twice for one decision"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Started { ticket, label, pid } => {
                if self.tickets.contains_key(ticket) {
                    return Err(format!("process {pid} is the second one of ticket {ticket}"));
                }
                let twin = self.tickets.iter().find(|(_, other)| other.as_deref() == Some(label));
                if let Some((twin, _)) = twin {
                    return Err(format!("process {pid} (ticket {ticket}) is what ticket {twin} is already: {label:?}"));
                }
                self.tickets.insert(*ticket, Some((*label).to_owned()));
            }
            Seen::Ended { ticket, .. } | Seen::Refused { ticket } => drop(self.tickets.insert(*ticket, None)),
            // What runs may be unknown from now on, and be started as something new; and numbers that nothing runs under
            // any more may be given out again.
            Seen::Lost(_) => self.tickets.clear(),
            _ => {}
        }
        Ok(())
    }
}
