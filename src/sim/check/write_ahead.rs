//! Nothing leaves before it is in the journal: what the keeper was asked for and what was told is never taken back, and a
//! number never means two things.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Checker;
use crate::seen::Seen;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct WriteAhead {
    /// What was told, by number.
    told: BTreeMap<u64, u64>,
    /// Tickets that were asked for and have not ended.
    asked: BTreeMap<u64, String>,
    ended: BTreeSet<u64>,
    is_forgiven: bool,
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Checker for WriteAhead {
    fn promise(&self) -> &'static str {
        "nothing leaves before it is in the journal"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Told { number, announcement } => {
                let now = digest(&format!("{announcement:?}"));
                if self.told.insert(*number, now).is_some_and(|before| before != now) {
                    return Err(format!("number {number} has told something else before: now {announcement:?}"));
                }
            }
            Seen::Asked { ticket, label } => {
                let before = self.asked.insert(*ticket, (*label).to_owned());
                if let Some(before) = before.filter(|before| before != label) {
                    return Err(format!("ticket {ticket} is {label:?} now, and was {before:?}"));
                }
            }
            Seen::Ended { ticket, .. } | Seen::Refused { ticket } => {
                self.ended.insert(*ticket);
                self.asked.remove(ticket);
            }
            Seen::Lost(_) => {
                *self = Self { is_forgiven: true, ..Self::default() };
            }
            Seen::Replayed { state, .. } if !std::mem::take(&mut self.is_forgiven) => {
                let unknown = self
                    .asked
                    .iter()
                    .find(|(ticket, _)| !self.ended.contains(ticket) && state.process(**ticket).is_none());
                if let Some((ticket, label)) = unknown {
                    return Err(format!("ticket {ticket} ({label}) was asked for, and the journal does not know it"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
