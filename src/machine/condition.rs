//! `start on` and `stop on`: expressions over events, and how far one of them is fulfilled.
//!
//! A [`Condition`] is what the job file says and never changes. What has happened of it is a [`Progress`], one for each
//! class (start on) and each instance (stop on). A half-fulfilled condition holds on to its events: they are kept, and
//! who emitted them waits, until the condition comes true or is reset.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// An expression in reverse Polish order: operands before their operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The nodes; the last one is the root. Well-formed by construction in the parser.
    pub nodes: Vec<Node>,
}

/// One node of a [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// An event.
    Event(Pattern),
    /// Both of the two operands before it.
    And,
    /// One of the two operands before it.
    Or,
}

/// An event name with what must be in the event's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// The event's name, matched exactly.
    pub event: String,
    /// What its environment must hold, in file order.
    pub matches: Vec<Match>,
}

/// One argument of an event in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// `KEY=…`; none for a value given by position.
    pub key: Option<String>,
    /// An fnmatch(3) pattern; `$VAR` in it is replaced before matching.
    pub value: String,
    /// `KEY!=…`.
    pub negated: bool,
}

impl Match {
    /// As it is written in a job file, without quotes: `KEY=VALUE`, `KEY!=VALUE` or `VALUE`.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.key {
            Some(key) => alloc::format!("{key}{}{}", if self.negated { "!=" } else { "=" }, self.value),
            None => self.value.clone(),
        }
    }
}
