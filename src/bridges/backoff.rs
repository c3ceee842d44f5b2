//! How long to wait before the next try.
//!
//! Knows durations only.

use std::time::Duration;

/// A pause that doubles from try to try.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The first pause.
    pub const FIRST: Duration = Duration::from_millis(20);
    /// No pause is longer.
    pub const LONGEST: Duration = Duration::from_secs(2);

    /// Begins with the shortest pause.
    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Waits, and makes the next pause longer.
    pub async fn pause(&mut self) {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        tokio::time::sleep(pause).await;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}
