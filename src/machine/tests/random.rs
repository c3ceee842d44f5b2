//! Any jobs, any events, any crashes: what must hold, holds.
//!
//! Jobs are made as the text of job files, so that what proptest has shrunk can be read and made a story.

#[path = "../../../fuzz/oracles/play.rs"]
mod play;
mod world;

use std::fmt::Write as _;

use machine::input::Input;
use machine::job::Cause;
use play::{Act, JOBS, play};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use world::Stage;

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
