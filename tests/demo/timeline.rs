//! What happened when, as lines that a person reads.

use std::fmt::Display;
use std::time::Instant;

/// Prints lines with the time since its start, and keeps what was found wrong.
#[derive(Debug)]
pub(crate) struct Timeline {
    start: Instant,
    problems: Vec<String>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), problems: Vec::new() }
    }

    /// Somebody did something.
    pub(crate) fn tell(&self, who: impl Display, what: impl Display) {
        let who = who.to_string();
        println!("{:7.3} s  {who:<8}  {what}", self.start.elapsed().as_secs_f64());
    }

    /// A headline.
    pub(crate) fn title(&self, text: &str) {
        println!("\n{text}");
    }

    /// Something that must be true, and whether it is.
    pub(crate) fn check(&mut self, what: impl Display, is_true: bool) {
        if is_true {
            self.tell("seen", what);
        } else {
            self.tell("WRONG", format_args!("it is not true that {what}"));
            self.problems.push(what.to_string());
        }
    }

    /// What was found wrong.
    pub(crate) fn into_problems(self) -> Vec<String> {
        self.problems
    }
}
