//! Live state equals replayed state: what a journal gives is what the manager had that wrote it, to the byte, or that
//! before the one turn that its death cut off.

use super::Checker;
use crate::seen::Seen;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Replay {
    is_forgiven: bool,
}

impl Checker for Replay {
    fn promise(&self) -> &'static str {
        "live state equals replayed state"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Lost(_) => self.is_forgiven = true,
            Seen::Replayed { digest, expected, findings, .. } => {
                let Some(after) = expected.after.filter(|_| !std::mem::take(&mut self.is_forgiven)) else {
                    return Ok(());
                };
                // A manager whose death was far off did not note where it came from.
                let is_right = *digest == after || expected.before.is_none_or(|before| before == *digest);
                if !is_right {
                    return Err(format!(
                        "the replayed state is {digest:08x}, neither the one before the last turn ({:08x}) nor the one after it ({after:08x}); findings: {findings:?}",
                        expected.before.unwrap_or_default()
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
