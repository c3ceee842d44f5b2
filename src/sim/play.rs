//! One seed: a world, everything that goes wrong in it, and its end in peace.
//!
//! First the safety phase: faults at every turn, and the checkers watch. Then the faults stop, and everything must settle.

use std::collections::BTreeMap;

use ::keeper::protocol::{ExitStatus, Reason, ToManager};
use machine::class::Class;
use machine::input::{Call, Settings};

use crate::bundle::Beginning;
use crate::bus::Bus;
use crate::chance::Chance;
use crate::check::Checker;
use crate::check::MARK;
use crate::disk::Disk;
use crate::fuse::{Fuse, Point};
use crate::jobs::{self, Vocabulary};
use crate::keeper::Keeper;
use crate::manager::{Expected, Manager, Outside, journal_options};
use crate::sabotage::{Kind, Sabotage};
use crate::seen::{Seen, Violation, Watch};

/// Things that happen in the safety phase.
const ACTIONS: u32 = 1_500;

/// Clients at a time.
const CLIENTS: usize = 4;

/// How many rounds without rest the end may take. Jobs that start each other in a circle never rest, and may not.
const ROUNDS: u32 = 3_000;

/// See [`Play::is_done`].
const SPINS: u32 = 3;

/// What is played.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Job files; none to have some made up for each seed.
    pub jobs: Option<BTreeMap<String, Class>>,
    /// Where to begin, if not with nothing.
    pub beginning: Option<Beginning>,
    /// The promise that is broken on purpose.
    pub sabotage: Kind,
    /// How the clock on the wall jumps, as a seed of its own; 0 for one that does not. Nothing that is seen may depend on it.
    pub wall: u64,
    /// Whether every step is to be told in words.
    pub has_lines: bool,
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// Managers that died, keepers that crashed.
    pub crashes: u64,
    /// Of those: during recovery.
    pub in_recovery: u64,
    /// Steps at which one could have died.
    pub steps: u64,
    /// The broken promise, if one was.
    pub violation: Option<Violation>,
    /// The same for the same seed.
    pub digest: u64,
    /// Every step in words, if it was wanted.
    pub lines: Option<String>,
    /// The job files that were made up.
    pub texts: BTreeMap<String, String>,
}

/// How this world is.
#[derive(Clone, Debug)]
struct Habits {
    /// So many steps a manager lives, at most.
    life: u64,
    /// Bits flip.
    flips: bool,
    /// The storage runs full now and then.
    fills: bool,
    /// Writes fail now and then.
    fails: bool,
    /// Processes cannot be made now and then.
    refuses: bool,
    /// Managers die in recovery more often than the newest frames are believed.
    despairs: bool,
    /// The keeper crashes, too.
    keeper_crashes: bool,
}

/// Plays one seed.
///
/// # Errors
/// When the world cannot be set up: no memory for a keeper's table.
pub fn play(seed: u64, script: &Script, checkers: Vec<Box<dyn Checker>>) -> Result<Outcome, String> {
    let mut play = Play::new(seed, script, checkers)?;
    let mut left = ACTIONS;
    while left > 0 && !play.is_done() {
        play.act();
        left -= 1;
    }
    if !play.is_done() {
        play.settle();
    }
    Ok(Outcome {
        seed,
        crashes: play.crashes,
        in_recovery: play.in_recovery,
        steps: play.out.fuse.steps(),
        violation: play.out.watch.violation.clone(),
        digest: play.out.watch.digest(),
        lines: play.out.watch.lines().map(ToOwned::to_owned),
        texts: play.texts,
    })
}

struct Play {
    out: Outside,
    manager: Option<Manager>,
    chance: Chance,
    habits: Habits,
    vocabulary: Vocabulary,
    /// Texts of job files that were made up; none of the user's are ever changed.
    texts: BTreeMap<String, String>,
    crashes: u64,
    in_recovery: u64,
    marks: u64,
    /// A bit was flipped, and may be found at any time.
    is_damaged: bool,
    /// Turns in a row that did not come to the end of their agenda.
    spins: u32,
    /// Some client has not read its answers at once.
    was_slow: bool,
    /// The faults have stopped.
    is_over: bool,
}

impl Play {
    fn new(seed: u64, script: &Script, checkers: Vec<Box<dyn Checker>>) -> Result<Self, String> {
        let mut chance = Chance::of(seed);
        let (texts, jobs) = match &script.jobs {
            Some(jobs) => (BTreeMap::new(), jobs.clone()),
            None => {
                let texts = jobs::made_up(&mut chance);
                let jobs = jobs::parse(&texts)?;
                (texts, jobs)
            }
        };
        let habits = Habits {
            life: *chance.pick(&[8, 30, 60, 120]),
            flips: chance.one_in(10),
            fills: chance.one_in(5),
            fails: chance.one_in(5),
            refuses: chance.one_in(5),
            despairs: chance.one_in(20),
            keeper_crashes: chance.one_in(2),
        };
        let fuse = Fuse::default();
        let segment = *chance.pick(&[8_192, 12_288, 16_384]);
        let checkpoint = *chance.pick(&[2_048, 6_000, 20_000]);
        let vocabulary = Vocabulary::of(&jobs);
        let mut out = Outside {
            jobs,
            now_ms: 10_000,
            wall: script.wall,
            disk: Disk::new(fuse.clone(), chance.fork()),
            fuse,
            journal: journal_options(segment, checkpoint),
            keeper: Keeper::new(chance.fork())?,
            bus: Bus::default(),
            settings: Settings { is_session: chance.one_in(2), ..Settings::default() },
            watch: Watch::new(checkers, script.has_lines),
            sabotage: Sabotage::of(script.sabotage),
            is_degraded: false,
            expected: Expected::default(),
        };
        if let Some(beginning) = &script.beginning {
            beginning.lay(&mut out)?;
        }
        Ok(Self {
            out,
            manager: None,
            chance,
            habits,
            vocabulary,
            texts,
            crashes: 0,
            in_recovery: 0,
            marks: 0,
            is_damaged: false,
            spins: 0,
            was_slow: false,
            is_over: false,
        })
    }

    /// Whether there is nothing more to see: a promise is broken, the session is over, or the jobs start each other in a
    /// circle without a process that would take time, which is their right and tells nothing.
    fn is_done(&self) -> bool {
        let is_over = self.out.watch.violation.is_some() || self.out.keeper.finish.is_some();
        is_over || self.spins >= SPINS
    }

    /// One thing happens.
    fn act(&mut self) {
        match self.chance.below(100) {
            0..=54 => self.step(),
            55..=72 => drop(self.out.keeper.obey(self.out.now_ms, &mut self.out.watch)),
            73..=83 => self.pass_some_time(),
            84..=93 => self.client_acts(),
            94..=95 => self.files_change(),
            96 => self.signal_comes(),
            97 => self.medium_acts(),
            98 => self.manager_is_killed(),
            _ => self.keeper_may_crash(),
        }
    }

    /// The manager does one thing, or begins.
    fn step(&mut self) {
        let Some(mut manager) = self.manager.take() else { return self.begin() };
        let sources = if manager.hangs { Vec::new() } else { manager.sources(&self.out) };
        let source = self.chance.choose(sources.into_iter());
        if source.is_none_or(|source| manager.step(source, &mut self.out)) {
            return self.keep(manager);
        }
        if self.out.fuse.at() == Point::Idle {
            manager.note_expected(&mut self.out);
        }
        self.died(Reason::ManagerEnded(ExitStatus::Signal { signal: 9, core_dumped: false }));
    }

    /// The manager lives on, or has said its last words.
    fn keep(&mut self, mut manager: Manager) {
        let is_spinning = manager.state().next_deadline_ms() == Some(0);
        self.spins = if is_spinning { self.spins + 1 } else { 0 };
        match manager.farewell.take() {
            None => self.manager = Some(manager),
            Some(farewell) => {
                manager.note_expected(&mut self.out);
                self.out.keeper.inbox.push_back(farewell);
                self.died(Reason::Reexecuted);
            }
        }
    }

    fn begin(&mut self) {
        let failed = self.out.keeper.failed_starts();
        let patience = if self.habits.despairs { 6 } else { 2 };
        let life = 1 + self.chance.below(self.habits.life);
        // Three that fail in a row would cost frames that were believed; that is another promise.
        let is_spared = failed >= patience || self.is_over;
        self.out.fuse.arm((!is_spared).then_some(life));
        if failed >= 3 {
            self.lose("managers have failed again and again: the newest frames are not believed");
        }
        if self.is_damaged {
            self.lose("bits have flipped");
        }
        let greeting = self.out.keeper.greet(self.out.now_ms);
        match Manager::begin(&mut self.out, greeting) {
            Some(manager) => {
                if !self.is_over && is_spared {
                    self.out.fuse.arm(Some(life));
                }
                self.manager = Some(manager);
            }
            None => {
                self.in_recovery += 1;
                self.died(Reason::ManagerEnded(ExitStatus::Signal { signal: 6, core_dumped: true }));
            }
        }
    }

    /// The manager is dead.
    fn died(&mut self, reason: Reason) {
        self.crashes += 1;
        self.manager = None;
        let out = &mut self.out;
        out.watch.see(&Seen::Died { at: out.fuse.at(), reason });
        if let Reason::KeeperCrashed(_) = reason {
            if let Err(text) = out.keeper.crash(out.now_ms, &mut out.watch) {
                out.watch.fail("the keeper survives itself", text);
            }
        } else {
            out.keeper.manager_ended(reason, out.now_ms, &mut out.watch);
        }
        if out.is_degraded {
            // Told after the keeper has done all that it was asked for.
            self.lose("the manager has said that it goes on without a journal");
        }
        let out = &mut self.out;
        let held: Vec<String> = out.keeper.table.held().map(|(name, _)| name.to_owned()).collect();
        for connection in out.bus.manager_died(|name| held.iter().any(|one| one == name)) {
            out.watch.see(&Seen::Gone { connection });
        }
    }

    /// Less can be asked from here on.
    fn lose(&mut self, why: &str) {
        self.out.watch.see(&Seen::Lost(why));
    }

    fn manager_is_killed(&mut self) {
        let Some(mut manager) = self.manager.take() else { return };
        if !manager.hangs && self.chance.one_in(2) {
            manager.hangs = true;
            self.out.watch.see(&Seen::Note("manager: HANGS"));
            self.manager = Some(manager);
            return;
        }
        manager.note_expected(&mut self.out);
        self.died(Reason::ManagerEnded(ExitStatus::Signal { signal: 9, core_dumped: false }));
    }

    fn keeper_may_crash(&mut self) {
        if !self.habits.keeper_crashes {
            return;
        }
        if let Some(manager) = self.manager.take() {
            manager.note_expected(&mut self.out);
        }
        self.died(Reason::KeeperCrashed(11));
    }

    fn pass_some_time(&mut self) {
        let most = if self.chance.one_in(8) { 8_000 } else { 60 };
        let by_ms = self.chance.below(most);
        self.pass(by_ms);
    }

    /// Time passes: processes do what they do, and the keeper's heart beats.
    fn pass(&mut self, by_ms: u64) {
        let out = &mut self.out;
        out.now_ms += by_ms;
        out.watch.now_ms = out.now_ms;
        out.keeper.pass(out.now_ms, &mut out.watch);
        let is_hung = self.manager.is_some() && out.keeper.beat(out.now_ms);
        if is_hung && let Some(manager) = self.manager.take() {
            manager.note_expected(&mut self.out);
            self.died(Reason::ManagerHung);
        }
    }

    fn client_acts(&mut self) {
        let count = self.out.bus.clients.len();
        let Some(connection) = self.chance.choose(self.out.bus.clients.keys().copied()) else {
            self.out.bus.opened = 1;
            return;
        };
        match self.chance.below(20) {
            0..=1 if count < CLIENTS => self.out.bus.opened += 1,
            2 => {
                // It vanishes, with calls and answers still on their way.
                self.out.bus.clients.remove(&connection);
                self.out.bus.closed.push_back(connection);
                self.out.watch.see(&Seen::Gone { connection });
            }
            3 => {
                if let Some(client) = self.out.bus.clients.get_mut(&connection) {
                    client.is_slow = true;
                    self.was_slow = true;
                }
            }
            4..=6 => self.client_reads(connection),
            _ => {
                let call = self.call(connection);
                if let Some(caller) = self.out.bus.call(connection, call.clone()) {
                    self.out.watch.see(&Seen::Called { caller: &caller, call: &call });
                }
            }
        }
    }

    fn client_reads(&mut self, connection: u64) {
        let Some(client) = self.out.bus.clients.get_mut(&connection) else { return };
        client.is_slow = false;
        for (number, announcement) in std::mem::take(&mut client.unsent) {
            self.out.watch.see(&Seen::Told { number, announcement: &announcement });
        }
    }

    fn environment(&mut self) -> Vec<String> {
        let entry = self.chance.pick(&self.vocabulary.variables).clone();
        if entry.is_empty() { Vec::new() } else { vec![entry] }
    }

    /// A call; each client has a variable of its own, since nobody knows in which order the calls of several are taken.
    fn call(&mut self, connection: u64) -> Call {
        let class = self.chance.pick(&self.vocabulary.jobs).clone();
        let (environment, wait) = (self.environment(), self.chance.one_in(2));
        match self.chance.below(16) {
            0..=3 => {
                let (name, mut environment) = self.chance.pick(&self.vocabulary.events).clone();
                self.marks += 1;
                environment.push(format!("{MARK}{}", self.marks));
                Call::Emit { name, environment, wait, file: None }
            }
            4..=7 => Call::Start { class, environment, wait },
            8..=10 => Call::Stop { class, environment, wait },
            11..=12 => Call::Restart { class, environment, wait },
            13 => Call::ReloadInstance { class, instance: String::new() },
            14 if self.chance.one_in(4) => Call::RestartInit,
            _ => {
                self.marks += 1;
                let entries = vec![format!("SET{connection}={}", self.marks)];
                Call::SetEnvironment { job: None, entries, replace: true }
            }
        }
    }

    /// A job file is changed, removed, or comes back.
    fn files_change(&mut self) {
        let names: Vec<String> = self.texts.keys().cloned().collect();
        let Some(name) = self.chance.choose(names.iter()) else { return };
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        if self.out.jobs.contains_key(name) && self.chance.one_in(3) {
            self.out.jobs.remove(name);
        } else {
            let text = jobs::job(&all, &mut self.chance);
            let Ok(class) = machine::parse::parse_class(name, text.as_bytes()) else { return };
            self.out.jobs.insert(name.clone(), class);
        }
        if let Some(manager) = &mut self.manager {
            manager.notice(name, self.out.jobs.get(name));
        }
    }

    /// A signal comes to init: HUP, WINCH, PWR, INT (signal(7)).
    fn signal_comes(&mut self) {
        let signal = *self.chance.pick(&[1, 28, 30, 2]);
        if self.out.keeper.is_ready {
            self.out.keeper.outbox.push_back(ToManager::Signal { signal, sender_pid: 0, sender_uid: 0 });
        }
    }

    /// The medium runs full or is emptied, begins or ceases to fail; a bit flips; processes can or cannot be made.
    fn medium_acts(&mut self) {
        let out = &mut self.out;
        match self.chance.below(5) {
            0 if self.habits.fills => {
                let room = out.disk.used_bytes() + self.chance.below(10_000);
                out.disk.set_capacity(Some(room));
                out.watch.see(&Seen::Note("the storage is full"));
            }
            1 => out.disk.set_capacity(None),
            2 if self.habits.fails => out.disk.set_failing(self.chance.below(2) * self.chance.between(2, 20)),
            3 if self.habits.flips => {
                if let Some((name, at)) = out.disk.flip(&mut self.chance) {
                    self.is_damaged = true;
                    out.watch.see(&Seen::Note(&format!("a bit flips in byte {at} of {name}")));
                }
            }
            4 if self.habits.refuses => out.keeper.refusing = self.chance.below(2) * self.chance.between(1, 8),
            _ => {}
        }
    }

    /// The liveness phase: no more faults, and no more wishes.
    fn settle(&mut self) {
        self.is_over = true;
        let out = &mut self.out;
        out.watch.see(&Seen::Note("THE FAULTS HAVE STOPPED"));
        out.disk.set_capacity(None);
        out.disk.set_failing(0);
        out.fuse.arm(None);
        out.keeper.reform(out.now_ms);
        for connection in out.bus.clients.keys().copied().collect::<Vec<_>>() {
            self.client_reads(connection);
        }
        let mut highest_ticket = 0;
        for round in 0..ROUNDS {
            if round == ROUNDS / 2 {
                highest_ticket = self.highest_ticket();
            }
            let is_quiet = !self.work();
            if self.is_done() {
                return;
            }
            if is_quiet && !self.wait() {
                return self.judge(None);
            }
        }
        // As long as jobs start each other, there are new processes; where there are none, something turns in place.
        if self.highest_ticket() == highest_ticket {
            self.judge(Some("no process is started, and there is no rest".into()));
        }
    }

    fn judge(&mut self, has_work: Option<String>) {
        let Some(manager) = &self.manager else { return };
        let seen =
            Seen::Settled { state: manager.state(), table: &self.out.keeper.table, has_work, was_slow: self.was_slow };
        self.out.watch.see(&seen);
    }

    fn highest_ticket(&self) -> u64 {
        self.out.keeper.table.tickets().map(|(_, slot)| slot.ticket()).max().unwrap_or(0)
    }

    /// Everybody does what there is to do now; whether there was anything.
    fn work(&mut self) -> bool {
        let Some(mut manager) = self.manager.take() else {
            self.begin();
            return true;
        };
        if manager.hangs {
            manager.note_expected(&mut self.out);
            self.died(Reason::ManagerHung);
            return true;
        }
        let mut has_worked = false;
        while self.out.keeper.obey(self.out.now_ms, &mut self.out.watch) {
            has_worked = true;
        }
        if let Some(&source) = manager.sources(&self.out).first() {
            has_worked = true;
            if !manager.step(source, &mut self.out) {
                self.out.watch.fail("after the faults everything settles", "a manager has ended by itself".into());
                return true;
            }
        }
        self.keep(manager);
        has_worked
    }

    /// Waits for the next thing that will happen by itself; false if there is none.
    fn wait(&mut self) -> bool {
        let deadline = self.manager.as_ref().and_then(|manager| manager.state().next_deadline_ms());
        let next = self.out.keeper.next_ms().into_iter().chain(deadline).min();
        let Some(next) = next else { return false };
        self.pass(next.saturating_sub(self.out.now_ms));
        true
    }
}
