//! Instances: goals are turned here, and states are walked through. The essay is in [`crate::job`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Turn;
use crate::change::Change;
use crate::effect::{Announcement, Answer, CallError, Priority};
use crate::environ::{self, ExpandError, Table};
use crate::job::{Cause, Failure, Goal, Instance, JobState, ProcessKind, Wait};
use crate::root;
use crate::signals;
use crate::spawn;
use crate::state::Pending;

impl Turn<'_> {
    /// The name of the instance that these variables mean.
    pub(super) fn instance_name(&self, class: &str, given: &[String]) -> Result<String, ExpandError> {
        let Some(record) = self.state.classes.get(class) else { return Ok(String::new()) };
        if !record.definition.instance.contains('$') {
            return Ok(record.definition.instance.clone());
        }
        environ::expand(&record.definition.instance, &self.table_for(class, given))
    }

    /// The environment of a class that is given these variables: global table, `env` stanzas, what is given.
    fn table_for(&self, class: &str, given: &[String]) -> Table {
        let mut table = self.state.environment.clone();
        if let Some(record) = self.state.classes.get(class) {
            environ::extend(&mut table, &record.definition.env, &self.state.settings.origin);
        }
        environ::extend(&mut table, given, &[]);
        table
    }

    /// The environment of a class that is given nothing.
    pub(super) fn environment_of_class(&self, class: &str) -> Table {
        self.table_for(class, &[])
    }

    /// The environment an instance began with.
    pub(super) fn environment_of_instance(&self, number: u64) -> Table {
        self.state.instances.get(&number).map_or_else(Vec::new, |found| self.table_for(&found.class, &found.given))
    }

    /// The instance of that name, made if there is none.
    pub(super) fn instance_to_start(&mut self, class: &str, name: &str) -> u64 {
        if let Some(number) = self.state.classes.get(class).and_then(|record| record.instances.get(name)) {
            return *number;
        }
        let instance = self.next_id();
        self.commit(Change::InstanceCreated { instance, class: class.into(), name: name.into() });
        self.announce(Announcement::InstanceAdded(class.into(), name.into()));
        instance
    }

    /// Turns the goal, and sets the instance going if it was at rest.
    pub(super) fn change_goal(&mut self, number: u64, goal: Goal) {
        let Some(instance) = self.state.instances.get(&number).filter(|instance| instance.goal != goal) else { return };
        let (old, state) = (instance.goal, instance.state);
        let (class, name) = (instance.class.clone(), instance.name.clone());
        self.commit(Change::GoalChanged { instance: number, goal });
        self.log_of(number, || format!("goal changed from {} to {}", old.name(), goal.name()));
        self.announce(Announcement::GoalChanged(class, name, goal));
        if matches!(state, JobState::Waiting | JobState::Running | JobState::Spawned) {
            self.advance(number);
        }
    }

    /// A log line about an instance, if such lines are logged.
    fn log_of(&mut self, number: u64, text: impl FnOnce() -> String) {
        if Priority::Info >= self.state.log_priority
            && let Some(instance) = self.state.instances.get(&number)
        {
            let line = format!("{} {}", instance.title(), text());
            self.announce(Announcement::Log(Priority::Info, line));
        }
    }

    /// Goes on as far as nothing has to be waited for.
    pub(super) fn advance(&mut self, number: u64) {
        while let Some(next) = self.next_state(number) {
            self.enter(number, next);
        }
    }

    /// The state to go to now; none if the instance must wait (or is gone).
    fn next_state(&self, number: u64) -> Option<JobState> {
        let instance = self.state.instances.get(&number)?;
        let class = &self.state.classes.get(&*instance.class)?.definition;
        let state = instance.state;
        let may_leave = match state {
            JobState::Waiting => instance.goal != Goal::Stop,
            JobState::Starting | JobState::Stopping => instance.blocked_by.is_none(),
            JobState::Spawned => {
                instance.goal != Goal::Start
                    || instance.process(ProcessKind::Main).is_none_or(|process| process.awaits == 0)
            }
            JobState::Running => instance.goal != Goal::Start,
            _ => match (state.spawns(), state.awaits_end_of()) {
                (Some(kind), _) => instance.process(kind).is_none_or(|process| process.pid != 0),
                (None, Some(kind)) => instance.process(kind).is_none(),
                (None, None) => true,
            },
        };
        let main_runs = instance.process(ProcessKind::Main).is_some();
        may_leave.then(|| state.next(instance.goal, main_runs, class.pre_stop.is_some()))
    }

    /// Enters a state and does what belongs to it.
    fn enter(&mut self, number: u64, state: JobState) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let old = instance.state;
        let (class, name) = (instance.class.clone(), instance.name.clone());
        if instance.deadline_ms.is_some() {
            self.commit(Change::DeadlineSet { instance: number, deadline_ms: None });
        }
        self.commit(Change::StateChanged { instance: number, state });
        self.log_of(number, || format!("state changed from {} to {}", old.name(), state.name()));
        self.announce(Announcement::StateChanged(class, name, state));
        match state {
            JobState::Starting => self.begin(number),
            JobState::Spawned => self.await_readiness(number),
            JobState::Running => self.run(number, old),
            JobState::Stopping => self.emit_job_event(number, "stopping", true),
            JobState::Killed => self.kill(number),
            JobState::Waiting => self.rest(number),
            _ => {
                if let Some(kind) = state.spawns() {
                    self.request_process(number, kind);
                }
            }
        }
    }

    fn begin(&mut self, number: u64) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let given = instance.next_given.as_ref().unwrap_or(&instance.given);
        let environment = self.table_for(&instance.class, given);
        let (class, name, respawns) = (instance.class.clone(), instance.name.clone(), instance.goal == Goal::Respawn);
        let stop_on_is_begun = instance.stop_on.events().next().is_some();
        self.commit(Change::Begun { instance: number, environment });
        if respawns {
            self.commit(Change::GoalChanged { instance: number, goal: Goal::Start });
            self.announce(Announcement::GoalChanged(class, name, Goal::Start));
        }
        if stop_on_is_begun {
            self.commit(Change::StopReset { instance: number });
        }
        self.emit_job_event(number, "starting", true);
    }

    /// Who waits for a service is let go; `started` tells of it, unless a pre-stop has only vetoed a stop.
    fn run(&mut self, number: u64, old: JobState) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let (is_task, has_main) = (record.definition.task, record.definition.main.is_some());
        let main_runs = instance.process(ProcessKind::Main).is_some();
        if old != JobState::PreStop {
            self.emit_job_event(number, "started", false);
        }
        if !is_task {
            self.finish(number, false);
        }
        if (has_main && !main_runs) || (is_task && !has_main) || (self.state.ending.is_some() && !is_task) {
            self.change_goal(number, Goal::Stop);
        }
    }

    fn kill(&mut self, number: u64) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(ticket) = instance.process(ProcessKind::Main).map(|process| process.ticket) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let (signal, timeout_s) = (record.definition.kill_signal, record.definition.kill_timeout_s);
        self.signal(ticket, signal, true);
        let deadline_ms = Some(self.now_ms.saturating_add(u64::from(timeout_s).saturating_mul(1000)));
        self.commit(Change::DeadlineSet { instance: number, deadline_ms });
    }

    pub(super) fn signal(&mut self, ticket: u64, signal: i32, whole_group: bool) {
        let request = self.next_id();
        self.commit(Change::SignalRequested { ticket, request, signal, whole_group });
    }

    /// The end of a life: `stopped`, answers, and the instance is gone.
    fn rest(&mut self, number: u64) {
        self.emit_job_event(number, "stopped", false);
        let Some(instance) = self.state.instances.get(&number) else { return };
        let (class, name, failed) = (instance.class.clone(), instance.name.clone(), instance.failure.is_some());
        self.finish(number, failed);
        self.commit(Change::InstanceDestroyed { instance: number });
        self.announce(Announcement::InstanceRemoved(class.clone(), name));
        self.renew(&class);
    }

    /// What waited for the last instance of a class to go.
    fn renew(&mut self, class: &str) {
        let Some(record) = self.state.classes.get(class).filter(|record| record.instances.is_empty()) else { return };
        match record.pending.clone() {
            None => {}
            Some(Pending::Replacement(definition)) => {
                self.announce(Announcement::JobRemoved(class.into()));
                self.commit(Change::ClassDefined(definition));
                self.announce(Announcement::JobAdded(class.into()));
            }
            Some(Pending::Removal) => {
                self.commit(Change::ClassRemoved { class: class.into() });
                self.announce(Announcement::JobRemoved(class.into()));
            }
        }
    }

    /// Lets go all callers and events that wait for an instance.
    pub(super) fn finish(&mut self, number: u64, failed: bool) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        if instance.callers.is_empty() && instance.blocks.is_empty() {
            return;
        }
        let (callers, events) = (instance.callers.clone(), instance.blocks.clone());
        let (class, name) = (instance.class.clone(), instance.name.clone());
        for (caller, wait) in callers {
            let answer = match (wait, failed) {
                (Wait::Start | Wait::StartInstance, true) => Answer::Error(CallError::StartFailed),
                (Wait::Stop, true) => Answer::Error(CallError::StopFailed),
                (Wait::Restart | Wait::RestartInstance, true) => Answer::Error(CallError::RestartFailed),
                (Wait::Start | Wait::Restart, false) => Answer::Instance(class.clone(), name.clone()),
                (Wait::StartInstance | Wait::RestartInstance | Wait::Stop, false) => Answer::Done,
            };
            self.announce(Announcement::Reply(caller, answer));
        }
        if failed {
            events.into_iter().for_each(|event| self.commit(Change::EventFailed { event }));
        }
        self.commit(Change::Detached { instance: number });
    }

    /// Emits one of the four events of a job's life. The first two stages of each way are waited for.
    fn emit_job_event(&mut self, number: u64, event: &str, blocks: bool) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let mut environment = Vec::new();
        let (root, class) = root::split(&instance.class);
        environ::put(&mut environment, "JOB", class);
        environ::put(&mut environment, "INSTANCE", &instance.name);
        if event.starts_with("stop") {
            add_result(&mut environment, instance);
        }
        for name in &record.definition.export {
            if let Some(value) = environ::get(&instance.environment, name) {
                environ::put(&mut environment, name, value);
            }
        }
        let event = root::within(root, event);
        self.queue_event_for(&event, environment, blocks.then_some(number), None, None);
    }

    /// Spawns a process of an instance if its class has one of that kind.
    fn request_process(&mut self, number: u64, kind: ProcessKind) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let class = &record.definition;
        let is_wanted = match kind {
            ProcessKind::Security => spawn::preparation(class, &self.state.settings).is_some(),
            _ => spawn::command(class, kind).is_some(),
        };
        let awaits = if kind == ProcessKind::Main { class.expect.awaits() } else { 0 };
        if kind == ProcessKind::Security && !class.tmpfiles.is_empty() && !self.state.settings.has_tmpfiles {
            let (title, files) = (instance.title(), class.tmpfiles.join(" "));
            self.log(Priority::Warn, || {
                format!("{title}: tmpfiles {files}: there is no systemd-tmpfiles to apply them with; starting without")
            });
        }
        if is_wanted {
            let ticket = self.next_id();
            self.commit(Change::ProcessRequested { instance: number, kind, ticket, awaits });
        }
    }

    /// Remembers the first failure of this life.
    pub(super) fn fail(&mut self, number: u64, process: Option<ProcessKind>, cause: Option<Cause>) {
        let Some(instance) = self.state.instances.get(&number).filter(|instance| instance.failure.is_none()) else {
            return;
        };
        let (class, name) = (instance.class.clone(), instance.name.clone());
        let status = match cause {
            Some(Cause::Status(status)) => status,
            Some(Cause::Signal(signal)) => signal << 8,
            _ => 0,
        };
        self.commit(Change::Failed { instance: number, failure: Failure { process, cause } });
        self.announce(Announcement::Failed(class, name, status));
    }
}

/// RESULT and, after a failure, what failed and how.
fn add_result(environment: &mut Vec<String>, instance: &Instance) {
    let Some(failure) = &instance.failure else {
        environ::put(environment, "RESULT", "ok");
        return;
    };
    environ::put(environment, "RESULT", "failed");
    environ::put(environment, "PROCESS", failure.process.map_or("respawn", ProcessKind::name));
    match failure.cause {
        Some(Cause::Status(status)) => environ::put(environment, "EXIT_STATUS", &status.to_string()),
        Some(Cause::Signal(signal)) => {
            let name = signals::name(signal).map_or_else(|| signal.to_string(), ToString::to_string);
            environ::put(environment, "EXIT_SIGNAL", &name);
        }
        Some(Cause::Unknown) | None => {}
    }
}
