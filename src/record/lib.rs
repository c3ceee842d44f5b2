//! How turns and states become the bytes of the journal's frames and checkpoints, and back.
//!
//! Writer and readers share this: the manager, the tools for the past, the simulator. It knows the machine's types and
//! nothing of files. It must never decide what a change means; that is `State::apply`.
//!
//! A frame is one turn: what happened ([`Origin`]), when ([`Stamp`]), and what then became true (the changes). Only the
//! changes are replayed; the rest is for people who ask what happened.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codec;
mod meta;
mod notes;
mod origin;
mod own;
mod times;
mod view;
mod wire;

pub use codec::{
    CodecError, VERSION, decode_changes, decode_stamp, decode_state, decode_turn, digest, encode_state, encode_turn,
    view_turn,
};
pub use meta::{Crash, Meta};
pub use notes::log_notes;
pub use origin::{Origin, Who};
pub use times::{BOUNDS_US, TURN_TIMES, TurnTimes};
pub use view::{AnnouncementView, CallerView, ChangeView, HeadView, OriginView, WhoView};

use machine::change::Change;

/// When a turn was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Microseconds since boot, suspend included (CLOCK_BOOTTIME, clock_gettime(2)). Never goes back within a boot.
    pub boot_us: u64,
    /// Microseconds since 1970 (CLOCK_REALTIME). Goes where it is set to.
    pub wall_us: u64,
}

/// What is in one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When; none in records of version 1, which did not say.
    pub stamp: Option<Stamp>,
    /// What happened.
    pub origin: Origin,
    /// What became true.
    pub changes: Vec<Change>,
}
