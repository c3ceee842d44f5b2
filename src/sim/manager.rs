//! The manager: the program's own turns and recovery in the simulator's world.
//!
//! Everything that decides, journals and performs is the manager crate's code; here is only what it is surrounded by.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use ::manager::dbus::connection_number;
use ::manager::resume::describe;
use ::manager::resume::{self, Recovery};
use ::manager::turn::{Arrival, Memory, Turn, World};
use journal::{Durability, Identity, Log, Options};
use keeper::protocol::{Environment, Finish, SpawnRequest, ToKeeper};
use machine::class::{Class, Expect};
use machine::effect::{Announcement, Caller, Priority};
use machine::input::{Input, Settings};
use machine::job::ProcessKind;
use machine::state::State;
use record::Stamp;

use crate::bus::{Bus, held_name};
use crate::chance::Chance;
use crate::disk::Disk;
use crate::fuse::{Fuse, Point, Step, dead};
use crate::keeper::{Greeting, Keeper};
use crate::process::ERRAND;
use crate::sabotage::Sabotage;
use crate::seen::{Seen, Watch};

/// How near to its death a manager's state is noted at each turn: no two turns have more steps.
const NEAR: u64 = 80;

/// All that is not the manager.
#[derive(Debug)]
pub struct Outside {
    /// Milliseconds since boot.
    pub now_ms: u64,
    /// See [`crate::play::Script::wall`].
    pub wall: u64,
    /// Where the manager dies.
    pub fuse: Fuse,
    /// The journal's files.
    pub disk: Disk,
    /// How the journal is kept.
    pub journal: Options,
    /// The keeper and its processes.
    pub keeper: Keeper,
    /// The clients.
    pub bus: Bus,
    /// The job files.
    pub jobs: BTreeMap<String, Class>,
    /// What the manager is told of its surroundings.
    pub settings: Settings,
    /// Who watches.
    pub watch: Watch,
    /// The promise that is broken on purpose.
    pub sabotage: Sabotage,
    /// Whether the last turn could not be journaled, as the manager itself has said.
    pub is_degraded: bool,
    /// What the next manager is to know, by the journal: digests of the state before the turn that may be cut off (if it was
    /// near enough) and after it.
    pub expected: Expected,
}

/// See [`Outside::expected`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The state that the journal had for sure.
    pub before: Option<u32>,
    /// The state of the turn that may have come to be in it.
    pub after: Option<u32>,
}

impl Expected {
    /// The turns go on from a state, or to one.
    fn note(&mut self, digest: u32) {
        if self.after != Some(digest) {
            *self = Self { before: self.after, after: Some(digest) };
        }
    }
}

/// Options of a simulated journal: small, so that everything happens often.
#[must_use]
pub fn journal_options(segment_bytes: u64, checkpoint_bytes: u64) -> Options {
    let identity = Identity { boot_id: [7; 16], pid_namespace: 1 };
    Options { segment_bytes, checkpoint_bytes, durability: Durability::None, identity }
}

/// Something that the job directories say.
#[derive(Debug)]
enum Finding {
    Define(Box<Class>),
    Remove(String),
    Looked,
}

/// A manager under way.
pub struct Manager {
    memory: Memory<Disk>,
    findings: VecDeque<Finding>,
    has_looked: bool,
    next_connection: u64,
    last_served: u64,
    /// What the keeper is told last.
    pub farewell: Option<ToKeeper>,
    /// It does nothing any more until it is killed.
    pub hangs: bool,
}

/// Where a manager can find something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The keeper's messages.
    Keeper,
    /// Notifications.
    Notes,
    /// Clients that came or went.
    Clients,
    /// Calls.
    Calls,
    /// Job directories.
    Files,
    /// Its own deadlines.
    Clock,
    /// What was announced, and is not noted as out yet.
    Told,
}

impl Manager {
    /// Comes back: opens the journal, replays it, hears the roll call. None if it dies in there.
    pub fn begin(out: &mut Outside, greeting: Greeting) -> Option<Self> {
        let Greeting { occasion, entries, held, highest_number } = greeting;
        let recovery = Recovery { reason: describe(occasion.reason), ..Recovery::default() };
        let opened = match Log::open(out.disk.clone(), out.journal) {
            Ok(opened) => Some(opened),
            Err(_) if out.fuse.is_blown() => return None,
            Err(error) if resume::is_passing(&error) && resume::is_patient(&occasion) => {
                out.watch.see(&Seen::Note(&format!("{error}; another manager tries again")));
                return None;
            }
            Err(error) => {
                // As the program does: set aside, and a new one begun.
                out.watch.see(&Seen::Lost(&format!("the journal cannot be opened: {error}")));
                out.disk.clear();
                Log::open(out.disk.clone(), out.journal).ok()
            }
        };
        let resumed = resume::go_on(opened, &occasion, recovery);
        if out.fuse.is_blown() {
            return None;
        }
        let (memory, recovery) = Memory::of(resumed);
        out.is_degraded = memory.journal.is_none() || recovery.needs_checkpoint;
        out.replayed(&memory.state, &recovery);
        let connections: Vec<u64> = held.iter().filter_map(|name| connection_number(name)).collect();
        let highest = connections.iter().copied().max().unwrap_or(0);
        let mut manager = Self {
            next_connection: highest.max(memory.state.last_connection()) + 1,
            memory,
            findings: VecDeque::new(),
            has_looked: false,
            last_served: 0,
            farewell: None,
            hangs: false,
        };
        manager.look(out);
        let settings = out.settings.clone();
        let reason = occasion.reason;
        let arrival = Arrival {
            reason,
            settings,
            entries,
            highest_number,
            connections,
            files: Vec::new(),
            log_priority: Some(Priority::Info),
        };
        manager.acting(out, |acting| acting.take_over(arrival, &recovery)).ok()?;
        out.watch.see(&Seen::Resumed { state: &manager.memory.state, table: &out.keeper.table });
        Some(manager)
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.memory.state
    }

    /// Looks at all job directories.
    pub fn look(&mut self, out: &Outside) {
        self.findings.extend(out.jobs.values().map(|class| Finding::Define(Box::new(class.clone()))));
        self.findings.push_back(Finding::Looked);
    }

    /// A job file has come or gone.
    pub fn notice(&mut self, name: &str, class: Option<&Class>) {
        self.findings.push_back(match class {
            Some(class) => Finding::Define(Box::new(class.clone())),
            None => Finding::Remove(name.to_owned()),
        });
    }

    /// Where there is something to do.
    #[must_use]
    pub fn sources(&self, out: &Outside) -> Vec<Source> {
        let is_due = self.memory.state.next_deadline_ms().is_some_and(|at| at <= out.now_ms);
        let has_clients = out.bus.opened > 0 || !out.bus.closed.is_empty();
        let all = [
            (Source::Keeper, !out.keeper.outbox.is_empty()),
            (Source::Notes, !out.keeper.notes.is_empty()),
            (Source::Clients, has_clients),
            (Source::Calls, out.bus.with_call_after(0).is_some()),
            (Source::Files, !self.findings.is_empty()),
            (Source::Clock, is_due),
            // The program does this only where there is nothing else; a crash does not ask.
            (Source::Told, self.memory.has_to_note()),
        ];
        all.into_iter().filter(|(_, is_there)| *is_there).map(|(source, _)| source).collect()
    }

    /// Deals with one thing; false when it has died of it.
    pub fn step(&mut self, source: Source, out: &mut Outside) -> bool {
        let mut done = match source {
            Source::Keeper => self.hear(out),
            Source::Notes => self.heed(out),
            Source::Clients => self.greet(out),
            Source::Calls => self.serve(out),
            Source::Files => self.find(out),
            Source::Clock => self.acting(out, |acting| acting.take(Input::Tick)),
            Source::Told => self.acting(out, |acting| acting.note()),
        };
        if done.is_ok() && self.farewell.is_some() {
            done = self.acting(out, |acting| acting.note());
        }
        done.is_ok() && out.fuse.step(Point::Idle) == Step::Go
    }

    /// Runs some of the manager's code in its world.
    fn acting(&mut self, out: &mut Outside, run: impl FnOnce(&mut Acting<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut acting = Acting { memory: &mut self.memory, desk: Desk::default(), withheld: None, out };
        let result = run(&mut acting);
        acting.give_back();
        let Desk { farewell, rescans } = acting.desk;
        out.sabotage.applies_live_only(&mut self.memory.state);
        if farewell.is_some() {
            self.farewell = farewell;
        }
        if rescans {
            self.look(out);
        }
        if out.fuse.is_blown() { Err(dead()) } else { result }
    }

    /// What the next manager must find when this one dies here, between two turns.
    pub fn note_expected(&self, out: &mut Outside) {
        let now = Some(digest(&self.memory.state));
        out.expected = Expected { before: now, after: now };
    }

    /// All that the keeper has said by now, together.
    fn hear(&mut self, out: &mut Outside) -> io::Result<()> {
        self.acting(out, |acting| {
            acting.together(|acting| {
                while let Some(message) = acting.out.keeper.outbox.pop_front() {
                    acting.out.watch.see(&Seen::Heard(&message));
                    acting.out.sabotage.acknowledges_first(&message, &mut acting.out.keeper.inbox);
                    acting.hear(message)?;
                }
                Ok(())
            })
        })
    }

    /// A notification; it is taken from its socket when what it led to is in the journal.
    fn heed(&mut self, out: &mut Outside) -> io::Result<()> {
        let Some(&pid) = out.keeper.notes.front() else { return Ok(()) };
        let mains = || self.memory.state.instances().filter_map(|instance| instance.process(ProcessKind::Main));
        let found = mains().find(|main| main.pid == pid).map(|main| main.ticket);
        match found {
            Some(ticket) => self.acting(out, |acting| acting.take(Input::Ready(ticket)))?,
            // The keeper's message of it is still to come.
            None if !out.keeper.outbox.is_empty() && mains().any(|main| main.pid == 0) => return self.hear(out),
            None => {}
        }
        out.keeper.notes.pop_front();
        Ok(())
    }

    fn greet(&mut self, out: &mut Outside) -> io::Result<()> {
        if let Some(connection) = out.bus.closed.pop_front() {
            let name = held_name(connection);
            return self.acting(out, |acting| {
                acting.send(ToKeeper::Release { name })?;
                acting.take(Input::Disconnected(connection))
            });
        }
        if out.bus.opened == 0 {
            return Ok(());
        }
        out.bus.opened -= 1;
        let connection = self.next_connection;
        self.next_connection += 1;
        out.bus.clients.entry(connection).or_default();
        self.acting(out, |acting| acting.send(ToKeeper::Hold { name: held_name(connection) }))
    }

    fn serve(&mut self, out: &mut Outside) -> io::Result<()> {
        let Some(connection) = out.bus.with_call_after(self.last_served) else { return Ok(()) };
        self.last_served = connection;
        let Some(client) = out.bus.clients.get_mut(&connection) else { return Ok(()) };
        let Some((serial, call)) = client.calls.front().cloned() else { return Ok(()) };
        let caller = Caller { connection, serial, sender: None };
        if std::mem::take(&mut client.is_resumed) && self.memory.state.was_taken(&caller) {
            client.calls.pop_front();
            return Ok(());
        }
        self.acting(out, |acting| acting.answer(&caller, call))
    }

    fn find(&mut self, out: &mut Outside) -> io::Result<()> {
        match self.findings.pop_front() {
            Some(Finding::Define(class)) => self.acting(out, |acting| acting.take(Input::Define(class))),
            Some(Finding::Remove(name)) => self.acting(out, |acting| acting.take(Input::Remove(name))),
            Some(Finding::Looked) if !self.has_looked => {
                self.has_looked = true;
                let names: Vec<String> = out.jobs.keys().cloned().collect();
                let has_file = |name: &str| names.iter().any(|one| one == name);
                self.acting(out, |acting| acting.settle_job_files(has_file, Some("startup".into())))
            }
            Some(Finding::Looked) | None => Ok(()),
        }
    }
}

/// What the clock on the wall shows, in microseconds since 1970: it is set back and forth by up to 40 years, at any time.
fn wall_us(seed: u64, boot_us: u64) -> u64 {
    const YEAR_US: u64 = 31_557_600 * 1_000_000;
    let jump_us = if seed == 0 { 0 } else { Chance::of(seed ^ boot_us).below(80 * YEAR_US) };
    16 * YEAR_US + boot_us + jump_us
}

/// What the keeper is asked for, for the process of a ticket; none if no instance wants it.
#[must_use]
pub fn request_of(state: &State, ticket: u64) -> Option<SpawnRequest> {
    let spawn = machine::spawn::describe(state, ticket)?;
    let is_errand =
        spawn.kind == ProcessKind::Main && state.class(&spawn.class).is_some_and(|record| record.definition.task);
    let mut environment = Environment::default();
    // Neither of the two has a NUL in it.
    if spawn.expect == Expect::Notify {
        let _ = environment.push(b"NOTIFY_SOCKET=/run/notify");
    }
    if is_errand {
        let _ = environment.push(ERRAND.as_bytes());
    }
    Some(SpawnRequest {
        ticket,
        label: spawn.label,
        environment,
        follow_forks: if matches!(spawn.expect, Expect::Fork | Expect::Daemon) { spawn.expect.awaits() } else { 0 },
        report_stop: spawn.expect == Expect::Stop,
        ..SpawnRequest::default()
    })
}

/// A number that two states share if they are the same.
fn digest(state: &State) -> u32 {
    // A state that cannot be encoded could not be journaled either.
    record::digest(state).unwrap_or(0)
}

/// What a turn asks of the manager's own loop.
#[derive(Debug, Default)]
struct Desk {
    farewell: Option<ToKeeper>,
    rescans: bool,
}

/// The world of a turn.
struct Acting<'a> {
    memory: &'a mut Memory<Disk>,
    desk: Desk,
    /// The journal, while sabotage keeps it from the turn.
    withheld: Option<Log<Disk>>,
    out: &'a mut Outside,
}

impl Acting<'_> {
    fn give_back(&mut self) {
        if let Some(journal) = self.withheld.take() {
            self.memory.journal = Some(journal);
        }
    }
}

impl World for Acting<'_> {
    type Storage = Disk;

    fn memory(&mut self) -> &mut Memory<Disk> {
        self.give_back();
        if self.out.fuse.is_near(NEAR) && !self.out.fuse.is_blown() {
            self.out.expected.note(digest(&self.memory.state));
        }
        if self.out.sabotage.skips_append(&self.memory.state) {
            self.withheld = self.memory.journal.take();
        }
        self.memory
    }

    fn now_ms(&self) -> u64 {
        self.out.now_ms
    }

    fn stamp(&self) -> Stamp {
        let boot_us = self.out.now_ms * 1000;
        Stamp { boot_us, wall_us: wall_us(self.out.wall, boot_us) }
    }

    fn send(&mut self, message: ToKeeper) -> io::Result<()> {
        self.out.fuse.burn(Point::Send)?;
        self.out.keeper.inbox.push_back(message);
        self.out.fuse.burn(Point::Sent)
    }

    fn spawn(&mut self, ticket: u64) -> io::Result<()> {
        match request_of(&self.memory.state, ticket) {
            Some(mut request) => {
                // A manager needs descriptors, too. What it cannot prepare it has the keeper refuse.
                request.argv = if self.out.keeper.refuses() { Vec::new() } else { vec![b"program".to_vec()] };
                self.send(ToKeeper::Spawn(Box::new(request)))
            }
            None => Ok(()),
        }
    }

    fn announce(&mut self, number: u64, announcement: &Announcement) {
        match announcement {
            Announcement::Log(..) => self.out.tell(number, announcement),
            _ => self.out.bus.unpushed.push_back((number, announcement.clone())),
        }
    }

    fn push(&mut self) {
        while let Some((number, announcement)) = self.out.bus.unpushed.pop_front() {
            if let Announcement::Reply(caller, _) = &announcement
                && let Some(client) = self.out.bus.clients.get_mut(&caller.connection)
                && (client.is_slow || !client.unsent.is_empty())
            {
                client.unsent.push_back((number, announcement));
                continue;
            }
            self.out.tell(number, &announcement);
        }
    }

    fn performed(&mut self, through: u64) -> u64 {
        let clients = self.out.bus.clients.values();
        let unsent = clients.filter_map(|client| client.unsent.front()).map(|(number, _)| *number).min();
        unsent.map_or(through, |unsent| through.min(unsent.saturating_sub(1)))
    }

    fn done(&mut self, caller: &Caller) {
        if self.out.fuse.step(Point::Take) != Step::Go {
            return;
        }
        if let Some(client) = self.out.bus.clients.get_mut(&caller.connection) {
            client.calls.pop_front();
        }
        let _ = self.out.fuse.step(Point::Taken);
    }

    fn let_go(&mut self, _name: &str) {}

    fn reexecute(&mut self) {
        self.desk.farewell = Some(ToKeeper::Reexecute);
    }

    fn finish(&mut self, status: u8) {
        self.desk.farewell = Some(ToKeeper::Finish(Finish::Exit(status)));
    }

    fn rescan(&mut self) {
        self.desk.rescans = true;
    }

    fn job_files(&mut self) -> Vec<Class> {
        self.out.jobs.values().cloned().collect()
    }

    fn reconnect_bus(&mut self) {}

    fn adopt(&mut self) {}

    fn report(&mut self, _priority: Priority, text: &str) {
        if self.out.fuse.is_blown() {
            return;
        }
        self.out.watch.see(&Seen::Note(text));
        self.out.is_degraded = text.contains("going on without");
    }
}

impl Outside {
    /// A manager has replayed the journal.
    fn replayed(&mut self, state: &State, recovery: &Recovery) {
        let digest = digest(state);
        let expected = std::mem::replace(&mut self.expected, Expected { before: None, after: Some(digest) });
        let (frames, findings) = (recovery.frames, &recovery.findings[..]);
        self.watch.see(&Seen::Replayed { state, digest, expected, frames, findings });
    }

    /// An announcement leaves.
    pub fn tell(&mut self, number: u64, announcement: &Announcement) {
        if self.fuse.step(Point::Tell) != Step::Go {
            return;
        }
        self.watch.see(&Seen::Told { number, announcement });
        let _ = self.fuse.step(Point::Told);
    }
}
