//! The world in a box: the machine, the manager's turns and recovery and the journal, all of them the real ones, over a
//! simulated clock, storage, keeper, bus and processes; everything that happens follows from a seed.
//!
//! * [`play`] is one seed from its faults to its peace; [`campaign`] is many of them.
//! * [`fuse`] is where managers die; [`disk`], [`keeper`], [`process`] and [`bus`] are what surrounds them.
//! * [`check`] has one file for each promise; [`sabotage`] breaks them on purpose, to prove that they are watched.
//!
//! It knows every crate of the product but D-Bus and real processes; nothing in the product knows it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bundle;
pub mod bus;
pub mod campaign;
pub mod chance;
pub mod check;
pub mod command;
pub mod disk;
pub mod fuse;
pub mod fuzz_journal;
pub mod jobs;
pub mod keeper;
pub mod live;
pub mod manager;
pub mod play;
pub mod process;
pub mod sabotage;
pub mod seen;
