//! The world around the machine: a journal in memory, a keeper without processes, a clock, clients; and crashes.
//!
//! Whatever is done in it, each turn is checked: its changes survive being encoded, replaying them gives the state that
//! life gave, and a checkpoint read back is that state too.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod invariants;
pub(crate) mod keeper;
pub(crate) mod print;
pub(crate) mod summary;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use machine::change::Change;
use machine::class::Class;
use machine::effect::{Announcement, Effect};
use machine::input::{Call, Input, RollCall, Settings};
use machine::spawn;
use machine::state::State;
use machine::{Outcome, turn};

use keeper::Keeper;

/// At which turn the manager crashes, and how far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    /// Number of the turn; none for every turn.
    pub turn: Option<usize>,
    /// How far it had come with it.
    pub stage: Stage,
    /// How many managers crash one after the other: the later ones when the roll call is in the journal, but nothing
    /// of what follows from it is done.
    pub times: usize,
}

/// How far a manager has come with a turn when it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The turn's frame is not in the journal.
    Decided,
    /// The frame is there, nothing else.
    Journaled,
    /// Half of the effects are performed.
    HalfPerformed,
    /// All effects are performed, but the keeper's answers were not heard.
    Performed,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] = [Self::Decided, Self::Journaled, Self::HalfPerformed, Self::Performed];
}

/// A manager, its journal and all around it.
pub(crate) struct World {
    /// What the manager knows.
    pub state: State,
    /// Frames of changes.
    pub journal: Vec<Vec<Change>>,
    pub keeper: Keeper,
    pub now_ms: u64,
    /// What happened, in lines for people.
    pub lines: Vec<String>,
    /// Everything that was told, by its number.
    pub told: BTreeMap<u64, Arc<Announcement>>,
    /// Descriptors that came with events and are held.
    pub files_held: Vec<String>,
    /// The job files.
    pub files: BTreeMap<String, Class>,
    /// Connections that exist.
    pub connections: Vec<u64>,
    /// No manager runs.
    pub is_away: bool,
    /// The keeper has exited.
    pub has_ended: bool,
    /// Turns begun.
    pub turns: usize,
    /// Turns at which a crash is worth a test, with their number of effects. Where only the outbox was emptied a crash is
    /// the same as at the end of the turn before.
    pub notable: Vec<(usize, usize)>,
    settings: Settings,
    startup: Option<Input>,
    inbox: VecDeque<Input>,
    /// Replays each frame as it comes, after it was encoded and decoded.
    shadow: State,
    crash: Option<Crash>,
    is_checked: bool,
    is_recovering: bool,
}

impl World {
    /// A world in which the first manager has just come up.
    pub(crate) fn new(settings: Settings, crash: Option<Crash>) -> Self {
        let mut world = Self {
            state: State::default(),
            journal: Vec::new(),
            keeper: Keeper::default(),
            now_ms: 10_000,
            lines: Vec::new(),
            told: BTreeMap::new(),
            files_held: Vec::new(),
            files: BTreeMap::new(),
            connections: Vec::new(),
            is_away: false,
            has_ended: false,
            turns: 0,
            notable: Vec::new(),
            settings,
            startup: None,
            inbox: VecDeque::new(),
            shadow: State::default(),
            crash,
            is_checked: crash.is_none(),
            is_recovering: false,
        };
        world.inbox.push_back(Input::Settings(Box::new(world.settings.clone())));
        world.inbox.push_back(Input::RollCall(RollCall::default()));
        world.settle();
        world
    }

    /// Something happens, and all that follows from it by itself. Without a manager only the world takes note.
    pub(crate) fn feed(&mut self, input: Input) {
        match &input {
            Input::Define(class) => drop(self.files.insert(class.name.clone(), class.as_ref().clone())),
            Input::Remove(class) => drop(self.files.remove(class)),
            Input::Startup(_) => self.startup = Some(input.clone()),
            Input::Call(caller, _) if !self.connections.contains(&caller.connection) => {
                self.connections.push(caller.connection);
            }
            Input::Disconnected(connection) => self.connections.retain(|other| other != connection),
            _ => {}
        }
        if !self.is_away || survives_in_a_queue(&input) {
            self.inbox.push_back(input);
        }
        self.settle();
    }

    /// Time passes; the manager wakes when it wanted to.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now_ms.saturating_add(ms);
        while let Some(deadline) = self.state.next_deadline_ms().filter(|deadline| *deadline <= until) {
            if self.is_away || self.has_ended {
                break;
            }
            self.now_ms = self.now_ms.max(deadline);
            self.feed(Input::Tick);
            if deadline == 0 {
                break;
            }
        }
        self.now_ms = until;
    }

    /// Takes turns until nothing is left to do but to wait. Jobs that go round in circles for ever are left at it.
    fn settle(&mut self) {
        const CIRCLES_MAX: usize = 3;
        let mut circles = 0;
        while !self.is_away && !self.has_ended {
            let has_agenda = self.state.next_deadline_ms() == Some(0);
            let input = match self.inbox.pop_front() {
                None if !has_agenda => break,
                input => input.unwrap_or(Input::Tick),
            };
            if has_agenda && matches!(input, Input::Tick | Input::Performed(_)) {
                circles += 1;
                if circles > CIRCLES_MAX {
                    break;
                }
            }
            self.take(input);
        }
    }

    /// One turn, or what a crash leaves of it.
    fn take(&mut self, input: Input) {
        let number = self.turns;
        self.turns += 1;
        if let Input::Call(caller, Call::Emit { file: Some(file), .. }) = &input
            && !self.state.was_taken(caller)
        {
            self.files_held.push(file.clone());
        }
        let is_hit = |crash: &Crash| crash.turn.map_or_else(|| self.is_news(&input), |turn| turn == number);
        let crash = self.crash.filter(|crash| !self.is_recovering && is_hit(crash));
        let Some(crash) = crash else {
            let is_notable = !matches!(input, Input::Performed(_));
            let outcome = self.turn(input);
            self.notable.extend(is_notable.then_some((number, outcome.effects.len())));
            self.perform(outcome.effects);
            return;
        };
        if crash.stage == Stage::Decided {
            self.crash_and_recover(crash.times, survives_in_a_queue(&input).then_some(input));
            return;
        }
        // A manager that dies between taking a call and removing it from the socket leaves it for the next one.
        let again = matches!(input, Input::Call(..)).then(|| input.clone());
        let outcome = self.turn(input);
        let performed = match crash.stage {
            Stage::Decided | Stage::Journaled => 0,
            Stage::HalfPerformed => outcome.effects.len() / 2,
            Stage::Performed => outcome.effects.len(),
        };
        let effects = outcome.effects.into_iter().take(performed).collect();
        self.is_recovering = true;
        self.perform(effects);
        self.is_recovering = false;
        if !self.has_ended {
            self.crash_and_recover(crash.times, again);
        }
    }

    /// Decides, journals, and checks that the journal tells the truth.
    fn turn(&mut self, input: Input) -> Outcome {
        let outcome = turn(&mut self.state, self.now_ms, input);
        self.journal.push(outcome.changes.clone());
        if self.is_checked {
            self.check(&outcome);
        }
        outcome
    }

    /// Whether an input is one that the manager has not seen yet, even if it crashes all the time.
    fn is_news(&self, input: &Input) -> bool {
        match input {
            Input::Call(caller, _) => !self.state.was_taken(caller),
            Input::Spawned { .. }
            | Input::SpawnFailed { .. }
            | Input::Forked { .. }
            | Input::Stopped(_)
            | Input::Exited { .. }
            | Input::Signalled { .. } => true,
            _ => false,
        }
    }

    fn check(&mut self, outcome: &Outcome) {
        for change in &outcome.changes {
            let bytes = encode(change);
            let read: Change = decode(&bytes);
            assert_eq!(&read, change, "a change is not the same after reading it back");
            self.shadow.apply(&read, &mut Vec::new());
        }
        assert_eq!(encode(&self.shadow), encode(&self.state), "replay differs from life");
        invariants::check(&self.state);
        let mut checkpoint: State = decode(&encode(&self.state));
        checkpoint.reindex();
        assert_eq!(format!("{checkpoint:?}"), format!("{:?}", self.state), "a checkpoint differs from life");
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut last_told = None;
        for effect in effects {
            if self.has_ended {
                return;
            }
            print::effect(self, &effect);
            match effect {
                Effect::Spawn(ticket) => {
                    if let Some(spawn) = spawn::describe(&self.state, ticket) {
                        let answers = self.keeper.spawn(spawn);
                        self.inbox.extend(answers);
                    }
                }
                Effect::Signal { ticket, request, signal, .. } => {
                    let answer = self.keeper.signal(ticket, request, signal);
                    self.inbox.push_back(answer);
                }
                Effect::Settle(ticket) => self.keeper.settle(ticket),
                Effect::Acknowledge(ticket) => self.keeper.acknowledge(ticket),
                Effect::Release(name) => self.files_held.retain(|held| *held != name),
                Effect::Announce(number, announcement) => {
                    last_told = Some(number);
                    let old = self.told.insert(number, announcement.clone());
                    assert!(old.is_none_or(|old| old == announcement), "announcement {number} is another one now");
                }
                Effect::Reexecute => {
                    self.inbox.retain(survives_in_a_queue);
                    self.crash_and_recover(1, None);
                    return;
                }
                Effect::Exit(_) => self.has_ended = true,
                Effect::Rescan | Effect::LogPriority(_) => {}
            }
        }
        self.inbox.extend(last_told.map(Input::Performed));
    }

    /// The next turn will be this manager's last.
    pub(crate) fn crash_next(&mut self, stage: Stage, times: usize) {
        self.crash = Some(Crash { turn: Some(self.turns), stage, times });
    }

    /// The manager dies.
    pub(crate) fn crash(&mut self) {
        self.inbox.retain(survives_in_a_queue);
        self.keeper.lose_manager();
        self.is_away = true;
    }

    /// The journal is lost with the manager.
    pub(crate) fn lose_journal(&mut self) {
        self.journal.clear();
        self.told.clear();
        self.shadow = State::default();
        self.state = State::default();
    }

    /// The next manager, and all that it has to do.
    pub(crate) fn resume(&mut self) {
        self.come_back(1);
        self.settle();
        self.pass(0);
    }

    /// The next manager: replay, roll call, and the job files read again.
    fn come_back(&mut self, times: usize) {
        self.is_away = false;
        let waiting: Vec<Input> = self.inbox.drain(..).collect();
        let is_recovering = core::mem::replace(&mut self.is_recovering, true);
        for again in (0..times).rev() {
            self.state = replay(&self.journal);
            self.turn(Input::Settings(Box::new(self.settings.clone())));
            let is_lost = self.state.classes().next().is_none();
            let call = RollCall {
                is_restart: true,
                reason: "a crash".into(),
                entries: self.keeper.table.values().cloned().collect(),
                highest_number: self.keeper.highest_number,
                connections: self.connections.clone(),
                files: self.files_held.clone(),
                classes: self.files.values().filter(|_| is_lost).cloned().collect(),
            };
            let outcome = self.turn(Input::RollCall(call));
            if again == 0 {
                self.perform(outcome.effects);
            }
        }
        self.is_recovering = is_recovering;
        self.inbox.extend(self.startup.clone());
        self.inbox.extend(self.files.values().map(|class| Input::Define(Box::new(class.clone()))));
        let gone: Vec<String> =
            self.state.classes().map(|(name, _)| name.into()).filter(|name| !self.files.contains_key(name)).collect();
        self.inbox.extend(gone.into_iter().map(Input::Remove));
        self.inbox.extend(waiting);
    }

    fn crash_and_recover(&mut self, times: usize, again: Option<Input>) {
        self.crash();
        if let Some(input) = again {
            self.inbox.push_front(input);
        }
        self.come_back(times);
    }
}

/// Whether an input that was not taken, or whose turn was not journaled, is there for the next manager, other than in
/// the roll call.
fn survives_in_a_queue(input: &Input) -> bool {
    matches!(
        input,
        Input::Call(..) | Input::Startup(_) | Input::Define(_) | Input::Remove(_) | Input::Ready(_) | Input::Signal(_)
    )
}

/// The state that a journal tells of.
pub(crate) fn replay(journal: &[Vec<Change>]) -> State {
    let mut state = State::default();
    for change in journal.iter().flatten() {
        state.apply(change, &mut Vec::new());
    }
    state
}

/// As in the journal.
pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("encodes")
}

/// As from the journal; nothing may be left over.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    let (value, length) = bincode::serde::decode_from_slice(bytes, bincode::config::standard()).expect("decodes");
    assert_eq!(length, bytes.len(), "bytes are left over");
    value
}
