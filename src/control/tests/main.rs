//! The programs, run as people run them, against an init that is a D-Bus server in this process.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod checkconf;
mod commands;
mod config;
mod connecting;
mod corpus;
mod environment;
#[path = "fake_init.rs"]
mod fake_init;
mod stock;
mod support;
mod telinit;
