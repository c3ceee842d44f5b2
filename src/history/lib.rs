//! The past of an init: reading its journal, keeping it for longer than the journal does, and showing it.
//!
//! Everything here reads what the manager has written; nothing here is read by the manager, and nothing here is asked
//! for when an init starts or comes back. The programs are `initjournal`, for the files of one journal, and `init-history`,
//! which archives what the journal is about to forget and answers the commands of `initctl` that ask for the past.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod archive;
pub mod at;
pub mod boot;
pub mod bundle;
pub mod crashes;
pub mod damage;
pub mod dot;
pub mod dump;
pub mod listing;
pub mod log;
pub mod metrics;
pub mod moment;
pub mod names;
pub mod past;
pub mod plot;
pub mod replay;
pub mod select;
pub mod source;
pub mod stats;
pub mod telling;
pub mod tool;
pub mod why;
pub mod words;
