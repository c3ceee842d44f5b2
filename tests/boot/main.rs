//! Booting: the stock jobs from startup to logins and down again, and process 1 of a container.

#![allow(clippy::unwrap_used)]

mod container;
mod emergency;
mod graph;
mod place;
mod session;
