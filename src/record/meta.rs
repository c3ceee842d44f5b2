//! What comes with a journal that is carried elsewhere: `meta.json` beside the directory `journal`, in the directory of a
//! crash and in an exported file alike.

use serde::{Deserialize, Serialize};

/// The content of `meta.json`. Unknown fields are ignored, missing ones have their defaults, so older and newer programs
/// read each other's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Version of this description: 1.
    pub format: u32,
    /// Which program wrote it, such as `init-manager 0.1.0`.
    pub written_by: String,
    /// Number of the last frame.
    pub last_sequence: u64,
    /// Whether the values of environment variables were left out.
    pub is_redacted: bool,
    /// What happened, if it is the journal of a crash.
    pub crash: Option<Crash>,
}

/// A crash of the init, and how it came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crash {
    /// When the next manager had come back: microseconds since 1970.
    pub wall_us: u64,
    /// The same in microseconds since boot.
    pub boot_us: u64,
    /// What died and how, in words.
    pub reason: String,
    /// How far down the ladder of recovery it went: 1 for a plain replay.
    pub rung: u32,
    /// What was repaired or lost, in words.
    pub findings: Vec<String>,
    /// What the manager that died has said last, line by line.
    pub last_words: Vec<String>,
    /// How many crashes of this init, this one included, were recovered from by each rung, the first one first.
    pub rungs: [u64; 5],
    /// Frames that were replayed.
    pub frames: u64,
    /// The last frame of before: what comes after it in the journal was written by the manager that came back.
    pub sequence: u64,
    /// How long the recovery took, in microseconds.
    pub took_us: u64,
    /// How often this init had come back, this time included.
    pub generation: u64,
    /// Version of the manager that came back.
    pub version: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Pid of the keeper.
    pub keeper_pid: i32,
}
