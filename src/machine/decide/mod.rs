//! From an input to changes: all policy is here and below.
//!
//! Decisions read the state and commit changes; a change is true from the moment it is committed, so each step sees what
//! the one before it decided. Nothing here may touch the state in any other way (its fields are out of reach, but for
//! reading), and nothing here is run in replay.

mod call;
mod event;
mod instance;
mod process;
mod roll_call;
mod session;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::change::Change;
use crate::class::Class;
use crate::effect::{Announcement, Effect, Priority};
use crate::input::{InitSignal, Input};
use crate::state::{Pending, State, Task};

/// How many tasks of the agenda one turn may do. Jobs can start each other in a circle for ever; what is left over is
/// done in the next turn, so that such jobs slow init down but never stop it.
const TASKS_PER_TURN: usize = 256;

/// What came of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// To be journaled, as one frame, before any effect is performed. They are already applied.
    pub changes: Vec<Change>,
    /// To be performed, in this order.
    pub effects: Vec<Effect>,
}

/// One turn: decides what an input means, applies it, and does what is on the agenda.
///
/// `now_ms` is the time since boot (`CLOCK_BOOTTIME`). It must not go back between turns.
pub fn turn(state: &mut State, now_ms: u64, input: Input) -> Outcome {
    let mut outcome = Outcome::default();
    turn_into(state, now_ms, input, &mut outcome);
    outcome
}

/// The same; what came of it is put behind what is there. Who has many turns keeps the room for it.
pub fn turn_into(state: &mut State, now_ms: u64, input: Input, outcome: &mut Outcome) {
    // Before the roll call nothing goes on: what the manager before has not told comes first, or it would count as told with what
    // is told now.
    let is_before_roll_call = matches!(input, Input::Settings(_));
    let mut turn = Turn { state, now_ms, outcome };
    turn.take(input);
    if is_before_roll_call {
        return;
    }
    for _ in 0..TASKS_PER_TURN {
        let Some(task) = turn.state.agenda.front().copied() else { break };
        turn.commit(Change::TaskTaken);
        match task {
            Task::Handle(event) => turn.handle(event),
            Task::Finish(event) => turn.finish_event(event),
            Task::Advance(instance) => turn.advance(instance),
        }
    }
    turn.end_if_over();
}

/// A turn under way.
pub(crate) struct Turn<'a> {
    state: &'a mut State,
    now_ms: u64,
    outcome: &'a mut Outcome,
}

impl Turn<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Settings(settings) => {
                if self.state.settings != *settings {
                    self.commit(Change::Settled(settings));
                }
            }
            Input::RollCall(call) => self.hear_roll_call(&call),
            Input::Startup(event) => {
                if !self.state.has_booted {
                    self.commit(Change::Booted);
                    if let Some(name) = event {
                        self.queue_event(&name, Vec::new());
                    }
                }
            }
            Input::Define(class) => self.define(class),
            Input::Remove(class) => self.remove(class),
            Input::Call(caller, call) => self.call(caller, call),
            Input::Disconnected(connection) => {
                if self.state.connections.contains_key(&connection) {
                    self.commit(Change::ConnectionEnded { connection });
                }
            }
            Input::Spawned { ticket, pid, start_time_ticks } => {
                self.correct_process(ticket, pid, start_time_ticks);
                self.process_spawned(ticket, pid, start_time_ticks);
            }
            Input::SpawnFailed { ticket, reason } => self.process_failed_to_spawn(ticket, &reason),
            Input::Forked { ticket, pid, start_time_ticks, forks_left } => {
                self.process_forked(ticket, pid, start_time_ticks, forks_left);
            }
            Input::Stopped(ticket) => self.process_stopped(ticket),
            Input::Ready(ticket) => self.process_ready(ticket),
            Input::Exited { ticket, cause } => self.process_ended(ticket, cause),
            Input::Signalled { ticket, request } => {
                if self.state.process(ticket).is_some() {
                    self.commit(Change::SignalConfirmed { ticket, request });
                }
            }
            Input::Signal(signal) => self.init_signal(signal),
            Input::LogPriority(priority) => {
                if self.state.log_priority != priority {
                    self.commit(Change::LogPrioritySet(priority));
                }
            }
            Input::Performed(through) => {
                if self.state.outbox.front().is_some_and(|(number, _)| *number <= through) {
                    self.commit(Change::Performed { through });
                }
            }
            Input::Tick => self.tick(),
        }
    }

    /// Makes a change true and remembers it for the journal.
    fn commit(&mut self, change: Change) {
        self.state.apply(&change, &mut self.outcome.effects);
        self.outcome.changes.push(change);
    }

    /// An effect that needs no change: one that is performed again.
    fn again(&mut self, effect: Effect) {
        self.outcome.effects.push(effect);
    }

    fn announce(&mut self, announcement: Announcement) {
        self.commit(Change::Announced(Arc::new(announcement)));
    }

    /// A log line, if the priority is one that is logged.
    fn log(&mut self, priority: Priority, text: impl FnOnce() -> String) {
        if priority >= self.state.log_priority {
            self.announce(Announcement::Log(priority, text()));
        }
    }

    fn next_id(&self) -> u64 {
        self.state.next_id
    }

    pub(super) fn define(&mut self, class: Box<Class>) {
        let name = class.name.clone();
        match self.state.classes.get(&name) {
            None => {
                self.commit(Change::ClassDefined(class));
                self.announce(Announcement::JobAdded(name));
            }
            Some(record) if record.definition == *class => {
                if record.pending.is_some() {
                    self.commit(Change::ClassKept { class: name });
                }
            }
            Some(record) if record.instances.is_empty() => {
                self.announce(Announcement::JobRemoved(name.clone()));
                self.commit(Change::ClassDefined(class));
                self.announce(Announcement::JobAdded(name));
            }
            Some(record) => {
                if record.pending.as_ref() != Some(&Pending::Replacement(class.clone())) {
                    self.commit(Change::ClassReplaced(class));
                }
            }
        }
    }

    fn remove(&mut self, class: String) {
        match self.state.classes.get(&class) {
            None => {}
            Some(record) if record.instances.is_empty() => {
                self.commit(Change::ClassRemoved { class: class.clone() });
                self.announce(Announcement::JobRemoved(class));
            }
            Some(record) if record.pending == Some(Pending::Removal) => {}
            Some(_) => self.commit(Change::ClassDoomed { class }),
        }
    }

    fn init_signal(&mut self, signal: InitSignal) {
        let is_session = self.state.settings.is_session;
        match signal {
            InitSignal::Reload => self.again(Effect::Rescan),
            InitSignal::Terminate if is_session => self.end_session("shutdown"),
            InitSignal::Terminate => self.commit(Change::ReexecRequested),
            InitSignal::End => self.end_session("shutdown"),
            _ if is_session => {}
            InitSignal::ControlAltDelete => self.queue_event("control-alt-delete", Vec::new()),
            InitSignal::KeyboardRequest => self.queue_event("keyboard-request", Vec::new()),
            InitSignal::PowerStatusChanged => self.queue_event("power-status-changed", Vec::new()),
        }
    }
}
