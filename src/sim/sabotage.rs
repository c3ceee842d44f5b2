//! Promises broken on purpose, to prove that the checkers see it. Switches of the simulator's world; the product has none.

use std::collections::VecDeque;

use keeper::protocol::{ToKeeper, ToManager};
use machine::change::Change;
use machine::state::State;

/// Which promise is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// None.
    #[default]
    None,
    /// The turns that ask for a process are not journaled.
    SkipAppend,
    /// The keeper is told that an exit is recorded before it is.
    AcknowledgeFirst,
    /// Some changes are applied and not journaled.
    ApplyLiveOnly,
}

/// The saboteur.
#[derive(Clone, Debug, Default)]
pub struct Sabotage {
    kind: Kind,
    highest_ticket: u64,
    turns: u64,
}

impl Sabotage {
    /// One who does this.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Whether the turn that has led to this state is to be kept from the journal: it asks for a process.
    pub(crate) fn skips_append(&mut self, state: &State) -> bool {
        if self.kind != Kind::SkipAppend {
            return false;
        }
        let tickets = state.instances().flat_map(|instance| &instance.processes).map(|process| process.ticket);
        let highest = tickets.max().unwrap_or(0);
        let is_new = highest > self.highest_ticket;
        self.highest_ticket = self.highest_ticket.max(highest);
        is_new
    }

    pub(crate) fn acknowledges_first(&self, message: &ToManager, inbox: &mut VecDeque<ToKeeper>) {
        if let (Kind::AcknowledgeFirst, ToManager::Exited { ticket, .. }) = (self.kind, message) {
            inbox.push_back(ToKeeper::Acknowledge { ticket: *ticket });
        }
    }

    pub(crate) fn applies_live_only(&mut self, state: &mut State) {
        self.turns += 1;
        if self.kind == Kind::ApplyLiveOnly && self.turns.is_multiple_of(50) {
            let table = vec![format!("SABOTAGE={}", self.turns).into()];
            state.apply(&Change::EnvironmentSet { table }, &mut Vec::new());
        }
    }
}
