//! A promise that nobody keeps: that no manager ever dies just after a file of the journal got its name. If the rig does not
//! find this one broken, it finds nothing.

use super::Checker;
use crate::fuse::Point;
use crate::seen::Seen;

/// See the module.
#[derive(Debug, Default)]
pub struct Canary;

impl Checker for Canary {
    fn promise(&self) -> &'static str {
        "canary"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Died { at: Point::Renamed, .. } => Err("a manager has died at a rename, as they do".into()),
            _ => Ok(()),
        }
    }
}
