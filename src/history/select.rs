//! Which changes are wanted.

use machine::change::Change;
use record::{Origin, Turn};

use crate::moment::Moment;
use crate::names::{JobName, Names};

/// What to show. Nothing given means everything; what is given must all be true.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of these jobs or instances only.
    pub jobs: Vec<String>,
    /// Of events with these names only.
    pub events: Vec<String>,
    /// After this moment.
    pub since: Option<Moment>,
    /// Not after this one.
    pub until: Option<Moment>,
}

impl Selection {
    /// Whether everything is wanted.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.jobs.is_empty() && self.events.is_empty() && self.since.is_none() && self.until.is_none()
    }

    /// Whether the turn is within the time that is wanted. A frame without a time is within every time.
    #[must_use]
    pub fn is_within(&self, sequence: u64, turn: &Turn) -> bool {
        let is_after = |moment: Moment| moment.is_before(sequence, turn.stamp);
        let since = self.since.is_none_or(|since| match since {
            Moment::Sequence(first) => sequence >= first,
            other => is_after(other).unwrap_or(true),
        });
        since && self.until.is_none_or(|until| !is_after(until).unwrap_or(false))
    }

    /// Whether a change is wanted, in a turn that is.
    #[must_use]
    pub fn takes(&self, change: &Change, names: &Names) -> bool {
        let job = || {
            names.job(change).is_some_and(|(class, instance)| {
                let name = JobName::new(class, instance.unwrap_or_default());
                self.jobs.iter().any(|pattern| name.is(pattern))
            })
        };
        let event = || names.event_of(change).is_some_and(|name| self.events.iter().any(|wanted| wanted == name));
        (self.jobs.is_empty() || job()) && (self.events.is_empty() || event())
    }

    /// Whether the line about what a turn was for is wanted, although none of its changes may be.
    #[must_use]
    pub fn takes_origin(&self, origin: &Origin, names: &Names) -> bool {
        if !self.events.is_empty() {
            return false;
        }
        self.jobs.is_empty()
            || names.job_of_origin(origin).is_some_and(|name| self.jobs.iter().any(|pattern| name.is(pattern)))
    }
}
