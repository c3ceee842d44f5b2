//! The whole system, for real: `init` as process 1 of a machine of its own, real kills, real clients.
//!
//! Each module is one fear.
#![allow(clippy::unwrap_used)]

mod answers;
mod bus;
mod chroot;
mod clock;
mod command_lines;
mod damage;
mod early;
mod hang;
mod kills;
mod ladder;
mod limits;
mod logs;
mod neighbours;
mod orphans;
mod rig;
mod story;
