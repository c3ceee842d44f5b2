//! How long turns take: what a manager counts, and leaves beside its journal for those who collect figures.

use serde::{Deserialize, Serialize};

/// The name of the file beside the journal's directory, with [`TurnTimes`] in JSON.
pub const TURN_TIMES: &str = "turn-times.json";

/// Up to how many microseconds a turn counts for each of [`TurnTimes::at_most`].
pub const BOUNDS_US: [u64; 9] = [50, 100, 250, 500, 1_000, 5_000, 10_000, 100_000, 1_000_000];

/// The turns of one manager, from its input to the last of its effects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnTimes {
    /// How many.
    pub count: u64,
    /// All of them together, in microseconds.
    pub sum_us: u64,
    /// The longest one.
    pub longest_us: u64,
    /// How many took no longer than each of [`BOUNDS_US`].
    pub at_most: [u64; BOUNDS_US.len()],
}

impl TurnTimes {
    /// Counts one more.
    pub fn add(&mut self, took_us: u64) {
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(took_us);
        self.longest_us = self.longest_us.max(took_us);
        for (count, bound) in self.at_most.iter_mut().zip(BOUNDS_US) {
            *count += u64::from(took_us <= bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_counts_once_and_in_every_bound_above_it() {
        let mut times = TurnTimes::default();
        [0, 50, 51, 2_000_000].into_iter().for_each(|took| times.add(took));
        assert_eq!((times.count, times.sum_us, times.longest_us), (4, 2_000_101, 2_000_000));
        assert_eq!(times.at_most, [2, 3, 3, 3, 3, 3, 3, 3, 3]);
    }
}
