//! What the keeper (the program `init`) shares with others: the [`protocol`] it speaks with the manager, the [`link`]
//! both speak it over, and the [`table`] in which it survives itself.
//!
//! Knows processes and descriptors. Must never know what a job, an instance or an event is.

pub mod container;
pub mod link;
mod mapping;
pub mod place;
pub mod protocol;
mod slot;
pub mod table;
