//! Every stanza does what it says, on real processes.
//!
//! Each module is a family of stanzas.
#![allow(clippy::unwrap_used)]

mod attributes;
mod cgroup;
mod ending;
mod event_files;
mod expect;
mod notify;
mod preparation;
mod rig;
