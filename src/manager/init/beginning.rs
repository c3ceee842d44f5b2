//! What a manager begins with, and what it looks after from then on: the event of the first start, and where the journal is.

use super::Init;
use crate::conf::Look;
use crate::turn::Turn as _;
use crate::{early, emergency, report, resume};
use machine::effect::Priority;
use machine::input::Input;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// How long clients wait for the job files of a first start.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

impl Init {
    /// A journal that somebody has removed would go on taking frames that nobody finds. It is begun anew, as is one that could
    /// not be opened before. Looked at with each ping of the keeper.
    pub(super) fn tend_journal(&mut self) {
        if early::may_move(&self.scope.journal_dir, &self.scope.journal_home) {
            return self.move_journal();
        }
        let directory = &self.scope.journal_dir;
        if self.memory.journal.is_some() && directory.join(journal::LOCK).exists() {
            return;
        }
        match resume::renew(directory, &self.memory.state) {
            Ok(journal) => {
                self.memory.renew(journal);
                report::warn(&format!("the journal in {} was gone; it is begun anew", directory.display()));
            }
            Err(error) => {
                if self.memory.degrade() {
                    report::error(&format!(
                        "the journal in {} is gone: {error}; going on without",
                        directory.display()
                    ));
                }
            }
        }
    }

    /// Clients wait for the first look at the job files, but not for a disk that is gone.
    pub(super) fn tend_clients(&mut self) {
        if self.dbus.awaits_jobs() && self.began.elapsed() > LOOK_PATIENCE {
            report::warn("the job directories cannot be read; clients are answered without what is in them");
            self.dbus.jobs_are_read(&BTreeSet::new());
        }
    }

    /// Takes the journal from where it began to where it belongs.
    fn move_journal(&mut self) {
        let home = self.scope.journal_home.clone();
        let moved = resume::renew(&home, &self.memory.state).and_then(|journal| {
            early::leave(&self.scope.journal_dir, &home).map_err(|error| error.to_string())?;
            Ok(journal)
        });
        // What does not work now is tried again with the next ping.
        if let Ok(journal) = moved {
            self.memory.renew(journal);
            self.scope.journal_dir = home;
            report::write(Priority::Message, &format!("the journal is in {} now", self.scope.journal_dir.display()));
        }
    }

    /// What the first start begins with.
    pub(super) fn startup_event(&mut self, look: &Look) -> io::Result<Option<String>> {
        // Who names directories knows what is in them.
        let has_nothing = look.names.is_empty() && self.options.conf_dirs.is_empty();
        if self.options.no_startup_event {
            return Ok(None);
        }
        if self.scope.is_session || !(has_nothing || self.options.is_emergency) {
            return Ok(Some(self.options.startup_event.clone()));
        }
        if !look.names.contains(emergency::JOB) {
            match emergency::class() {
                Ok(class) => self.take(Input::Define(Box::new(class)))?,
                Err(error) => report::error(&format!("{}: {error}", emergency::JOB)),
            }
        }
        Ok(Some(emergency::JOB.into()))
    }
}
