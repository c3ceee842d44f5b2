//! A life of four jobs, played act by act in the world of the machine's tests, which checks every turn of it.
//!
//! Shared by the machine's property tests (`src/machine/tests/random.rs`) and the fuzz target `machine_inputs`.

use std::collections::BTreeMap;

use machine::effect::{Announcement, Caller};
use machine::input::{Call, Input, RollCallCondition, Settings};
use machine::job::Cause;
use machine::parse::parse_class;
use machine::spawn::read_label;

use crate::world::{Stage, World};

/// The names of the jobs.
pub(crate) const JOBS: [&str; 4] = ["a", "b", "c", "d"];

/// A thing that happens; processes and callers are picked by number among those there are.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Emit(&'static str, &'static str, bool),
    Start(&'static str, &'static str, bool),
    Stop(&'static str, &'static str, bool),
    Restart(&'static str, &'static str, bool),
    StartInstance(&'static str),
    Reload(&'static str),
    Exit(usize, Cause),
    Fork(usize),
    StopItself(usize),
    Ready(usize),
    Refuse(&'static str, machine::job::ProcessKind),
    Pass(u64),
    Disconnect(usize),
    Crash(Stage, usize),
    /// Processes end while no manager runs.
    ExitAway(usize, Cause),
    Define(usize, String),
    Remove(&'static str),
    SetEnv(&'static str),
    EndSession,
}

/// The world, and who has called in it.
struct Play {
    world: World,
    calls: u64,
}

impl Play {
    fn call(&mut self, call: Call) {
        self.calls += 1;
        let caller = Caller { connection: self.calls, serial: 1, sender: None };
        self.world.feed(Input::Call(caller, call));
    }

    fn define(&mut self, name: &str, text: &str) {
        let class = parse_class(name, text.as_bytes()).unwrap_or_else(|error| panic!("{error:?} in\n{text}"));
        self.world.feed(Input::Define(Box::new(class)));
    }

    /// A running process, picked by number.
    fn pick(&self, at: usize) -> Option<u64> {
        let runs = |condition: &RollCallCondition| matches!(condition, RollCallCondition::Running { .. });
        let running = self.world.keeper.table.values().filter(|entry| runs(&entry.condition));
        let tickets: Vec<u64> = running.map(|entry| entry.ticket).collect();
        (!tickets.is_empty()).then(|| tickets[at % tickets.len()])
    }

    fn with_process(&mut self, at: usize, deed: impl Fn(&mut World, u64) -> Option<Input>) {
        let input = self.pick(at).and_then(|ticket| deed(&mut self.world, ticket));
        if let Some(input) = input {
            self.world.feed(input);
        }
    }

    fn act(&mut self, act: Act) {
        let environment = |variable: &str| -> Vec<String> { variable.split_terminator(' ').map(Into::into).collect() };
        match act {
            Act::Emit(name, x, wait) => {
                self.call(Call::Emit { name: name.into(), environment: environment(x), wait, file: None });
            }
            Act::Start(class, x, wait) => {
                self.call(Call::Start { class: class.into(), environment: environment(x), wait });
            }
            Act::Stop(class, x, wait) => {
                self.call(Call::Stop { class: class.into(), environment: environment(x), wait });
            }
            Act::Restart(class, x, wait) => {
                self.call(Call::Restart { class: class.into(), environment: environment(x), wait });
            }
            Act::StartInstance(class) => {
                self.call(Call::StartInstance { class: class.into(), instance: String::new(), wait: true });
            }
            Act::Reload(class) => self.call(Call::ReloadInstance { class: class.into(), instance: String::new() }),
            Act::Exit(at, cause) => self.with_process(at, |world, ticket| world.keeper.exit(ticket, cause)),
            Act::Fork(at) => self.with_process(at, |world, ticket| world.keeper.fork(ticket)),
            Act::StopItself(at) => self.with_process(at, |world, ticket| world.keeper.stop_itself(ticket)),
            Act::Ready(at) => self.with_process(at, |_, ticket| Some(Input::Ready(ticket))),
            Act::Refuse(class, kind) => {
                self.world.keeper.refuse(machine::spawn::label(kind, class, ""), "unable to execute: it is a test");
            }
            Act::Pass(ms) => self.world.pass(ms),
            Act::Disconnect(at) => {
                let connections = &self.world.connections;
                if let Some(connection) = connections.get(at % connections.len().max(1)).copied() {
                    self.world.feed(Input::Disconnected(connection));
                }
            }
            Act::Crash(stage, times) => self.world.crash_next(stage, times),
            Act::ExitAway(at, cause) => {
                self.world.crash();
                self.with_process(at, |world, ticket| world.keeper.exit(ticket, cause));
                self.world.resume();
            }
            Act::Define(at, text) => self.define(JOBS[at], &text),
            Act::Remove(class) => self.world.feed(Input::Remove(class.into())),
            Act::SetEnv(x) => {
                self.call(Call::SetEnvironment { job: None, entries: environment(x), replace: true });
            }
            Act::EndSession => self.call(Call::EndSession),
        }
    }

    /// Everything that can end is ended; respawning jobs meet their limits.
    fn end(&mut self) {
        for _ in 0..200 {
            let Some(ticket) = self.pick(0) else { break };
            let label = self.world.keeper.table[&ticket].label.clone();
            assert!(read_label(&label).is_some(), "{label:?}");
            self.with_process(0, |world, ticket| world.keeper.exit(ticket, Cause::Status(1)));
        }
    }
}

/// What a whole life must not have left or done.
fn check_life(world: &World) {
    let mut answers: BTreeMap<&Caller, usize> = BTreeMap::new();
    for announcement in world.told.values() {
        if let Announcement::Reply(caller, _) = announcement.as_ref() {
            *answers.entry(caller).or_default() += 1;
        }
    }
    assert!(answers.values().all(|times| *times == 1), "a caller was answered twice: {answers:?}");
    let state = &world.state;
    let is_quiet = state.next_deadline_ms() != Some(0) && !world.has_ended;
    let is_held = state.classes().any(|(_, record)| record.start_on.events().next().is_some())
        || state.instances().any(|instance| instance.stop_on.events().next().is_some());
    let processes = state.instances().map(|instance| instance.processes.len()).sum::<usize>();
    if is_quiet && !is_held && processes == 0 {
        let left: Vec<_> = state.events().collect();
        assert!(left.is_empty(), "these events live for ever: {left:#?}\n{:#?}", state.instances().collect::<Vec<_>>());
    }
}

/// Plays a life from its first job file to its end, and returns the world for further questions.
pub(crate) fn play(jobs: &[String], acts: Vec<Act>, is_session: bool) -> World {
    let settings = Settings { is_session, base: vec!["PATH=/bin".into()], ..Settings::default() };
    let mut play = Play { world: World::new(settings, None), calls: 0 };
    for (name, text) in JOBS.iter().zip(jobs) {
        play.define(name, text);
    }
    play.world.feed(Input::Startup(Some("startup".into())));
    for act in acts {
        if play.world.has_ended {
            break;
        }
        play.act(act);
    }
    play.end();
    check_life(&play.world);
    play.world
}
