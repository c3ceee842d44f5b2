//! Waiting for conditions, with a deadline for those that never come true.

use std::time::{Duration, Instant};

/// How long anything may take that must happen; generous, because test machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `probe` gives something.
///
/// # Panics
/// When it has not within [`PATIENCE`]; `what` is in the message.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// As [`wait_for`].
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
