//! The checkers: one file for each promise.
//!
//! They see what [`crate::seen::Seen`] tells and share nothing, neither with each other nor with the product.

pub mod canary;
mod none_forgotten;
mod replay;
mod requests;
mod settles;
mod started_once;
mod statuses;
mod write_ahead;

pub use requests::MARK;

use crate::seen::Seen;

/// One promise.
pub trait Checker: std::fmt::Debug {
    /// Its name.
    fn promise(&self) -> &'static str;

    /// Something was seen.
    ///
    /// # Errors
    /// How the promise was broken.
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String>;
}

/// All promises.
#[must_use]
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(write_ahead::WriteAhead::default()),
        Box::new(replay::Replay::default()),
        Box::new(started_once::StartedOnce::default()),
        Box::new(none_forgotten::NoneForgotten::default()),
        Box::new(statuses::Statuses::default()),
        Box::new(requests::Requests::default()),
        Box::new(settles::Settles),
    ]
}
