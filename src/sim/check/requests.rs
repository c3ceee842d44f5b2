//! Every acknowledged request is honoured, once: one answer to each call, no event twice, no variable lost, and a call that
//! has no answer yet is waited for by somebody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use machine::effect::{Announcement, Answer, Caller};
use machine::input::Call;
use machine::state::State;

use super::Checker;
use crate::seen::Seen;

/// The variable by which each event that a client emits can be told from all others.
pub const MARK: &str = "SIM_MARK=";

/// A call, and the number and content of its answer.
type Asked = (Call, Option<(u64, Answer)>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Requests {
    calls: BTreeMap<(u64, u32), Asked>,
    /// Marked events, with the number they were told under.
    emitted: BTreeMap<String, u64>,
    /// Instances whose start was told.
    begun: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Values of variables that may be: the last acknowledged one, and those asked for after it.
    variables: BTreeMap<String, Vec<String>>,
}

fn mark_of(environment: &[String]) -> Option<&String> {
    environment.iter().find(|entry| entry.starts_with(MARK))
}

fn set_of(call: &Call) -> impl Iterator<Item = (&str, &str)> {
    let entries = match call {
        Call::SetEnvironment { job: None, entries, replace: true } => &entries[..],
        _ => &[],
    };
    entries.iter().filter_map(|entry| entry.split_once('='))
}

impl Requests {
    fn answered(&mut self, caller: &Caller, number: u64, answer: &Answer) -> Result<(), String> {
        let Some((call, before)) = self.calls.get_mut(&(caller.connection, caller.serial)) else { return Ok(()) };
        match before.replace((number, answer.clone())) {
            Some(before) if before != (number, answer.clone()) => {
                return Err(format!("{call:?} was answered twice: {before:?} and {:?}", (number, answer)));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        for (key, value) in set_of(call) {
            let Some(may_be) = self.variables.get_mut(key) else { continue };
            match answer {
                // The system's init has no variables that could be set.
                Answer::Error(_) => may_be.retain(|one| one != value),
                _ => drop(may_be.drain(..may_be.iter().position(|one| one == value).unwrap_or(0))),
            }
            if may_be.is_empty() {
                self.variables.remove(key);
            }
        }
        Ok(())
    }

    /// Whether what was acknowledged has come about.
    fn is_honoured(&self, call: &Call, answer: &Answer, state: &State) -> bool {
        match (call, answer) {
            (Call::Emit { environment, .. }, Answer::Done) => {
                // It is told when all that follows from it has settled.
                let is_under_way = |mark| state.events().any(|(_, event)| event.environment.contains(mark));
                mark_of(environment).is_none_or(|mark| self.emitted.contains_key(mark) || is_under_way(mark))
            }
            (Call::Start { .. }, Answer::Instance(class, instance)) => {
                self.begun.contains(&(class.clone(), instance.clone()))
            }
            _ => true,
        }
    }

    fn settled(&self, state: &State) -> Result<(), String> {
        for (key, may_be) in &self.variables {
            let value = state.environment().iter().find_map(|entry| entry.strip_prefix(&format!("{key}=")));
            if !value.is_some_and(|value| may_be.iter().any(|one| one == value)) {
                return Err(format!("{key} was set to one of {may_be:?}, and is {value:?}"));
            }
        }
        for ((connection, serial), (call, answer)) in &self.calls {
            if let Some((_, answer)) = answer
                && !self.is_honoured(call, answer, state)
            {
                return Err(format!("{call:?} was answered with {answer:?}, and nothing has come of it"));
            }
            let is_meant = |caller: &Caller| (caller.connection, caller.serial) == (*connection, *serial);
            let in_instance = state.instances().flat_map(|instance| &instance.callers).any(|(one, _)| is_meant(one));
            let in_event = state.events().any(|(_, event)| event.caller.as_ref().is_some_and(is_meant));
            if answer.is_none() && !in_instance && !in_event {
                return Err(format!("{call:?} of client {connection} has no answer, and nobody waits for one"));
            }
        }
        Ok(())
    }
}

impl Checker for Requests {
    fn promise(&self) -> &'static str {
        "every acknowledged request is honoured"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Called { caller, call } => {
                for (key, value) in set_of(call) {
                    // Before the first is answered, there may be none.
                    self.variables.entry(key.into()).or_default().push(value.into());
                }
                self.calls.insert((caller.connection, caller.serial), ((*call).clone(), None));
            }
            Seen::Gone { connection } => {
                let gone: Vec<_> = self.calls.keys().copied().filter(|(from, _)| from == connection).collect();
                for key in gone {
                    // What it asked for last may have been done or not.
                    if let Some((call, None)) = self.calls.remove(&key) {
                        set_of(&call).for_each(|(key, _)| drop(self.variables.remove(key)));
                    }
                }
            }
            Seen::Told { number, announcement } => match announcement {
                Announcement::Reply(caller, answer) => self.answered(caller, *number, answer)?,
                Announcement::EventEmitted(name, environment) => {
                    if let Some(mark) = mark_of(environment) {
                        let before = self.emitted.insert(mark.clone(), *number);
                        if let Some(before) = before.filter(|before| before != number) {
                            return Err(format!("{name} {mark} was emitted twice, as {before} and {number}"));
                        }
                    }
                }
                Announcement::InstanceAdded(class, instance) | Announcement::GoalChanged(class, instance, _) => {
                    self.begun.insert((class.clone(), instance.clone()));
                }
                _ => {}
            },
            Seen::Lost(_) => *self = Self::default(),
            Seen::Settled { state, has_work: None, .. } => self.settled(state)?,
            _ => {}
        }
        Ok(())
    }
}
