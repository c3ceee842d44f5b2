//! No process is forgotten: a manager that is back knows every process that runs, and none that does not.

use keeper::table::State as SlotState;
use machine::state::State;

use super::Checker;
use crate::seen::Seen;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NoneForgotten {
    /// With the journal lost, processes may belong to nobody.
    may_stray: bool,
}

impl Checker for NoneForgotten {
    fn promise(&self) -> &'static str {
        "no process is forgotten"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let (state, table) = match seen {
            Seen::Lost(_) => {
                self.may_stray = true;
                return Ok(());
            }
            Seen::Resumed { state, table } | Seen::Settled { state, table, has_work: None, .. } => (state, table),
            _ => return Ok(()),
        };
        for (_, slot) in table.tickets() {
            let (ticket, pid) = (slot.ticket(), slot.pid());
            if !matches!(slot.state(), Some(SlotState::Starting | SlotState::Running)) {
                continue;
            }
            // Of one that is just being started the keeper speaks when it runs.
            let is_stray =
                state.strays().any(|(stray, _)| stray == ticket) || slot.state() == Some(SlotState::Starting);
            match state.process(ticket) {
                None if is_stray && self.may_stray => {}
                None => return Err(format!("process {pid} of ticket {ticket} ({}) is nobody's", slot.text())),
                Some((_, _, process)) if process.pid != 0 && process.pid != pid => {
                    return Err(format!(
                        "ticket {ticket} is process {pid}, and the manager takes it for {}",
                        process.pid
                    ));
                }
                Some(_) => {}
            }
        }
        ghosts(state, |ticket| table.by_ticket(ticket).is_some())
    }
}

/// Processes that the manager believes in.
fn ghosts(state: &State, is_there: impl Fn(u64) -> bool) -> Result<(), String> {
    for instance in state.instances() {
        let ghost = instance.processes.iter().find(|process| process.pid != 0 && !is_there(process.ticket));
        if let Some(ghost) = ghost {
            return Err(format!("{} has no process {}, although the manager thinks so", instance.title(), ghost.pid));
        }
    }
    Ok(())
}
