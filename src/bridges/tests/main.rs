//! Bridges between inits that are D-Bus servers in this process.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod event;
#[path = "../../control/tests/fake_init.rs"]
mod fake_init;
mod file;
mod programs;
