//! `start on` and `stop on` conditions as the init hands them out: how they are shown and checked.
//!
//! Knows reverse Polish notation as arrays of strings. Must never know whether an event has happened.

use std::fmt;

/// A condition put together again from its reverse Polish notation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Condition {
    /// An event, with what it must match.
    Event(Event),
    /// Both sides are needed.
    And(Box<Condition>, Box<Condition>),
    /// One side is enough.
    Or(Box<Condition>, Box<Condition>),
}

/// An event in a condition: its name, then its arguments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event(Vec<String>);

/// Reverse Polish notation that makes no sense: an operator lacks an operand, or operands are left over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BrokenNotation;

impl fmt::Display for BrokenNotation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Malformed condition")
    }
}

impl std::error::Error for BrokenNotation {}

impl Condition {
    /// Reads the notation; `None` for a condition without events.
    ///
    /// # Errors
    /// [`BrokenNotation`].
    pub fn parse(notation: &[Vec<String>]) -> Result<Option<Self>, BrokenNotation> {
        let mut stack = Vec::new();
        for entry in notation {
            let operator = match entry.first().map(String::as_str) {
                None => return Err(BrokenNotation),
                Some("/AND") => Self::And,
                Some("/OR") => Self::Or,
                Some(_) => {
                    stack.push(Self::Event(Event(entry.clone())));
                    continue;
                }
            };
            let right = stack.pop().ok_or(BrokenNotation)?;
            let left = stack.pop().ok_or(BrokenNotation)?;
            stack.push(operator(Box::new(left), Box::new(right)));
        }
        let whole = stack.pop();
        if stack.is_empty() { Ok(whole) } else { Err(BrokenNotation) }
    }

    /// The events, from left to right.
    pub fn events(&self) -> Vec<&Event> {
        match self {
            Self::Event(event) => vec![event],
            Self::And(left, right) | Self::Or(left, right) => {
                let mut events = left.events();
                events.extend(right.events());
                events
            }
        }
    }

    /// Whether the condition can come true, if only the events can happen for which `possible` holds.
    pub fn reachable(&self, possible: &impl Fn(&Event) -> bool) -> bool {
        match self {
            Self::Event(event) => possible(event),
            Self::And(left, right) => left.reachable(possible) && right.reachable(possible),
            Self::Or(left, right) => left.reachable(possible) || right.reachable(possible),
        }
    }
}

/// As people write it; every operator has its parentheses.
impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(Event(words)) => out.write_str(&words.join(" ")),
            Self::And(left, right) => write!(out, "({left} and {right})"),
            Self::Or(left, right) => write!(out, "({left} or {right})"),
        }
    }
}

impl Event {
    /// Name of the event.
    pub fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// What follows the name: values to match, with or without the names of variables.
    pub fn arguments(&self) -> &[String] {
        self.0.get(1..).unwrap_or_default()
    }

    /// The job that the event is about, where it is one of those that jobs emit and names its job first.
    pub fn job(&self) -> Option<&str> {
        let lifecycle = matches!(self.name(), "starting" | "started" | "stopping" | "stopped");
        let first = self.0.get(1).filter(|_| lifecycle)?;
        match first.split_once('=') {
            Some(("JOB", job)) => Some(job),
            Some(_) => None,
            None => Some(first),
        }
    }

    /// The line of `show-config --enumerate` without what stands before the event.
    pub fn enumerate(&self) -> String {
        let job = self.job();
        let rest = self.0.get(if job.is_some() { 2 } else { 1 }..).unwrap_or_default();
        let spaced = |text: &str| {
            if text.is_empty() { String::new() } else { format!(" {text}") }
        };
        format!("{} (job:{}, env:{})", self.name(), spaced(job.unwrap_or_default()), spaced(&rest.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notation(text: &str) -> Vec<Vec<String>> {
        text.split(" | ")
            .filter(|entry| !entry.is_empty())
            .map(|entry| entry.split(' ').map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn operators_are_shown_with_parentheses() {
        let shown = |text| Condition::parse(&notation(text)).unwrap().map(|condition| condition.to_string());
        assert_eq!(shown(""), None);
        assert_eq!(shown("a X=1").as_deref(), Some("a X=1"));
        assert_eq!(
            shown("first A=1 | second | third | /OR | /AND | fourth | /OR").as_deref(),
            Some("((first A=1 and (second or third)) or fourth)")
        );
    }

    #[test]
    fn broken_notation_is_an_error() {
        for text in ["/AND", "a | /OR", "a | b", "a | b | /AND | c"] {
            assert_eq!(Condition::parse(&notation(text)), Err(BrokenNotation), "{text}");
        }
        assert_eq!(Condition::parse(&[vec![]]), Err(BrokenNotation));
    }

    #[test]
    fn the_job_of_an_event_is_told_apart_from_its_variables() {
        let line = |text: &str| Event(text.split(' ').map(str::to_owned).collect()).enumerate();
        assert_eq!(line("startup"), "startup (job:, env:)");
        assert_eq!(line("runlevel [016]"), "runlevel (job:, env: [016])");
        assert_eq!(line("started a X=1 Y"), "started (job: a, env: X=1 Y)");
        assert_eq!(line("stopping JOB=$W"), "stopping (job: $W, env:)");
        assert_eq!(line("starting JOB!=f"), "starting (job:, env: JOB!=f)");
        assert_eq!(line("stopped n JOB=$JOB I=$I"), "stopped (job: n, env: JOB=$JOB I=$I)");
    }
}
