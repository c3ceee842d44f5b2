//! Method calls that change something.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Turn;
use crate::change::Change;
use crate::effect::{Announcement, Answer, CallError, Caller, Priority};
use crate::environ::{self, Table};
use crate::input::Call;
use crate::job::{Goal, ProcessKind, Wait};
use crate::state::Pending;

impl Turn<'_> {
    pub(super) fn call(&mut self, caller: Caller, call: Call) {
        if self.state.was_taken(&caller) {
            return;
        }
        self.commit(Change::CallTaken(caller.clone()));
        let answer = match call {
            Call::Start { class, environment, wait } => self.call_start(&caller, &class, environment, wait),
            Call::Stop { class, environment, wait } => self.call_stop(&caller, &class, environment, wait),
            Call::Restart { class, environment, wait } => self.call_restart(&caller, &class, environment, wait),
            Call::StartInstance { class, instance, wait } => {
                let waits = wait.then_some(Wait::StartInstance);
                self.known(&class, &instance).and_then(|number| self.start(&caller, number, None, waits))
            }
            Call::StopInstance { class, instance, wait } => {
                self.known(&class, &instance).and_then(|number| self.stop(&caller, number, Vec::new(), wait))
            }
            Call::RestartInstance { class, instance, wait } => {
                let waits = wait.then_some(Wait::RestartInstance);
                self.known(&class, &instance).and_then(|number| self.restart(&caller, number, None, waits))
            }
            Call::ReloadInstance { class, instance } => {
                self.known(&class, &instance).and_then(|number| self.reload(number))
            }
            Call::Emit { name, environment, wait, file } => self.emit(&caller, &name, environment, wait, file),
            Call::SetEnvironment { job, entries, replace } => {
                self.change_tables(job, |table| set_entries(table, &entries, replace))
            }
            Call::UnsetEnvironment { job, names } => self.change_tables(job, |table| {
                names.iter().for_each(|name| environ::unset(table, name));
            }),
            Call::ResetEnvironment { job } => self.reset_tables(job),
            Call::RestartInit => {
                self.announce(Announcement::Reply(caller.clone(), Answer::Done));
                self.commit(Change::ReexecRequested);
                return;
            }
            Call::EndSession => {
                if self.state.settings.is_session {
                    self.end_session("logout");
                }
                Ok(Some(Answer::Done))
            }
            Call::Exit(status) => {
                self.exit_with(status);
                Ok(Some(Answer::Done))
            }
            Call::SetLogPriority(priority) => {
                self.commit(Change::LogPrioritySet(priority));
                Ok(Some(Answer::Done))
            }
        };
        match answer {
            Ok(None) => {}
            Ok(Some(answer)) => self.announce(Announcement::Reply(caller, answer)),
            Err(error) => self.announce(Announcement::Reply(caller, Answer::Error(error))),
        }
    }

    fn call_start(&mut self, caller: &Caller, class: &str, environment: Vec<String>, wait: bool) -> Replied {
        let name = self.name_for_call(class, &environment)?;
        let record = self.state.classes.get(class).ok_or_else(|| CallError::UnknownJob(class.into()))?;
        if record.pending == Some(Pending::Removal) && !record.instances.contains_key(&name) {
            return Err(CallError::UnknownJob(class.into()));
        }
        if let Some(running) = self.state.find(class, &name).filter(|instance| instance.goal != Goal::Stop) {
            return Err(CallError::AlreadyStarted(running.title()));
        }
        let number = self.instance_to_start(class, &name);
        let answer = self.start(caller, number, Some(environment), wait.then_some(Wait::Start))?;
        Ok(answer.map(|_| Answer::Instance(class.into(), name.into())))
    }

    fn call_stop(&mut self, caller: &Caller, class: &str, environment: Vec<String>, wait: bool) -> Replied {
        let name = self.name_for_call(class, &environment)?;
        let number = self.known(class, &name)?;
        self.stop(caller, number, environment, wait)
    }

    fn call_restart(&mut self, caller: &Caller, class: &str, environment: Vec<String>, wait: bool) -> Replied {
        let name = self.name_for_call(class, &environment)?;
        let number = self.known(class, &name)?;
        let answer = self.restart(caller, number, Some(environment), wait.then_some(Wait::Restart))?;
        Ok(answer.map(|_| Answer::Instance(class.into(), name.into())))
    }

    /// The name of the instance that a caller means.
    fn name_for_call(&self, class: &str, environment: &[String]) -> Result<String, CallError> {
        if self.state.class(class).is_none() {
            return Err(CallError::UnknownJob(class.into()));
        }
        if !environ::is_valid(environment) {
            return Err(CallError::MalformedEnvironment);
        }
        self.instance_name(class, environment).map_err(|error| CallError::Expansion(error.to_string()))
    }

    fn known(&self, class: &str, instance: &str) -> Result<u64, CallError> {
        let record = self.state.classes.get(class).ok_or_else(|| CallError::UnknownJob(class.into()))?;
        record.instances.get(instance).copied().ok_or_else(|| CallError::UnknownInstance(instance.into()))
    }

    fn start(&mut self, caller: &Caller, number: u64, given: Option<Vec<String>>, waits: Option<Wait>) -> Replied {
        if let Some(running) = self.state.instances.get(&number).filter(|instance| instance.goal != Goal::Stop) {
            return Err(CallError::AlreadyStarted(running.title()));
        }
        if let Some(given) = given {
            self.commit(Change::StartGiven { instance: number, given, files: Vec::new() });
        }
        self.turn_for(caller, number, Goal::Start, waits)
    }

    fn stop(&mut self, caller: &Caller, number: u64, environment: Vec<String>, wait: bool) -> Replied {
        if let Some(stopped) = self.state.instances.get(&number).filter(|instance| instance.goal == Goal::Stop) {
            return Err(CallError::AlreadyStopped(stopped.title()));
        }
        self.commit(Change::StopGiven { instance: number, environment });
        self.turn_for(caller, number, Goal::Stop, wait.then_some(Wait::Stop))
    }

    fn restart(&mut self, caller: &Caller, number: u64, given: Option<Vec<String>>, waits: Option<Wait>) -> Replied {
        if let Some(stopped) = self.state.instances.get(&number).filter(|instance| instance.goal == Goal::Stop) {
            return Err(CallError::AlreadyStopped(stopped.title()));
        }
        if let Some(given) = given {
            self.commit(Change::StartGiven { instance: number, given, files: Vec::new() });
        }
        self.commit(Change::StopGiven { instance: number, environment: Vec::new() });
        self.turn_for(caller, number, Goal::Respawn, waits)
    }

    /// Turns the goal for a caller, who may wait for what comes of it.
    fn turn_for(&mut self, caller: &Caller, number: u64, goal: Goal, waits: Option<Wait>) -> Replied {
        self.finish(number, false);
        if let Some(wait) = waits {
            self.commit(Change::CallerAttached { instance: number, caller: caller.clone(), wait });
        }
        self.change_goal(number, goal);
        Ok(waits.is_none().then_some(Answer::Done))
    }

    fn reload(&mut self, number: u64) -> Replied {
        let Some(instance) = self.state.instances.get(&number) else { return Ok(Some(Answer::Done)) };
        let Some(main) = instance.process(ProcessKind::Main).filter(|main| main.pid != 0) else {
            return Err(CallError::NotRunning(instance.title()));
        };
        let signal = self.state.class(&instance.class).map_or(crate::class::SIGHUP, |r| r.definition.reload_signal);
        self.signal(main.ticket, signal, false);
        Ok(Some(Answer::Done))
    }

    fn emit(
        &mut self,
        caller: &Caller,
        name: &str,
        environment: Vec<String>,
        wait: bool,
        file: Option<String>,
    ) -> Replied {
        if name.is_empty() {
            return Err(CallError::EmptyName);
        }
        if !environ::is_valid(&environment) {
            return Err(CallError::MalformedEnvironment);
        }
        self.queue_event_for(name, environment, None, wait.then(|| caller.clone()), file);
        Ok((!wait).then_some(Answer::Done))
    }

    /// Changes the table of one instance; or the global one, and with it those of all instances.
    fn change_tables(&mut self, job: Option<(String, String)>, change: impl Fn(&mut Table)) -> Replied {
        if !self.state.settings.is_session {
            return Err(CallError::EnvironmentOfSystem);
        }
        if let Some((class, name)) = job {
            let number = self.instance_of_table(&class, &name)?;
            self.change_table(number, &change);
            return Ok(Some(Answer::Done));
        }
        let mut table = self.state.environment.clone();
        change(&mut table);
        self.commit(Change::EnvironmentSet { table });
        let numbers: Vec<u64> = self.state.instances.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.change_table(number, &change));
        Ok(Some(Answer::Done))
    }

    fn change_table(&mut self, instance: u64, change: &impl Fn(&mut Table)) {
        let Some(found) = self.state.instances.get(&instance) else { return };
        let mut table = found.environment.clone();
        change(&mut table);
        if table != found.environment {
            self.commit(Change::InstanceEnvironmentSet { instance, table });
        }
    }

    fn reset_tables(&mut self, job: Option<(String, String)>) -> Replied {
        if !self.state.settings.is_session {
            return Err(CallError::EnvironmentOfSystem);
        }
        if let Some((class, name)) = job {
            let instance = self.instance_of_table(&class, &name)?;
            let table = self.environment_of_instance(instance);
            self.commit(Change::InstanceEnvironmentSet { instance, table });
        } else {
            let table = self.state.settings.base.clone();
            self.commit(Change::EnvironmentSet { table });
        }
        Ok(Some(Answer::Done))
    }

    fn instance_of_table(&mut self, class: &str, name: &str) -> Result<u64, CallError> {
        if self.state.class(class).is_none() {
            self.log(Priority::Debug, || format!("environment of unknown job {class}"));
        }
        crate::query::instance_for_environment(self.state, class, name)
    }
}

/// An answer to be given now, or none if the caller waits.
type Replied = Result<Option<Answer>, CallError>;

/// What set-env does to a table. An entry without `=` takes nothing away and adds an empty value only if it is new.
fn set_entries(table: &mut Table, entries: &[String], replace: bool) {
    for entry in entries {
        let (key, value) = environ::split(entry);
        if key.is_empty() || (!replace && environ::get(table, key).is_some()) {
            continue;
        }
        environ::put(table, key, value.unwrap_or(""));
    }
}
