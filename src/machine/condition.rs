//! `start on` and `stop on`: expressions over events, and how far one of them is fulfilled.
//!
//! A [`Condition`] is what the job file says and never changes. What has happened of it is a [`Progress`], one for each
//! class (start on) and each instance (stop on). A half-fulfilled condition holds on to its events: they are kept, and
//! who emitted them waits, until the condition comes true or is reset.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{environ, glob};

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

/// How far a [`Condition`] is fulfilled: for each node the event it holds, if it is an event node that has matched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// As long as the condition's nodes.
    pub held: Vec<Option<u64>>,
}

impl Progress {
    /// Nothing has happened of this condition.
    #[must_use]
    pub fn of(condition: Option<&Condition>) -> Self {
        Self { held: alloc::vec![None; condition.map_or(0, |condition| condition.nodes.len())] }
    }

    /// All events that are held.
    pub fn events(&self) -> impl Iterator<Item = u64> + '_ {
        self.held.iter().flatten().copied()
    }
}

impl Condition {
    /// The events that made the condition true, in the order of the condition and without those of branches that are
    /// not true; none if it is not true.
    #[must_use]
    pub fn fulfilled_by(&self, progress: &Progress) -> Option<Vec<u64>> {
        let mut stack: Vec<Option<Vec<u64>>> = Vec::new();
        for (node, held) in self.nodes.iter().zip(&progress.held) {
            let value = match node {
                Node::Event(_) => held.map(|event| alloc::vec![event]),
                Node::And | Node::Or => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    match (node, left, right) {
                        (_, Some(left), Some(right)) => Some(union(left, right)),
                        (Node::Or, left, right) => left.or(right),
                        _ => None,
                    }
                }
            };
            stack.push(value);
        }
        stack.pop()?
    }

    /// The event patterns, with their node's number.
    pub fn patterns(&self) -> impl Iterator<Item = (usize, &Pattern)> {
        self.nodes.iter().enumerate().filter_map(|(at, node)| match node {
            Node::Event(pattern) => Some((at, pattern)),
            _ => None,
        })
    }
}

/// Both lists, each event once.
fn union(mut left: Vec<u64>, right: Vec<u64>) -> Vec<u64> {
    for event in right {
        if !left.contains(&event) {
            left.push(event);
        }
    }
    left
}

impl Pattern {
    /// Whether an event's environment has what the pattern asks for. `$VAR` in the pattern is taken from `variables`; a
    /// pattern with an unknown variable matches nothing.
    #[must_use]
    pub fn accepts(&self, environment: &[String], variables: &[impl AsRef<str>]) -> bool {
        self.matches.iter().enumerate().all(|(position, wanted)| {
            let value = match &wanted.key {
                Some(key) => environ::get(environment, key),
                None => environment.get(position).and_then(|entry| environ::split(entry).1),
            };
            match (value, environ::expand(&wanted.value, variables)) {
                (Some(value), Ok(pattern)) => glob::matches(&pattern, value) != wanted.negated,
                _ => false,
            }
        })
    }
}
