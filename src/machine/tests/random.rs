//! Any jobs, any events, any crashes: what must hold, holds.
//!
//! Jobs are made as the text of job files, so that what proptest has shrunk can be read and made a story.

mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use machine::effect::{Announcement, Caller};
use machine::input::{Call, Input, RollCallCondition, Settings};
use machine::job::Cause;
use machine::parse::parse_class;
use machine::spawn::read_label;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use world::{Stage, World};

const JOBS: [&str; 4] = ["a", "b", "c", "d"];

/// A thing that happens; processes and callers are picked by number among those there are.
#[derive(Clone, Debug)]
enum Act {
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

fn event() -> impl Strategy<Value = String> {
    let plain = select(vec!["go", "halt", "go X=1", "go X!=1", "halt X=$X", "startup", "session-end"]);
    let of_job = (select(vec!["starting", "started", "stopping", "stopped"]), select(JOBS.to_vec()));
    prop_oneof![
        3 => plain.prop_map(String::from),
        2 => of_job.prop_map(|(name, job)| format!("{name} {job}")),
        1 => select(vec!["starting", "stopped RESULT=failed"]).prop_map(String::from),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    event().prop_recursive(2, 4, 2, |inner| {
        (inner.clone(), any::<bool>(), inner)
            .prop_map(|(left, both, right)| format!("({left} {} {right})", if both { "and" } else { "or" }))
    })
}

/// The text of a job file.
fn job() -> impl Strategy<Value = String> {
    let processes = (
        prop::bool::weighted(0.7),
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.25),
    );
    let on = (prop::option::weighted(0.7, condition()), prop::option::weighted(0.5, condition()));
    let expect = prop::option::weighted(0.3, select(vec!["stop", "fork", "daemon", "notify"]));
    let flags = (prop::bool::weighted(0.4), prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    (processes, on, expect, flags).prop_map(|(processes, (start_on, stop_on), expect, (task, respawn, many))| {
        let mut text = String::new();
        let (main, pre_start, post_start, pre_stop, post_stop) = processes;
        let _ = start_on.map(|on| writeln!(text, "start on {on}"));
        let _ = stop_on.map(|on| writeln!(text, "stop on {on}"));
        let _ = expect.filter(|_| main).map(|expect| writeln!(text, "expect {expect}"));
        let lines = [
            (task, "task"),
            (respawn && main, "respawn\nrespawn limit 2 10"),
            (many, "instance ${X:-0}\nexport X"),
            (main, "exec main"),
            (pre_start, "pre-start exec pre-start"),
            (post_start, "post-start exec post-start"),
            (pre_stop, "pre-stop exec pre-stop"),
            (post_stop, "post-stop exec post-stop"),
        ];
        for (_, line) in lines.iter().filter(|(is_there, _)| *is_there) {
            let _ = writeln!(text, "{line}");
        }
        text
    })
}

fn act() -> impl Strategy<Value = Act> {
    let name = || select(JOBS.to_vec());
    let variable = || select(vec!["", "X=1", "X=2"]);
    let cause = || select(vec![Cause::Status(0), Cause::Status(0), Cause::Status(1), Cause::Signal(9)]);
    let kind = select(machine::job::ProcessKind::ALL.to_vec());
    let stage = select(Stage::ALL.to_vec());
    prop_oneof![
        6 => (select(vec!["go", "halt"]), variable(), any::<bool>()).prop_map(|(e, v, w)| Act::Emit(e, v, w)),
        5 => (name(), variable(), any::<bool>()).prop_map(|(n, v, w)| Act::Start(n, v, w)),
        4 => (name(), variable(), any::<bool>()).prop_map(|(n, v, w)| Act::Stop(n, v, w)),
        2 => (name(), variable(), any::<bool>()).prop_map(|(n, v, w)| Act::Restart(n, v, w)),
        1 => name().prop_map(Act::StartInstance),
        1 => name().prop_map(Act::Reload),
        10 => (0..8_usize, cause()).prop_map(|(at, cause)| Act::Exit(at, cause)),
        3 => (0..8_usize).prop_map(Act::Fork),
        2 => (0..8_usize).prop_map(Act::StopItself),
        2 => (0..8_usize).prop_map(Act::Ready),
        1 => (name(), kind).prop_map(|(name, kind)| Act::Refuse(name, kind)),
        3 => select(vec![1, 1000, 6000, 20_000]).prop_map(Act::Pass),
        1 => (0..8_usize).prop_map(Act::Disconnect),
        4 => (stage, 1..3_usize).prop_map(|(stage, times)| Act::Crash(stage, times)),
        2 => (0..8_usize, cause()).prop_map(|(at, cause)| Act::ExitAway(at, cause)),
        2 => (0..JOBS.len(), job()).prop_map(|(at, text)| Act::Define(at, text)),
        1 => name().prop_map(Act::Remove),
        1 => variable().prop_map(Act::SetEnv),
        1 => Just(Act::EndSession),
    ]
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
        if let Announcement::Reply(caller, _) = announcement {
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

fn play(jobs: &[String], acts: Vec<Act>, is_session: bool) -> World {
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

/// Few, as a matter of course; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_jobs_and_no_crashes_break_an_invariant(
        jobs in vec(job(), 2..=JOBS.len()),
        acts in vec(act(), 0..40),
        is_session in any::<bool>(),
    ) {
        play(&jobs, acts, is_session);
    }

    /// `apply` is total: a repaired journal may lack any frames, and the roll call comes on top of what is left of it.
    #[test]
    fn a_journal_with_holes_is_survived(
        jobs in vec(job(), 2..=JOBS.len()),
        acts in vec(act(), 0..20),
        holes in vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let mut world = play(&jobs, acts, false);
        for hole in holes {
            if !world.journal.is_empty() {
                world.journal.remove(hole.index(world.journal.len()));
            }
        }
        let mut state = world::replay(&world.journal);
        let call = machine::input::RollCall {
            is_restart: true,
            entries: world.keeper.table.values().cloned().collect(),
            ..Default::default()
        };
        machine::turn(&mut state, world.now_ms, Input::RollCall(call));
        machine::turn(&mut state, world.now_ms + 100_000, Input::Tick);
    }
}
