//! Any inputs in any order: life and replay are the same after each turn.

use machine::class::Class;
use machine::effect::{Caller, Priority};
use machine::input::{Call, InitSignal, Input, RollCall, RollCallCondition, RollCallEntry, Settings};
use machine::job::{Cause, ProcessKind};
use machine::parse::parse_class;
use machine::state::State;
use machine::{Outcome, spawn, turn};
use record::{decode_changes, digest};

use crate::codec::{encoded, is_same_after_reading};
use crate::draw::Draw;
use crate::play::{Act, JOBS, play};
use crate::world::{Stage, invariants};

/// The first byte chooses: a life in a world that plays by the rules, with crashes, or inputs that nobody would ever give,
/// from a keeper that lies to clients that make no sense.
pub fn machine_inputs(data: &[u8]) {
    let mut draw = Draw::new(data);
    let (is_honest, is_session) = (!draw.byte().is_multiple_of(4), draw.flag());
    let jobs: Vec<String> = (0..2 + draw.below(3)).map(|_| job(&mut draw)).collect();
    if is_honest {
        let mut acts = Vec::new();
        while !draw.is_empty() && acts.len() < 60 {
            acts.push(act(&mut draw));
        }
        play(&jobs, acts, is_session);
    } else {
        lies(&mut draw, &jobs, is_session);
    }
}

/// A machine, and a second one that only ever replays what the first one wrote.
pub(crate) struct Watched {
    life: State,
    replay: State,
}

impl Watched {
    pub(crate) fn from(state: State) -> Self {
        Self { replay: state.clone(), life: state }
    }

    /// One turn: its changes, written and read, make of the state before it the state after it.
    pub(crate) fn turn(&mut self, now_ms: u64, input: Input) -> Outcome {
        let outcome = turn(&mut self.life, now_ms, input);
        let read = decode_changes(&encoded(&outcome.changes)).expect("what was written");
        assert_eq!(read, outcome.changes);
        for change in &read {
            self.replay.apply(change, &mut Vec::new());
        }
        let digests = [&self.life, &self.replay].map(|state| digest(state).expect("a state can be written"));
        assert_eq!(digests[0], digests[1], "replay differs from life");
        outcome
    }
}

fn lies(draw: &mut Draw<'_>, jobs: &[String], is_session: bool) {
    let mut watched = Watched::from(State::default());
    let settings = Settings { is_session, base: vec!["PATH=/bin".into()], ..Settings::default() };
    watched.turn(1, Input::Settings(Box::new(settings)));
    watched.turn(1, Input::RollCall(RollCall::default()));
    for (name, text) in JOBS.iter().zip(jobs) {
        watched.turn(1, Input::Define(Box::new(class(name, text))));
    }
    watched.turn(1, Input::Startup(Some("startup".into())));
    let mut now_ms = 1;
    for _ in 0..80 {
        if draw.is_empty() {
            break;
        }
        now_ms += u64::from(draw.byte()) * 40;
        let input = input(draw);
        watched.turn(now_ms, input);
        invariants::check(&watched.life);
    }
    is_same_after_reading(&watched.life);
}

fn class(name: &str, text: &str) -> Class {
    parse_class(name, text.as_bytes()).unwrap_or_else(|error| panic!("{error:?} in\n{text}"))
}

/// An input. Numbers are small, so that they often are those of something.
fn input(draw: &mut Draw<'_>) -> Input {
    let ticket = u64::from(draw.byte());
    let pid = i32::from(draw.byte());
    let start_time_ticks = draw.number();
    match draw.below(17) {
        0 => Input::Spawned { ticket, pid, start_time_ticks },
        1 => Input::SpawnFailed { ticket, reason: draw.text() },
        2 => Input::Forked { ticket, pid, start_time_ticks, forks_left: draw.byte() },
        3 => Input::Stopped(ticket),
        4 => Input::Ready(ticket),
        5 => Input::Exited { ticket, cause: cause(draw) },
        6 => Input::Signalled { ticket, request: draw.number() },
        7 => Input::RollCall(roll_call(draw)),
        8 => Input::Performed(draw.number()),
        9 => Input::Disconnected(u64::from(draw.byte() % 4)),
        10 => Input::Define(Box::new(class(draw.one_of(&JOBS), &job(draw)))),
        11 => Input::Remove(draw.one_of(&JOBS).into()),
        12 => Input::Signal(draw.one_of(&[
            InitSignal::ControlAltDelete,
            InitSignal::KeyboardRequest,
            InitSignal::PowerStatusChanged,
            InitSignal::Reload,
            InitSignal::Terminate,
        ])),
        13 => Input::LogPriority(draw.one_of(&Priority::ALL)),
        14 => Input::Tick,
        _ => {
            let caller =
                Caller { connection: u64::from(draw.byte() % 4), serial: u32::from(draw.byte()), sender: None };
            Input::Call(caller, call(draw))
        }
    }
}

fn cause(draw: &mut Draw<'_>) -> Cause {
    draw.one_of(&[Cause::Status(0), Cause::Status(1), Cause::Signal(9), Cause::Unknown, Cause::Status(i32::MIN)])
}

fn roll_call(draw: &mut Draw<'_>) -> RollCall {
    let is_restart = draw.flag();
    let entries = draw.list(4, |draw| {
        let (kind, name, instance) = (draw.one_of(&ProcessKind::ALL), draw.one_of(&JOBS), draw.one_of(&["", "1"]));
        let label = if draw.byte().is_multiple_of(8) { draw.text() } else { spawn::label(kind, name, instance) };
        let condition = match draw.below(5) {
            0 => RollCallCondition::Exited(cause(draw)),
            1 => RollCallCondition::Failed(draw.text()),
            2 => RollCallCondition::Starting,
            _ => RollCallCondition::Running { forks_left: draw.byte(), has_stopped: draw.flag() },
        };
        RollCallEntry {
            ticket: draw.number(),
            label,
            pid: i32::from(draw.byte()),
            start_time_ticks: draw.number(),
            last_signal_request: draw.number(),
            condition,
        }
    });
    let (connections, files) = (draw.list(3, |draw| u64::from(draw.byte() % 4)), draw.list(2, Draw::text));
    let (reason, highest_number) = (draw.text(), draw.number());
    let classes = draw.list(2, |draw| class(draw.one_of(&JOBS), &job(draw)));
    RollCall { is_restart, reason, entries, connections, files, highest_number, classes }
}

fn call(draw: &mut Draw<'_>) -> Call {
    let class: String = draw.one_of(&["a", "b", "c", "d", "", "no"]).into();
    let instance: String = draw.one_of(&["", "1", "2"]).into();
    let environment = draw.list(2, |draw| if draw.flag() { "X=1".into() } else { draw.text() });
    let wait = draw.flag();
    let job = draw.flag().then(|| (class.clone(), instance.clone()));
    match draw.below(14) {
        0 => Call::Start { class, environment, wait },
        1 => Call::Stop { class, environment, wait },
        2 => Call::Restart { class, environment, wait },
        3 => Call::StartInstance { class, instance, wait },
        4 => Call::StopInstance { class, instance, wait },
        5 => Call::RestartInstance { class, instance, wait },
        6 => Call::ReloadInstance { class, instance },
        7 => Call::SetEnvironment { job, entries: environment, replace: wait },
        8 => Call::UnsetEnvironment { job, names: environment },
        9 => Call::ResetEnvironment { job },
        10 => Call::RestartInit,
        11 => Call::EndSession,
        12 => Call::SetLogPriority(draw.one_of(&Priority::ALL)),
        _ => {
            let name = draw.one_of(&["go", "halt", "started", "stopped", "", "startup"]).into();
            Call::Emit { name, environment, wait, file: draw.flag().then(|| draw.text()) }
        }
    }
}

/// An event in a condition.
fn event(draw: &mut Draw<'_>) -> String {
    const PLAIN: [&str; 9] =
        ["go", "halt", "go X=1", "go X!=1", "halt X=$X", "startup", "session-end", "starting", "stopped RESULT=failed"];
    match draw.below(13) {
        of_job @ 0..4 => {
            let name = ["starting", "started", "stopping", "stopped"][of_job];
            format!("{name} {}", draw.one_of(&JOBS))
        }
        plain => PLAIN[plain - 4].into(),
    }
}

fn condition(draw: &mut Draw<'_>, depth: usize) -> String {
    match draw.below(4) {
        operator @ (2 | 3) if depth < 3 => {
            let (left, right) = (condition(draw, depth + 1), condition(draw, depth + 1));
            format!("({left} {} {right})", if operator == 2 { "and" } else { "or" })
        }
        _ => event(draw),
    }
}

/// The text of a job file.
fn job(draw: &mut Draw<'_>) -> String {
    let (bits, more) = (draw.byte(), draw.byte());
    let has = |bit: u8| bits & (1 << bit) != 0;
    let mut text = String::new();
    let mut line = |is_there: bool, words: &str| {
        if is_there {
            text += words;
            text.push('\n');
        }
    };
    line(has(0), &format!("start on {}", condition(draw, 0)));
    line(has(1), &format!("stop on {}", condition(draw, 0)));
    let main = !has(2);
    line(main, "exec main");
    line(main && has(3), &format!("expect {}", draw.one_of(&["stop", "fork", "daemon", "notify"])));
    line(main && has(4), "respawn\nrespawn limit 2 10");
    line(has(5), "task");
    line(has(6), "instance ${X:-0}\nexport X");
    line(has(7), "debug");
    for (bit, words) in ["pre-start", "post-start", "pre-stop", "post-stop"].iter().enumerate() {
        line(more & (1 << bit) != 0, &format!("{words} exec {words}"));
    }
    line(more & 16 != 0, "kill timeout 1");
    line(more & 32 != 0, "apparmor load /profile");
    line(more & 64 != 0, "normal exit 1 KILL");
    line(more & 128 != 0, "manual");
    text
}

fn act(draw: &mut Draw<'_>) -> Act {
    let (kind, at) = (draw.below(20), draw.below(8));
    let name = JOBS[at % JOBS.len()];
    let variable = ["", "X=1", "X=2"][draw.below(3)];
    let flag = draw.flag();
    let end = draw.one_of(&[Cause::Status(0), Cause::Status(1), Cause::Signal(9)]);
    match kind {
        0 | 1 => Act::Emit(if at < 5 { "go" } else { "halt" }, variable, flag),
        2 => Act::Start(name, variable, flag),
        3 => Act::Stop(name, variable, flag),
        4 => Act::Restart(name, variable, flag),
        5 => Act::StartInstance(name),
        6 => Act::Reload(name),
        7 => Act::Fork(at),
        8 => Act::StopItself(at),
        9 => Act::Ready(at),
        10 => Act::Refuse(name, draw.one_of(&ProcessKind::ALL)),
        11 => Act::Pass(draw.one_of(&[1, 1000, 6000, 20_000])),
        12 => Act::Disconnect(at),
        13 => Act::Crash(draw.one_of(&Stage::ALL), 1 + usize::from(flag)),
        14 => Act::ExitAway(at, end),
        15 => Act::Define(at % JOBS.len(), job(draw)),
        16 => Act::Remove(name),
        17 => Act::SetEnv(variable),
        18 if at == 7 => Act::EndSession,
        _ => Act::Exit(at, end),
    }
}
