//! How long turns take, for those who collect figures: counted here, and left beside the journal now and then.

use std::fs;
use std::path::Path;

use record::{TURN_TIMES, TurnTimes};

/// The turns of this manager.
#[derive(Debug, Default)]
pub struct Times {
    counted: TurnTimes,
    /// How many were counted when they were last written down.
    told: u64,
}

impl Times {
    /// Counts a turn.
    pub fn add(&mut self, took_us: u64) {
        self.counted.add(took_us);
    }

    /// Writes them down, if there is news. What cannot be written is not there; nothing depends on it.
    pub fn tell(&mut self, directory: Option<&Path>) {
        let Some(directory) = directory.filter(|_| self.told != self.counted.count) else { return };
        self.told = self.counted.count;
        let new = directory.join("turn-times.new");
        let text = serde_json::to_vec(&self.counted).unwrap_or_default();
        // On the same file system as the journal, in memory.
        let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, directory.join(TURN_TIMES)));
    }
}

/// Removes what was written down.
pub fn remove(directory: &Path) {
    let _ = fs::remove_file(directory.join(TURN_TIMES));
}
