//! The turn: an input decided, journaled, performed, in this order, over whatever world there is.
//!
//! The program's world is [`crate::init`]; the simulator has another one, so that what is tried there by the million is
//! this very code. Knows the order of things. Must never know descriptors, files or threads.

use std::io;

use journal::{Log, Storage};
use keeper::protocol::{Entry, Reason, ToKeeper, ToManager};
use machine::Outcome;
use machine::change::Change;
use machine::class::Class;
use machine::effect::{Announcement, Caller, Effect, Priority};
use machine::input::{Call, Input, RollCall, Settings};
use machine::state::State;
use record::{Origin, Stamp, Who};

use crate::resume::{Recovery, Resumed};
use crate::translate;

/// So many changes, and effects, of a turn the next one finds room for.
const KEPT_ROOM: usize = 64;

/// So many announcements that are out may stay without a note of it while there is other work. A manager that comes back
/// after a crash makes them once more.
const UNNOTED: u64 = 64;

/// What a manager knows: the state, and the journal from which the next one will have it.
pub struct Memory<S: Storage> {
    /// The state after all turns so far.
    pub state: State,
    /// The journal; none if there can be none, and init goes on without.
    pub journal: Option<Log<S>>,
    /// Whether the journal does not say what the state is: a turn is missing from it, or something is too much.
    is_degraded: bool,
    /// For assembling frames; nothing in it outlives a turn.
    frame: Vec<u8>,
    /// For what comes of turns; empty between them.
    outcome: Outcome,
    /// The first and the last announcement that were made, and are not noted as out yet.
    unnoted: Option<(u64, u64)>,
    /// More turns come at once: what this one announces leaves with what they do.
    is_together: bool,
}

impl<S: Storage> Memory<S> {
    /// What recovery has found.
    #[must_use]
    pub fn of(resumed: Resumed<S>) -> (Self, Recovery) {
        let Resumed { state, journal, recovery } = resumed;
        let is_degraded = recovery.needs_checkpoint;
        let (frame, outcome) = (Vec::new(), Outcome::default());
        (Self { state, journal, is_degraded, frame, outcome, unnoted: None, is_together: false }, recovery)
    }

    /// Goes on with another journal, which has the state.
    pub fn renew(&mut self, journal: Log<S>) {
        self.journal = Some(journal);
        self.is_degraded = false;
    }

    /// Whether there is something for [`Turn::note`].
    #[must_use]
    pub fn has_to_note(&self) -> bool {
        self.unnoted.is_some()
    }

    /// There is no journal that can be written; whether that is news.
    pub fn degrade(&mut self) -> bool {
        !std::mem::replace(&mut self.is_degraded, true)
    }
}

/// What surrounds a manager, as far as its turns touch it. Nothing here may wait.
///
/// Errors of any of these mean that this manager cannot go on; the keeper will start another.
pub trait World {
    /// Where the journal is.
    type Storage: Storage;

    /// What the turns work on.
    fn memory(&mut self) -> &mut Memory<Self::Storage>;

    /// Time since boot in milliseconds, with the time of suspend (`CLOCK_BOOTTIME`).
    fn now_ms(&self) -> u64;

    /// Now, by both clocks, to be written down beside a turn; nothing is decided by it.
    fn stamp(&self) -> Stamp {
        let boot_us = self.now_ms() * 1000;
        Stamp { boot_us, wall_us: boot_us }
    }

    /// Who makes a call, to be written down beside its turn.
    fn who(&self, _caller: &Caller) -> Option<Who> {
        None
    }

    /// Says something to the keeper, in order.
    ///
    /// # Errors
    /// When the keeper is gone.
    fn send(&mut self, message: ToKeeper) -> io::Result<()>;

    /// Has the keeper start the process of a ticket, now or as soon as all is known that it takes. It is the keeper, too,
    /// that says when it cannot be started: only it knows whether an earlier manager has asked for the same.
    ///
    /// # Errors
    /// When the keeper is gone.
    fn spawn(&mut self, ticket: u64) -> io::Result<()>;

    /// Tells whoever listens; the number is that of the announcement.
    fn announce(&mut self, number: u64, announcement: &Announcement);

    /// The announcements so far are to leave now, as far as there is room for them.
    fn push(&mut self);

    /// Of the announcements up to this one, up to which all are out.
    fn performed(&mut self, through: u64) -> u64;

    /// The call is in the journal: it may be taken from where it came from.
    fn done(&mut self, caller: &Caller);

    /// A descriptor held under this name is not needed any longer; the keeper is told, too.
    fn let_go(&mut self, name: &str);

    /// The keeper is to execute itself anew, after this turn.
    fn reexecute(&mut self);

    /// Whether this is process 1 of a container, which ends when it is told to.
    fn in_container(&self) -> bool {
        false
    }

    /// The session or container is over, with this status, after this turn.
    fn finish(&mut self, status: u8);

    /// The job directories are to be looked at again.
    fn rescan(&mut self);

    /// What the job files say, read anew: for a recovery without a journal.
    fn job_files(&mut self) -> Vec<Class>;

    /// A signal to init that the machine does not know (SIGUSR1): the bus may be there now.
    fn reconnect_bus(&mut self);

    /// All that the manager before has started is known by now.
    fn adopt(&mut self);

    /// A turn is over, after so many microseconds.
    fn took(&mut self, _took_us: u64) {}

    /// A message about the manager itself.
    fn report(&mut self, priority: Priority, text: &str);
}

/// What a new manager finds, besides the journal.
#[derive(Debug)]
pub struct Arrival {
    /// Why it was started.
    pub reason: Reason,
    /// What it was started with.
    pub settings: Settings,
    /// The keeper's table.
    pub entries: Vec<Entry>,
    /// The highest number that the keeper has been given for a ticket or a signal request.
    pub highest_number: u64,
    /// Connections that have outlived the manager before.
    pub connections: Vec<u64>,
    /// Names of descriptors held for events.
    pub files: Vec<String>,
    /// The log priority of its command line.
    pub log_priority: Option<Priority>,
}

/// The turns themselves.
pub trait Turn: World {
    /// One turn. What it announces is out when this returns (but see [`Turn::together`]), and is noted as such when there is
    /// nothing better to do ([`Turn::note`]), or when it has become much.
    ///
    /// # Errors
    /// As the world's.
    fn take(&mut self, input: Input) -> io::Result<()> {
        let begin_us = self.stamp().boot_us;
        let origin = Origin::of(&input, |caller| self.who(caller));
        carry_out(self, input, &origin)?;
        let memory = self.memory();
        if memory.unnoted.is_some_and(|(first, last)| last - first >= UNNOTED) {
            self.note()?;
        } else if !memory.is_together {
            self.push();
        }
        self.took(self.stamp().boot_us.saturating_sub(begin_us));
        Ok(())
    }

    /// Several turns, because several things have happened by now: what they announce leaves together.
    ///
    /// # Errors
    /// As those of the turns.
    fn together(&mut self, turns: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.memory().is_together = true;
        let result = turns(self);
        self.memory().is_together = false;
        result?;
        self.push();
        Ok(())
    }

    /// The small turn that notes which announcements are out, so that they are not made again after a crash. Every one of them
    /// has its note before this manager sleeps, or ends in peace.
    ///
    /// # Errors
    /// As the world's.
    fn note(&mut self) -> io::Result<()> {
        let Some((_, last)) = self.memory().unnoted.take() else { return Ok(()) };
        self.push();
        let through = self.performed(last);
        carry_out(self, Input::Performed(through), &Origin::Performed)?;
        self.push();
        Ok(())
    }

    /// The first turns of a manager: what it was told, and what the keeper knows.
    ///
    /// # Errors
    /// As the world's.
    fn take_over(&mut self, arrival: Arrival, recovery: &Recovery) -> io::Result<()> {
        self.take(Input::Settings(Box::new(arrival.settings)))?;
        // With the journal lost, or its newest frames, the roll call needs the job files to recognize what runs.
        let classes = if recovery.has_lost() { self.job_files() } else { Vec::new() };
        let call = RollCall {
            is_restart: arrival.reason != Reason::Boot,
            reason: recovery.reason.clone(),
            entries: arrival.entries.into_iter().map(translate::entry).collect(),
            highest_number: arrival.highest_number,
            connections: arrival.connections,
            files: arrival.files,
            classes,
        };
        self.take(Input::RollCall(call))?;
        if self.memory().state.log_priority() == Priority::Message
            && let Some(priority) = arrival.log_priority
        {
            self.take(Input::LogPriority(priority))?;
        }
        self.adopt();
        self.send(ToKeeper::Ready)
    }

    /// The first look at the job directories is over: what has no file any more goes, and the first start begins.
    ///
    /// # Errors
    /// As the world's.
    fn settle_job_files(&mut self, has_file: impl Fn(&str) -> bool, event: Option<String>) -> io::Result<()> {
        let names: Vec<String> = self.memory().state.classes().map(|(name, _)| name.to_owned()).collect();
        for name in names.into_iter().filter(|name| !has_file(name)) {
            self.take(Input::Remove(name))?;
        }
        self.take(Input::Startup(event))
    }

    /// The keeper has said something.
    ///
    /// # Errors
    /// As the world's.
    fn hear(&mut self, message: ToManager) -> io::Result<()> {
        match message {
            ToManager::Ping { number } => self.send(ToKeeper::Pong { number }),
            ToManager::Signal { signal, .. } => {
                match translate::signal(signal, self.in_container()) {
                    Some(signal) => self.take(Input::Signal(signal))?,
                    None => self.reconnect_bus(),
                }
                self.send(ToKeeper::SignalTaken { signal })
            }
            message => match translate::input(message) {
                Some(input) => self.take(input),
                None => Ok(()),
            },
        }
    }

    /// A call that changes something; it is taken from its connection when what it led to is in the journal.
    ///
    /// # Errors
    /// As the world's.
    fn answer(&mut self, caller: &Caller, call: Call) -> io::Result<()> {
        self.take(Input::Call(caller.clone(), call))?;
        self.done(caller);
        Ok(())
    }
}

impl<W: World> Turn for W {}

/// One input, all the way; but what it announces has still to leave.
fn carry_out<W: World + ?Sized>(world: &mut W, input: Input, origin: &Origin) -> io::Result<()> {
    let now_ms = world.now_ms();
    let memory = world.memory();
    let mut outcome = std::mem::take(&mut memory.outcome);
    machine::turn_into(&mut memory.state, now_ms, input, &mut outcome);
    record(world, origin, &outcome.changes);
    perform(world, &outcome.effects)?;
    outcome.changes.clear();
    outcome.changes.shrink_to(KEPT_ROOM);
    outcome.effects.clear();
    outcome.effects.shrink_to(KEPT_ROOM);
    world.memory().outcome = outcome;
    Ok(())
}

/// Promise 1: changes are in the journal before anything is done about them.
fn record<W: World + ?Sized>(world: &mut W, origin: &Origin, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let stamp = world.stamp();
    let memory = world.memory();
    let Memory { state, journal: Some(journal), is_degraded, frame, .. } = memory else { return };
    frame.clear();
    let encoded = record::encode_turn(stamp, origin, changes, frame).map_err(|error| error.to_string());
    let mut appended = match encoded {
        // Behind a hole, or behind what was not believed, a frame would make a wrong state.
        Ok(()) if *is_degraded => Err("a checkpoint is needed".into()),
        Ok(()) => journal.append(frame).map(drop).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let mut complaint = None;
    if appended.is_err() || journal.wants_checkpoint() {
        // The state is that after these changes, so a checkpoint stands for the frame, too.
        let checkpoint = record::encode_state(state).map_err(|error| error.to_string());
        let written = checkpoint.and_then(|bytes| journal.checkpoint(&bytes).map_err(|error| error.to_string()));
        if appended.is_err() {
            appended = written;
        } else if let Err(error) = written {
            complaint = Some((Priority::Warn, format!("journal: no checkpoint: {error}")));
        }
    }
    match appended {
        Ok(()) if *is_degraded => {
            *is_degraded = false;
            complaint = Some((Priority::Warn, "journal: there is room again; crash safety is back".into()));
        }
        Err(error) if !*is_degraded => {
            *is_degraded = true;
            let text = format!("journal: {error}; going on without, a crash from here on loses what jobs were doing");
            complaint = Some((Priority::Error, text));
        }
        Ok(()) | Err(_) => {}
    }
    if let Some((priority, text)) = complaint {
        world.report(priority, &text);
    }
}

/// Does what was decided. What the keeper is to do comes first, because a process takes the longest; what is only told comes
/// after it, and last what nobody waits for.
fn perform<W: World + ?Sized>(world: &mut W, effects: &[Effect]) -> io::Result<()> {
    for effect in effects {
        match effect {
            Effect::Spawn(ticket) => world.spawn(*ticket)?,
            &Effect::Signal { ticket, request, signal, whole_group } => {
                world.send(ToKeeper::Signal { ticket, request, signal, whole_group })?;
            }
            Effect::Settle(ticket) => world.send(ToKeeper::Settle { ticket: *ticket })?,
            Effect::Release(name) => {
                world.let_go(name);
                world.send(ToKeeper::Release { name: name.clone() })?;
            }
            Effect::Reexecute => world.reexecute(),
            Effect::Exit(status) => world.finish(*status),
            Effect::Rescan => world.rescan(),
            Effect::Announce(..) | Effect::Acknowledge(_) | Effect::LogPriority(_) => {}
        }
    }
    for effect in effects {
        if let &Effect::Announce(number, ref announcement) = effect {
            world.announce(number, announcement);
            let unnoted = &mut world.memory().unnoted;
            *unnoted = Some((unnoted.map_or(number, |(first, _)| first), number));
        }
    }
    for effect in effects {
        if let Effect::Acknowledge(ticket) = effect {
            world.send(ToKeeper::Acknowledge { ticket: *ticket })?;
        }
    }
    Ok(())
}
