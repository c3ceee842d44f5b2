//! The end of a session, or of a container: everything is asked to stop, and given its time.

use alloc::vec::Vec;

use super::Turn;
use crate::change::Change;
use crate::effect::{Effect, Priority};
use crate::environ;
use crate::job::Goal;
use crate::state::SESSION_OVER_MS;

/// What a session is given beyond the longest kill timeout of its jobs, in milliseconds: for the jobs that start or stop
/// on `session-end`, and for post-stop.
const GRACE_MS: u64 = 5_000;

/// SIGKILL (signal(7)).
const SIGKILL: i32 = 9;

/// The variable of the global table that says what to exit with.
const EXIT_STATUS: &str = "INIT_EXIT_STATUS";

impl Turn<'_> {
    /// Emits `session-end` and stops all jobs. Tasks that `session-end` starts may still do their work.
    pub(super) fn end_session(&mut self, kind: &str) {
        if self.state.ending.is_some() {
            return;
        }
        let timeouts = self.state.instances.values().filter_map(|instance| {
            Some(u64::from(self.state.classes.get(&*instance.class)?.definition.kill_timeout_s) * 1000)
        });
        let patience_ms = timeouts.max().unwrap_or(0).saturating_add(GRACE_MS);
        let deadline_ms = self.now_ms.saturating_add(patience_ms);
        self.commit(Change::SessionEnding { deadline_ms });
        self.queue_event("session-end", alloc::vec![alloc::format!("TYPE={kind}")]);
        let running: Vec<u64> = self.state.instances.keys().copied().collect();
        for instance in running {
            if self.state.instances.get(&instance).is_some_and(|instance| instance.goal != Goal::Stop) {
                self.commit(Change::StopGiven { instance, environment: Vec::new() });
                self.finish(instance, false);
                self.change_goal(instance, Goal::Stop);
            }
        }
    }

    /// Ends the session or container, with this exit status. It is kept in the global table, so that whichever manager sees the
    /// end knows it.
    pub(super) fn exit_with(&mut self, status: u8) {
        let mut table = self.state.environment.clone();
        environ::put(&mut table, EXIT_STATUS, &alloc::format!("{status}"));
        self.commit(Change::EnvironmentSet { table });
        self.end_session("shutdown");
    }

    fn exit_status(&self) -> u8 {
        environ::get(&self.state.environment, EXIT_STATUS).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Has the session exit when nothing is left of it, or nothing is waited for any longer.
    pub(super) fn end_if_over(&mut self) {
        let state = &self.state;
        let is_empty = state.instances.is_empty() && state.events.is_empty() && state.agenda.is_empty();
        if state.ending == Some(SESSION_OVER_MS) || (state.ending.is_some() && is_empty) {
            self.again(Effect::Exit(self.exit_status()));
        }
    }

    /// The session's time is up: what is left is killed, and it exits, if need be after the next manager has come.
    pub(super) fn end_overdue_session(&mut self) {
        if self.state.ending.is_none_or(|deadline_ms| deadline_ms > self.now_ms) {
            return;
        }
        self.commit(Change::SessionEnding { deadline_ms: SESSION_OVER_MS });
        let processes = self.state.instances.values().flat_map(|instance| &instance.processes);
        let tickets: Vec<u64> = processes.filter(|process| process.pid != 0).map(|process| process.ticket).collect();
        self.log(Priority::Warn, || {
            alloc::format!("The session did not end in time; killing {} processes that are left", tickets.len())
        });
        tickets.into_iter().for_each(|ticket| self.signal(ticket, SIGKILL, true));
    }
}
