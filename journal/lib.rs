//! The journal: checksummed frames of bytes in a directory, and the way back from any crash.
//!
//! It knows bytes, frames, segments, checkpoints and files. It must never know what the bytes mean: jobs, events and
//! their encoding live elsewhere. `FORMAT.md` beside this file is the one description of the bytes on disk.
//!
//! The contract, in the order in which a caller meets it:
//!
//! 1. [`Log::open`] locks the directory, finds out what is there, repairs it by the rules of [`Rule`], and returns the
//!    newest checkpoint and every frame after it, together with a [`Report`] of what was found.
//! 2. [`Log::append`] returns only after the frame is in the journal. Whatever the frame leads to (a process started, a
//!    reply sent) may happen after that and not before.
//! 3. [`Log::checkpoint`], called when [`Log::wants_checkpoint`] says so, bounds both the room the journal takes and the
//!    time that the next [`Log::open`] needs.
//!
//! A frame whose `append` returned `Ok` is found again after a crash of the process at any instruction. A frame whose
//! `append` returned an error, or never returned, is found either whole or not at all. Sequence numbers rise strictly
//! but may skip: a number that may ever have been given out is not given out again.

mod checkpoint;
mod error;
mod follow;
mod frame;
mod identity;
mod log;
mod look;
mod repair;
mod report;
mod scan;
mod segment;
mod storage;
mod survey;
mod verify;

pub use checkpoint::{Checkpoint, MAXIMUM_STATE_BYTES};
pub use error::{AppendError, CheckpointError, OpenError, QuarantineError, StorageError};
pub use follow::{Followed, Follower};
pub use frame::{
    FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FrameView, MAXIMUM_PAYLOAD_BYTES, MAXIMUM_SEQUENCE, PAGE_BYTES, decode_frame,
    encode_frame, frame_bytes,
};
pub use identity::Identity;
pub use log::{Durability, Frame, Log, Options, Payload, Quarantined, Recovered};
pub use look::{Look, Place, Reach, look};
pub use report::{Finding, Report, Rule, Severity};
pub use scan::{ScanEnd, SegmentScan};
pub use segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
pub use storage::file::FileStorage;
pub use storage::memory::{Fault, FaultEffect, MemoryStorage, Operation};
pub use storage::{LOCK, QUARANTINE, Storage};
pub use verify::{verify, verify_within};

/// Version of the format that this code writes, and the newest one it reads.
pub const FORMAT_VERSION: u16 = 1;
