//! What the journal is afraid of, one module a fear.
#![allow(clippy::unwrap_used)]

mod bit_flips;
mod boundaries;
mod common;
mod durability;
mod every_crash;
mod every_cut;
mod looking;
mod model;
mod no_room;
mod oracles;
mod quarantine;
mod real_directory;
mod repair_rules;
mod restless;
mod sigkill;
mod verify_live;
