//! Jobs, instances and events: the pure machine.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod class;
pub mod condition;
pub mod parse;
pub mod signals;
