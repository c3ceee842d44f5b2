//! What the keeper knows against what the journal says, one disagreement at a time.

use machine::Outcome;
use machine::change::Change;
use machine::effect::{Announcement, Caller, Effect};
use machine::input::{Call, Input, RollCall, RollCallCondition, RollCallEntry};
use machine::job::{Cause, Goal, JobState, Process, ProcessKind};
use machine::state::State;

const PID: i32 = 70;
const RUNNING: RollCallCondition = RollCallCondition::Running { forks_left: 0, has_stopped: false };

fn turn(state: &mut State, input: Input) -> Outcome {
    machine::turn(state, 1_000, input)
}

fn define(state: &mut State, text: &str) {
    let class = machine::parse::parse_class("job", text.as_bytes()).expect("a sound job file");
    turn(state, Input::Define(Box::new(class)));
}

/// A state in which a job has been started, and the ticket that the keeper was asked for.
fn started(text: &str) -> (State, u64) {
    let mut state = State::default();
    turn(&mut state, Input::RollCall(RollCall::default()));
    define(&mut state, text);
    let caller = Caller { connection: 1, serial: 1, sender: None };
    let call = Call::Start { class: "job".into(), environment: Vec::new(), wait: false };
    let outcome = turn(&mut state, Input::Call(caller, call));
    let spawned = outcome.effects.iter().find_map(|effect| match effect {
        Effect::Spawn(ticket) => Some(*ticket),
        _ => None,
    });
    (state, spawned.expect("it is asked for"))
}

/// The same, and the keeper has said that it runs.
fn running(text: &str) -> (State, u64) {
    let (mut state, ticket) = started(text);
    turn(&mut state, Input::Spawned { ticket, pid: PID, start_time_ticks: 5 });
    (state, ticket)
}

fn entry(ticket: u64, pid: i32, condition: RollCallCondition) -> RollCallEntry {
    let label = machine::spawn::label(ProcessKind::Main, "job", "");
    RollCallEntry { ticket, label, pid, start_time_ticks: 5, last_signal_request: 0, condition }
}

/// A manager comes back, and the keeper has this to say.
fn come_back(state: &mut State, entries: Vec<RollCallEntry>) -> Outcome {
    turn(state, Input::RollCall(RollCall { is_restart: true, entries, ..RollCall::default() }))
}

fn process(state: &State, ticket: u64) -> &Process {
    state.process(ticket).expect("it is known").2
}

fn job_state(state: &State) -> Option<JobState> {
    state.find("job", "").map(|instance| instance.state)
}

fn logged(outcome: &Outcome) -> Vec<&str> {
    fn text(change: &Change) -> Option<&str> {
        let Change::Announced(announcement) = change else { return None };
        let Announcement::Log(_, text) = announcement.as_ref() else { return None };
        Some(text)
    }
    outcome.changes.iter().filter_map(text).collect()
}

fn has_forked(outcome: &Outcome) -> bool {
    outcome.changes.iter().any(|change| matches!(change, Change::ProcessForked { .. }))
}

#[test]
fn each_coming_back_is_counted() {
    let mut state = State::default();
    turn(&mut state, Input::RollCall(RollCall::default()));
    assert_eq!(state.generation(), 0);
    for generation in [1, 2] {
        come_back(&mut state, Vec::new());
        assert_eq!(state.generation(), generation);
    }
}

#[test]
fn a_boot_that_was_or_that_is_still_to_come_is_not_made_up() {
    let numbers = |is_restart| RollCall { is_restart, highest_number: 1_000, ..RollCall::default() };
    let mut booted = State::default();
    turn(&mut booted, Input::RollCall(RollCall::default()));
    turn(&mut booted, Input::Startup(None));
    for (mut state, is_restart) in [(booted, true), (State::default(), false)] {
        let outcome = turn(&mut state, Input::RollCall(numbers(is_restart)));
        assert!(!outcome.changes.contains(&Change::Booted), "{:?}", outcome.changes);
        assert!(outcome.changes.contains(&Change::NumberSeen { number: 1_000 }), "{:?}", outcome.changes);
    }
}

#[test]
fn the_file_of_an_event_that_waits_is_not_given_up() {
    let mut state = State::default();
    turn(&mut state, Input::RollCall(RollCall::default()));
    define(&mut state, "start on up\ntask\nexec job\n");
    let caller = Caller { connection: 1, serial: 1, sender: None };
    let emit = |name: &str, file: Option<&str>| Call::Emit {
        name: name.into(),
        environment: Vec::new(),
        wait: false,
        file: file.map(str::to_owned),
    };
    turn(&mut state, Input::Call(caller, emit("up", Some("waits"))));
    let files = vec!["waits".to_owned(), "forgotten".to_owned()];
    let call = RollCall { is_restart: true, files, ..RollCall::default() };
    let outcome = turn(&mut state, Input::RollCall(call));
    let released: Vec<&Effect> = outcome.effects.iter().filter(|effect| matches!(effect, Effect::Release(_))).collect();
    assert_eq!(released, [&Effect::Release("forgotten".into())]);
}

#[test]
fn a_fork_that_nobody_has_heard_of_is_one_and_one_that_was_not_is_none() {
    const FORK: &str = "expect fork\nexec job\n";
    let left = |forks_left| RollCallCondition::Running { forks_left, has_stopped: false };
    // The journal knows no process, or the one before the fork.
    for (mut state, ticket) in [started(FORK), running(FORK)] {
        come_back(&mut state, vec![entry(ticket, PID + 1, left(0))]);
        assert_eq!((process(&state, ticket).pid, process(&state, ticket).awaits), (PID + 1, 0));
        assert_eq!(job_state(&state), Some(JobState::Running));
    }
    let (mut state, ticket) = running(FORK);
    let outcome = come_back(&mut state, vec![entry(ticket, PID, left(1))]);
    assert!(!has_forked(&outcome), "{:?}", outcome.changes);
    assert_eq!(job_state(&state), Some(JobState::Spawned));
    // Nothing to be waited for, and another process all the same.
    let (mut state, ticket) = running("exec job\n");
    come_back(&mut state, vec![entry(ticket, PID + 1, RUNNING)]);
    assert_eq!(process(&state, ticket).pid, PID + 1);
}

#[test]
fn one_that_is_ready_by_other_means_than_forks_is_not_ready_because_it_has_none() {
    for expect in ["stop", "notify"] {
        let (mut state, ticket) = running(&format!("expect {expect}\nexec job\n"));
        let outcome = come_back(&mut state, vec![entry(ticket, PID, RUNNING)]);
        assert!(!has_forked(&outcome), "{expect}: {:?}", outcome.changes);
        assert_eq!(job_state(&state), Some(JobState::Spawned), "{expect}");
    }
}

#[test]
fn an_end_names_the_process_that_has_ended() {
    for (pid, forked) in [(PID, false), (PID + 1, true)] {
        let (mut state, ticket) = running("exec job\n");
        let outcome = come_back(&mut state, vec![entry(ticket, pid, RollCallCondition::Exited(Cause::Status(3)))]);
        assert_eq!(has_forked(&outcome), forked, "{:?}", outcome.changes);
        assert!(outcome.effects.contains(&Effect::Acknowledge(ticket)));
        assert_eq!(job_state(&state), None);
    }
}

#[test]
fn who_is_being_started_or_has_no_number_of_ours_is_a_stranger() {
    const HIGHEST: u64 = 1 << 62;
    for (ticket, condition, is_ours) in [
        (7, RUNNING, true),
        (7, RollCallCondition::Starting, false),
        (HIGHEST, RUNNING, true),
        (HIGHEST + 1, RUNNING, false),
        (u64::MAX, RUNNING, false),
    ] {
        let mut state = State::default();
        define(&mut state, "exec job\n");
        come_back(&mut state, vec![entry(ticket, PID, condition)]);
        assert_eq!(state.process(ticket).is_some(), is_ours, "{ticket}");
        assert_eq!(state.strays().any(|(stray, _)| stray == ticket), !is_ours, "{ticket}");
    }
}

/// Asked for and not heard of yet, or running: with the newest frames lost, the keeper has forgotten that one long ago.
#[test]
fn a_job_whose_process_was_replaced_unheard_of_is_started_beside_it() {
    for text in ["respawn\nexec job\n", "respawn\nexpect fork\nexec job\n", "respawn\nexpect stop\nexec job\n"] {
        for ((mut state, before), is_heard_of) in [(started(text), false), (running(text), true)] {
            let ticket = before + 5;
            let mut other = entry(before + 6, PID + 2, RUNNING);
            other.label = machine::spawn::label(ProcessKind::Main, "job", "other");
            let condition = RollCallCondition::Running { forks_left: 0, has_stopped: text.contains("stop") };
            let outcome = come_back(&mut state, vec![entry(ticket, PID + 1, condition), other]);
            assert!(state.process(before).is_none(), "{text} {before} {:?}", outcome.changes);
            assert_eq!(process(&state, ticket).pid, PID + 1);
            assert_eq!(job_state(&state), Some(JobState::Running), "{text}");
            let words =
                if is_heard_of { "main process (70) has ended" } else { "main process that was asked for has ended" };
            assert!(logged(&outcome).iter().any(|line| line.contains(words)), "{:?}", logged(&outcome));
            let is_spawn = |effect: &Effect| matches!(effect, Effect::Spawn(_));
            assert!(!outcome.effects.iter().any(is_spawn), "{:?}", outcome.effects);
            assert!(!state.strays().any(|(stray, _)| stray == ticket));
        }
    }
}

#[test]
fn a_job_that_was_ready_waits_for_the_forks_of_its_next_process() {
    let (mut state, before) = running("respawn\nexpect fork\nexec job\n");
    turn(&mut state, Input::Forked { ticket: before, pid: PID + 1, start_time_ticks: 6, forks_left: 0 });
    assert_eq!(job_state(&state), Some(JobState::Running));
    let condition = RollCallCondition::Running { forks_left: 1, has_stopped: false };
    let outcome = come_back(&mut state, vec![entry(before + 5, PID + 2, condition)]);
    assert_eq!((process(&state, before + 5).awaits, job_state(&state)), (0, Some(JobState::Running)));
    assert!(outcome.effects.contains(&Effect::Settle(before + 5)));
}

/// A post-start process, and jobs that are being stopped or started anew.
#[test]
fn only_a_main_process_that_is_to_stay_has_another_one_in_its_place() {
    let (class, environment): (String, Vec<String>) = ("job".into(), Vec::new());
    let stop = Call::Stop { class: class.clone(), environment: environment.clone(), wait: false };
    let start = Call::Start { class, environment, wait: false };
    // While there is another process to wait for, and while it ends.
    let with_another = "exec job\npost-start exec other\n";
    for (text, calls, up) in [(with_another, vec![stop.clone()], true), ("exec job\n", vec![stop, start], false)] {
        let (mut state, before) = running(text);
        for (serial, call) in (2..).zip(calls) {
            turn(&mut state, Input::Call(Caller { connection: 1, serial, sender: None }, call));
        }
        let instance = state.find("job", "").expect("it is there");
        let is_up = matches!(instance.state, JobState::PostStarting | JobState::Running);
        assert_eq!(
            (is_up, instance.goal == Goal::Start),
            (up, !up),
            "{text}: {:?} {:?}",
            instance.state,
            instance.goal
        );
        let outcome = come_back(&mut state, vec![entry(before + 5, PID + 1, RUNNING)]);
        assert!(logged(&outcome).iter().all(|line| !line.contains("unheard of")), "{:?}", logged(&outcome));
    }
    let (mut state, main) = running("exec job\npost-start exec other\n");
    let instance = state.find("job", "").expect("it is there");
    let before = instance.processes.iter().find(|process| process.ticket != main).expect("post-start").ticket;
    turn(&mut state, Input::Spawned { ticket: before, pid: PID + 1, start_time_ticks: 6 });
    let label = machine::spawn::label(ProcessKind::PostStart, "job", "");
    let stranger = RollCallEntry { label, ..entry(before + 5, PID + 2, RUNNING) };
    come_back(&mut state, vec![entry(main, PID, RUNNING), stranger]);
    assert!(state.process(before + 5).is_none() && state.process(main).is_some());
}

#[test]
fn a_process_that_is_not_the_next_of_its_job_is_taken_for_it() {
    let label = |kind| machine::spawn::label(kind, "job", "");
    let starting = RollCallCondition::Starting;
    for (ticket, label, condition) in [
        (50, label(ProcessKind::PostStart), RUNNING),
        (50, label(ProcessKind::Main), starting),
        ((1 << 62) + 1, label(ProcessKind::Main), RUNNING),
    ] {
        let (mut state, before) = running("exec job\n");
        let stranger = RollCallEntry { ticket, label, ..entry(ticket, PID + 1, condition) };
        come_back(&mut state, vec![stranger]);
        assert!(state.process(ticket).is_none() && state.process(before).is_none());
        assert_eq!(job_state(&state), None);
    }
    // One that is older.
    let (mut state, before) = running("exec job\n");
    come_back(&mut state, vec![entry(before - 1, PID + 1, RUNNING)]);
    assert!(state.process(before - 1).is_none());
    // The job was on its way down: that way is behind it.
    let (mut state, before) = running("exec job\n");
    let caller = Caller { connection: 1, serial: 2, sender: None };
    let call = Call::Stop { class: "job".into(), environment: Vec::new(), wait: false };
    turn(&mut state, Input::Call(caller, call));
    let outcome = come_back(&mut state, vec![entry(before + 5, PID + 1, RUNNING)]);
    assert_eq!((process(&state, before + 5).pid, job_state(&state)), (PID + 1, Some(JobState::Running)));
    assert!(outcome.effects.iter().any(|effect| matches!(effect, Effect::Announce(..))));
}

#[test]
fn an_instance_that_waits_for_an_event_that_is_lost_goes_on() {
    let (mut state, ticket) = running("exec job\n");
    let instance = state.process(ticket).expect("it is known").0;
    state.apply(&Change::Blocked { instance, event: 999 }, &mut Vec::new());
    come_back(&mut state, vec![entry(ticket, PID, RUNNING)]);
    assert_eq!(state.find("job", "").expect("it runs").blocked_by, None);
}

#[test]
fn signals_are_pending_until_the_keeper_has_confirmed_them() {
    let (mut state, ticket) = running("exec job\n");
    let (hup, term) = (1, 15);
    let mut apply = |change| {
        state.apply(&change, &mut Vec::new());
        let signals = &process(&state, ticket).signals;
        signals.iter().map(|signal| (signal.request, signal.confirmed)).collect::<Vec<_>>()
    };
    let ask = |request, signal, whole_group| Change::SignalRequested { ticket, request, signal, whole_group };
    let confirm = |request| Change::SignalConfirmed { ticket, request };
    assert_eq!(apply(ask(100, term, false)), [(100, false)]);
    assert_eq!(apply(ask(101, hup, false)), [(100, false), (101, false)]);
    assert_eq!(apply(ask(102, term, true)), [(100, false), (101, false), (102, false)], "to the group is another one");
    assert_eq!(apply(ask(103, term, false)), [(101, false), (102, false), (103, false)], "it was pending already");
    assert_eq!(apply(confirm(102)), [(103, false)], "what was asked for before has arrived, too");
    assert_eq!(apply(ask(104, hup, false)), [(103, false), (104, false)], "what has arrived is done");
    assert_eq!(apply(confirm(104)), [(104, true)]);
    assert_eq!(apply(ask(105, hup, false)), [(105, false)]);
}
