//! Bridges: programs that run as jobs and turn what happens elsewhere into events of an init.
//!
//! A bridge is a client like any other. It knows the D-Bus contract and its own corner of the world; it must never
//! know how an init works inside, and never end because an init went away for a moment.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod arguments;
pub mod backoff;
pub mod daemon;
pub mod event;
pub mod file;
