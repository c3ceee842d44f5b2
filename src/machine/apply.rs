//! The one way in which the state changes.
//!
//! `apply` is total: whatever the change says, it neither panics nor fails. A change that refers to something that is not
//! there changes nothing; that can only come from a journal that was cut in the middle by a repair, and the roll call then
//! tells the truth about processes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::change::Change;
use crate::condition::Progress;
use crate::effect::{Effect, Effects};
use crate::event::{self, Event};
use crate::job::{Goal, Instance, JobState, Process, SignalRequest};
use crate::state::{ClassRecord, Pending, State, Stray, Task};

/// Of what others say, numbers above this one are none that were ever handed out: at a thousand million a second it takes
/// a hundred years to come here. Who believed one that is damaged would soon have no number left that comes only once.
pub(crate) const HIGHEST_NUMBER: u64 = 1 << 62;

impl State {
    /// Makes a change true; what is to be done about it is added to `effects` (in replay, to [`Nobody`]).
    pub fn apply(&mut self, change: &Change, effects: &mut impl Effects) {
        match change {
            Change::Settled(settings) => self.settle(settings),
            Change::Booted => self.has_booted = true,
            Change::Restarted { generation } => self.generation = *generation,
            Change::Performed { through } => {
                while self.outbox.front().is_some_and(|(number, _)| number <= through) {
                    self.outbox.pop_front();
                }
            }
            Change::EnvironmentSet { table } => self.environment.clone_from(table),
            Change::LogPrioritySet(priority) => {
                self.log_priority = *priority;
                effects.add(|| Effect::LogPriority(*priority));
            }
            Change::CallTaken(caller) => {
                self.connections.insert(caller.connection, caller.clone());
                self.last_connection = self.last_connection.max(caller.connection);
            }
            Change::ConnectionEnded { connection } => self.forget_connection(*connection),
            Change::Announced(announcement) => {
                let number = self.next_announcement;
                self.next_announcement += 1;
                self.outbox.push_back((number, announcement.clone()));
                effects.add(|| Effect::Announce(number, announcement.clone()));
            }
            Change::SessionEnding { deadline_ms } => self.ending = Some(*deadline_ms),
            Change::ReexecRequested => effects.add(|| Effect::Reexecute),
            Change::StrayNoted { ticket, pid, label } => {
                self.hear_of(*ticket);
                self.strays.insert(*ticket, Stray { pid: *pid, label: label.clone() });
            }
            Change::StrayEnded { ticket } => {
                self.hear_of(*ticket);
                self.strays.remove(ticket);
                effects.add(|| Effect::Acknowledge(*ticket));
            }
            Change::StrayAdopted { ticket } => {
                self.strays.remove(ticket);
            }
            Change::TaskTaken => {
                self.agenda.pop_front();
            }
            Change::NumberSeen { number } => self.hear_of(*number),
            _ => self.apply_to_class(change, effects),
        }
    }

    fn apply_to_class(&mut self, change: &Change, effects: &mut impl Effects) {
        match change {
            Change::ClassDefined(class) => self.define(class.as_ref().clone()),
            Change::ClassReplaced(class) => self.set_pending(&class.name, Some(Pending::Replacement(class.clone()))),
            Change::ClassDoomed { class } => self.set_pending(class, Some(Pending::Removal)),
            Change::ClassKept { class } => self.set_pending(class, None),
            Change::ClassRemoved { class } => {
                self.remove_class(class);
            }
            Change::StartMatched { class, node, event } => {
                if let Some(held) = self.classes.get_mut(class).and_then(|record| slot(&mut record.start_on, *node)) {
                    *held = Some(*event);
                    self.hold(*event);
                }
            }
            Change::StartReset { class } => {
                if let Some(record) = self.classes.get_mut(class) {
                    let anew = Progress::of(record.definition.start_on.as_ref());
                    let old = core::mem::replace(&mut record.start_on, anew);
                    self.release(old);
                }
            }
            _ => self.apply_to_event(change, effects),
        }
    }

    fn apply_to_event(&mut self, change: &Change, effects: &mut impl Effects) {
        match change {
            Change::EventQueued { event, name, environment, releases, caller, file } => {
                self.see(*event);
                self.events.insert(
                    *event,
                    Box::new(Event {
                        name: name.clone(),
                        environment: environment.clone(),
                        progress: event::Progress::Pending,
                        blockers: 0,
                        failed: false,
                        releases: *releases,
                        caller: caller.clone(),
                        file: file.clone(),
                    }),
                );
                self.agenda.push_back(Task::Handle(*event));
            }
            Change::EventHandled { event } => {
                if let Some(found) = self.events.get_mut(event) {
                    found.progress = event::Progress::Handling;
                    if found.blockers == 0 {
                        // Before anything else: nobody waits for it, and events end in the order in which they came.
                        self.agenda.push_front(Task::Finish(*event));
                    }
                }
            }
            Change::EventFailed { event } => {
                if let Some(found) = self.events.get_mut(event) {
                    found.failed = true;
                }
            }
            Change::EventFinished { event } => {
                let Some(gone) = self.events.remove(event) else { return };
                if let Some(file) = gone.file {
                    for instance in self.instances.values_mut() {
                        instance.files.retain(|held| *held != file);
                    }
                    effects.add(|| Effect::Release(file));
                }
                let waiting =
                    gone.releases.and_then(|number| self.instances.get_mut(&number).map(|found| (number, found)));
                if let Some((number, instance)) = waiting.filter(|(_, found)| found.blocked_by == Some(*event)) {
                    instance.blocked_by = None;
                    self.agenda.push_back(Task::Advance(number));
                }
            }
            _ => self.apply_to_instance(change, effects),
        }
    }

    fn apply_to_instance(&mut self, change: &Change, effects: &mut impl Effects) {
        match change {
            Change::InstanceCreated { instance, class, name } => self.create(*instance, class, name),
            Change::InstanceDestroyed { instance } => self.destroy(*instance),
            Change::StopMatched { instance, node, event } => {
                if let Some(held) = self.instances.get_mut(instance).and_then(|i| slot(&mut i.stop_on, *node)) {
                    *held = Some(*event);
                    self.hold(*event);
                }
            }
            Change::StopReset { instance } => {
                if let Some(found) = self.instances.get_mut(instance) {
                    let anew = Progress { held: alloc::vec![None; found.stop_on.held.len()] };
                    let old = core::mem::replace(&mut found.stop_on, anew);
                    self.release(old);
                }
            }
            Change::EventAttached { instance, event } => {
                if let Some(found) = self.instances.get_mut(instance) {
                    found.blocks.push(*event);
                    self.hold(*event);
                }
            }
            Change::Detached { instance } => {
                if let Some(found) = self.instances.get_mut(instance) {
                    found.callers.clear();
                    let events = core::mem::take(&mut found.blocks);
                    events.into_iter().for_each(|event| self.let_go(event));
                }
            }
            Change::DeadlineSet { instance, deadline_ms } => {
                if let Some(found) = self.instances.get_mut(instance) {
                    if let Some(old) = found.deadline_ms {
                        self.index.deadlines.remove(&(old, *instance));
                    }
                    found.deadline_ms = *deadline_ms;
                    self.index.deadlines.extend(deadline_ms.map(|deadline| (deadline, *instance)));
                }
            }
            Change::ProcessRequested { instance, kind, ticket, awaits } => {
                self.see(*ticket);
                // Known already only where a piece of the journal is lost.
                self.forget_process(*ticket);
                if let Some(found) = self.instances.get_mut(instance) {
                    self.index.tickets.insert(*ticket, *instance);
                    let (pid, start_time_ticks) = (0, 0);
                    let process = Process {
                        kind: *kind,
                        ticket: *ticket,
                        pid,
                        start_time_ticks,
                        awaits: *awaits,
                        signals: Vec::new(),
                    };
                    found.processes.push(process);
                    // A stray that is adopted runs already.
                    if !self.strays.contains_key(ticket) {
                        effects.add(|| Effect::Spawn(*ticket));
                    }
                }
            }
            Change::ProcessEnded { ticket } => {
                self.forget_process(*ticket);
                effects.add(|| Effect::Acknowledge(*ticket));
            }
            Change::ProcessSpawned { .. }
            | Change::ProcessForked { .. }
            | Change::SignalRequested { .. }
            | Change::SignalConfirmed { .. } => self.apply_to_process(change, effects),
            _ => {
                if let Some(found) = instance_of(change).and_then(|number| self.instances.get_mut(&number)) {
                    apply_within(found, change);
                }
            }
        }
    }

    fn apply_to_process(&mut self, change: &Change, effects: &mut impl Effects) {
        match change {
            Change::ProcessSpawned { ticket, pid, start_time_ticks } => {
                if let Some(process) = self.process_mut(*ticket) {
                    (process.pid, process.start_time_ticks) = (*pid, *start_time_ticks);
                }
            }
            Change::ProcessForked { ticket, pid, start_time_ticks, awaits } => {
                if let Some(process) = self.process_mut(*ticket) {
                    (process.pid, process.start_time_ticks) = (*pid, *start_time_ticks);
                    process.awaits = *awaits;
                }
            }
            Change::SignalRequested { ticket, request, signal, whole_group } => {
                self.see(*request);
                if let Some(process) = self.process_mut(*ticket) {
                    let (ticket, request, signal, whole_group) = (*ticket, *request, *signal, *whole_group);
                    // One that is pending already does not come twice (signal(7)), and so they never become many.
                    let is_same = |old: &SignalRequest| (old.signal, old.whole_group) == (signal, whole_group);
                    process.signals.retain(|old| !old.confirmed && !is_same(old));
                    process.signals.push(SignalRequest { request, signal, whole_group, confirmed: false });
                    effects.add(|| Effect::Signal { ticket, request, signal, whole_group });
                }
            }
            Change::SignalConfirmed { ticket, request } => {
                if let Some(process) = self.process_mut(*ticket) {
                    process.signals.iter_mut().for_each(|signal| signal.confirmed |= signal.request <= *request);
                    let confirmed = process.signals.iter().take_while(|signal| signal.confirmed).count();
                    process.signals.drain(..confirmed.min(process.signals.len().saturating_sub(1)));
                }
            }
            _ => {}
        }
    }

    /// Never hand out this number again.
    fn see(&mut self, number: u64) {
        self.next_id = self.next_id.max(number.saturating_add(1));
    }

    /// Somebody else says that this number was handed out.
    fn hear_of(&mut self, number: u64) {
        if number <= HIGHEST_NUMBER {
            self.see(number);
        }
    }

    fn settle(&mut self, settings: &crate::input::Settings) {
        if !self.has_booted {
            self.environment.clone_from(&settings.base);
        }
        self.settings = settings.clone();
    }

    fn define(&mut self, class: crate::class::Class) {
        let record = ClassRecord {
            start_on: Progress::of(class.start_on.as_ref()),
            pending: None,
            instances: alloc::collections::BTreeMap::new(),
            definition: class,
        };
        let name = record.definition.name.clone();
        self.remove_class(&name);
        self.index.add_class(&record.definition);
        self.classes.insert(name, record);
    }

    /// A class goes; and its instances, of which there are none but where a piece of the journal is lost.
    fn remove_class(&mut self, class: &str) {
        let instances = self.classes.get(class).map(|record| record.instances.values().copied().collect::<Vec<_>>());
        instances.into_iter().flatten().for_each(|number| self.destroy(number));
        if let Some(record) = self.classes.remove(class) {
            self.index.remove_class(&record.definition);
            self.release(record.start_on);
        }
    }

    fn set_pending(&mut self, class: &str, pending: Option<Pending>) {
        if let Some(record) = self.classes.get_mut(class) {
            record.pending = pending;
        }
    }

    fn create(&mut self, number: u64, class: &str, name: &str) {
        self.see(number);
        let namesake = self.classes.get(class).and_then(|record| record.instances.get(name).copied());
        // Neither is there but where a piece of the journal is lost.
        [Some(number), namesake].into_iter().flatten().for_each(|old| self.destroy(old));
        let Some(record) = self.classes.get_mut(class) else { return };
        record.instances.insert(name.into(), number);
        self.index.add_instance(number, &record.definition);
        let instance = Instance {
            class: class.into(),
            name: name.into(),
            goal: Goal::Stop,
            state: JobState::Waiting,
            given: Vec::new(),
            next_given: None,
            environment: Vec::new(),
            stop_environment: Vec::new(),
            stop_on: Progress::of(record.definition.stop_on.as_ref()),
            blocks: Vec::new(),
            blocked_by: None,
            callers: Vec::new(),
            processes: Vec::new(),
            failure: None,
            respawns: (0, 0),
            deadline_ms: None,
            files: Vec::new(),
        };
        self.instances.insert(number, Box::new(instance));
    }

    fn destroy(&mut self, number: u64) {
        let Some(gone) = self.instances.remove(&number) else { return };
        if let Some(record) = self.classes.get_mut(&*gone.class) {
            record.instances.remove(&*gone.name);
            self.index.remove_instance(number, &record.definition);
        }
        if let Some(deadline) = gone.deadline_ms {
            self.index.deadlines.remove(&(deadline, number));
        }
        for process in &gone.processes {
            self.index.tickets.remove(&process.ticket);
        }
        self.release(gone.stop_on);
        gone.blocks.into_iter().for_each(|event| self.let_go(event));
    }

    fn forget_connection(&mut self, connection: u64) {
        self.connections.remove(&connection);
        for instance in self.instances.values_mut() {
            instance.callers.retain(|(caller, _)| caller.connection != connection);
        }
        for event in self.events.values_mut() {
            event.caller.take_if(|caller| caller.connection == connection);
        }
    }

    /// One more holds this event.
    fn hold(&mut self, event: u64) {
        if let Some(found) = self.events.get_mut(&event) {
            found.blockers += 1;
        }
    }

    /// One fewer holds this event; the last one has it finished.
    fn let_go(&mut self, event: u64) {
        if let Some(found) = self.events.get_mut(&event) {
            found.blockers = found.blockers.saturating_sub(1);
            if found.blockers == 0 && found.progress == event::Progress::Handling {
                self.agenda.push_back(Task::Finish(event));
            }
        }
    }

    fn release(&mut self, progress: Progress) {
        progress.events().for_each(|event| self.let_go(event));
    }

    fn forget_process(&mut self, ticket: u64) {
        if let Some(found) = self.index.tickets.remove(&ticket).and_then(|number| self.instances.get_mut(&number)) {
            found.processes.retain(|process| process.ticket != ticket);
        }
    }

    fn process_mut(&mut self, ticket: u64) -> Option<&mut Process> {
        let number = *self.index.tickets.get(&ticket)?;
        self.instances.get_mut(&number)?.processes.iter_mut().find(|process| process.ticket == ticket)
    }
}

/// Changes that concern one instance and nothing else.
fn apply_within(instance: &mut Instance, change: &Change) {
    match change {
        Change::InstanceEnvironmentSet { table, .. } => instance.environment.clone_from(table),
        Change::StartGiven { given, files, .. } => {
            instance.next_given = Some(given.clone());
            instance.files.clone_from(files);
        }
        Change::StopGiven { environment, .. } => instance.stop_environment.clone_from(environment),
        Change::GoalChanged { goal, .. } => instance.goal = *goal,
        Change::StateChanged { state, .. } => instance.state = *state,
        Change::Begun { environment, .. } => {
            if let Some(given) = instance.next_given.take() {
                instance.given = given;
            }
            instance.environment.clone_from(environment);
            instance.stop_environment.clear();
            instance.failure = None;
        }
        Change::Blocked { event, .. } => instance.blocked_by = Some(*event),
        Change::CallerAttached { caller, wait, .. } => instance.callers.push((caller.clone(), *wait)),
        Change::Unblocked { .. } => instance.blocked_by = None,
        Change::Failed { failure, .. } => instance.failure = Some(*failure),
        Change::Respawned { since_ms, count, .. } => instance.respawns = (*since_ms, *count),
        _ => {}
    }
}

/// The instance that a change of [`apply_within`] is about.
fn instance_of(change: &Change) -> Option<u64> {
    match change {
        Change::InstanceEnvironmentSet { instance, .. }
        | Change::StartGiven { instance, .. }
        | Change::StopGiven { instance, .. }
        | Change::GoalChanged { instance, .. }
        | Change::StateChanged { instance, .. }
        | Change::Begun { instance, .. }
        | Change::Blocked { instance, .. }
        | Change::CallerAttached { instance, .. }
        | Change::Failed { instance, .. }
        | Change::Unblocked { instance }
        | Change::Respawned { instance, .. } => Some(*instance),
        _ => None,
    }
}

fn slot(progress: &mut Progress, node: u32) -> Option<&mut Option<u64>> {
    progress.held.get_mut(usize::try_from(node).ok()?)
}
