//! What people type, at a whole machine with its own process 1: every command and every option of the contract.
//!
//! `src/control/tests` checks the same programs against an init that only says what it is told to; here both ends are real.

#![allow(missing_docs, clippy::unwrap_used)]

mod commands;
mod completions;
mod ending;
mod manuals;
mod runlevels;
mod sessions;
mod shell;
mod waiting;
