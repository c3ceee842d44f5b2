//! Jobs, instances and events: the pure machine.
//!
//! ```text
//! Input ──turn──▶ Changes (applied, to be journaled) ──▶ Effects (to be performed after that)
//! ```
//!
//! The machine never touches an operating system: time and all else that happens outside come in as [`input::Input`],
//! and what is to be done goes out as [`effect::Effect`]. It is `no_std`, so the compiler holds it to that.
//!
//! * [`decide`] holds the policy; [`turn`] is its one entry.
//! * [`state::State::apply`] is the only way in which the state changes, live and in replay.
//! * [`job`] begins with the essay on goals and states.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod apply;
pub mod change;
pub mod class;
pub mod condition;
pub mod decide;
pub mod effect;
pub mod environ;
pub mod event;
pub mod glob;
mod index;
pub mod input;
pub mod job;
pub mod parse;
pub mod query;
pub mod root;
pub mod signals;
pub mod spawn;
pub mod state;

pub use decide::{Outcome, turn, turn_into};
