//! Events: something happened, and perhaps somebody waits until all that follows from it has settled.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::effect::Caller;

/// One occurrence of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its variables, `KEY=VALUE`; the order counts for conditions by position.
    pub environment: Vec<String>,
    /// How far it has come.
    pub progress: Progress,
    /// How many conditions hold it and how many instances it waits for. It is finished when this is 0 after handling.
    pub blockers: u32,
    /// Whether a job that it started or stopped failed.
    pub failed: bool,
    /// The instance that waits for it, if it is a `starting` or `stopping`.
    pub releases: Option<u64>,
    /// The caller that waits for it.
    pub caller: Option<Caller>,
    /// A descriptor held by the keeper under this name, for the jobs that the event starts.
    pub file: Option<String>,
}

/// See [`Event::progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Nobody has looked at it.
    Pending,
    /// Conditions have seen it; what it started goes on.
    Handling,
}
