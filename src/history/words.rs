//! Changes and what they were made for, in words for people.

use machine::change::Change;
use machine::effect::{Announcement, Answer, Caller};
use machine::job::{Cause, Failure};
use machine::signals;
use record::{Origin, Who};

use crate::names::Names;

/// What became true, without the job that it is about (that is [`Names::job`]).
#[must_use]
pub fn change(change: &Change, names: &Names) -> String {
    let event = |number: &u64| {
        names.event(*number).map_or_else(|| format!("event {number}"), |name| format!("event {name} ({number})"))
    };
    match change {
        Change::Settled(settings) => {
            format!("settings: {} init", if settings.is_session { "a session's" } else { "the system's" })
        }
        Change::Booted => "booted".into(),
        Change::Restarted { generation } => format!("restarted, generation {generation}"),
        Change::Performed { through } => format!("told up to announcement {through}"),
        Change::ClassDefined(_) => "job file defined".into(),
        Change::ClassReplaced(_) => "new job file, for when its instances are gone".into(),
        Change::ClassRemoved { .. } => "job removed".into(),
        Change::ClassDoomed { .. } => "job file gone; the job goes with its last instance".into(),
        Change::ClassKept { .. } => "job file as before".into(),
        Change::EnvironmentSet { table } => format!("job environment: {}", variables(table)),
        Change::InstanceEnvironmentSet { table, .. } => format!("environment: {}", variables(table)),
        Change::LogPrioritySet(priority) => format!("log priority {}", priority.name()),
        Change::CallTaken(caller) => format!("call {} taken", self::caller(caller)),
        Change::ConnectionEnded { connection } => format!("connection {connection} ended"),
        Change::EventQueued { event, name, environment, .. } => {
            let variables = if environment.is_empty() { String::new() } else { format!(" {}", environment.join(" ")) };
            format!("event {name} ({event}){variables}")
        }
        Change::EventHandled { event: number } => format!("{} shown to all conditions", event(number)),
        Change::EventFailed { event: number } => format!("{} has failed", event(number)),
        Change::EventFinished { event: number } => format!("{} finished", event(number)),
        Change::StartMatched { event: number, .. } => format!("start on: {}", event(number)),
        Change::StopMatched { event: number, .. } => format!("stop on: {}", event(number)),
        Change::StartReset { .. } => "start on: begins anew".into(),
        Change::StopReset { .. } => "stop on: begins anew".into(),
        Change::InstanceCreated { instance, .. } => format!("instance {instance} created"),
        Change::StartGiven { given, .. } => format!("to be started with: {}", variables(given)),
        Change::StopGiven { environment, .. } => format!("to be stopped with: {}", variables(environment)),
        Change::GoalChanged { goal, .. } => format!("goal {}", goal.name()),
        Change::StateChanged { state, .. } => format!("state {}", state.name()),
        Change::Begun { environment, .. } => format!("begins with: {}", variables(environment)),
        Change::Blocked { event: number, .. } => format!("waits for {}", event(number)),
        Change::EventAttached { event: number, .. } => format!("{} waits for it", event(number)),
        Change::Detached { .. } => "nobody waits for it any longer".into(),
        Change::CallerAttached { caller: who, .. } => format!("call {} waits for it", caller(who)),
        Change::Failed { failure: what, .. } => format!("failed: {}", failure(what)),
        Change::Respawned { count, .. } => format!("respawned ({count} within the interval)"),
        Change::DeadlineSet { deadline_ms: Some(at), .. } => format!("deadline {at} ms after boot"),
        Change::DeadlineSet { deadline_ms: None, .. } => "deadline lifted".into(),
        Change::InstanceDestroyed { .. } => "instance gone".into(),
        _ => process_change(change, names),
    }
}

fn process_change(change: &Change, names: &Names) -> String {
    let kind = |ticket: &u64| match names.ticket(*ticket) {
        Some((_, kind)) => format!("{} process", kind.name()),
        None => "process".into(),
    };
    match change {
        Change::ProcessRequested { kind, ticket, .. } => format!("{} process requested, ticket {ticket}", kind.name()),
        Change::ProcessSpawned { ticket, pid, .. } => format!("{} has pid {pid}, ticket {ticket}", kind(ticket)),
        Change::ProcessForked { ticket, pid, .. } => format!("{} is now pid {pid}, ticket {ticket}", kind(ticket)),
        Change::ProcessEnded { ticket } => format!("{} gone, ticket {ticket}", kind(ticket)),
        Change::SignalRequested { ticket, signal, whole_group, .. } => {
            let group = if *whole_group { " and its group" } else { "" };
            format!("{} for the {}{group}, ticket {ticket}", self::signal(*signal), kind(ticket))
        }
        Change::SignalConfirmed { ticket, .. } => format!("signal for the {} sent, ticket {ticket}", kind(ticket)),
        Change::Announced(announcement) => announced(announcement),
        Change::SessionEnding { deadline_ms } => format!("session ending, by {deadline_ms} ms after boot"),
        Change::ReexecRequested => "the keeper is to execute itself anew".into(),
        Change::StrayNoted { ticket, pid, label } => {
            format!("stray process {pid} ({}), ticket {ticket}", label.replace('\0', " "))
        }
        Change::StrayEnded { ticket } => format!("stray process ended, ticket {ticket}"),
        Change::StrayAdopted { ticket } => format!("stray process adopted, ticket {ticket}"),
        Change::Unblocked { .. } => "waits no longer; its event was lost".into(),
        Change::TaskTaken => "next piece of work".into(),
        Change::NumberSeen { number } => format!("numbers up to {number} are used"),
        // All others are told by `change`.
        _ => String::new(),
    }
}

fn announced(announcement: &Announcement) -> String {
    match announcement {
        Announcement::Reply(to, Answer::Done) => format!("reply to {}: done", caller(to)),
        Announcement::Reply(to, Answer::Instance(..)) => format!("reply to {}: the instance", caller(to)),
        Announcement::Reply(to, Answer::Error(error)) => format!("reply to {}: {error}", caller(to)),
        Announcement::EventEmitted(name, _) => format!("signal EventEmitted {name}"),
        Announcement::JobAdded(_) => "signal JobAdded".into(),
        Announcement::JobRemoved(_) => "signal JobRemoved".into(),
        Announcement::InstanceAdded(..) => "signal InstanceAdded".into(),
        Announcement::InstanceRemoved(..) => "signal InstanceRemoved".into(),
        Announcement::GoalChanged(_, _, goal) => format!("signal GoalChanged {}", goal.name()),
        Announcement::StateChanged(_, _, state) => format!("signal StateChanged {}", state.name()),
        Announcement::Failed(_, _, status) => format!("signal Failed {status}"),
        Announcement::Restarted(generation) => format!("signal Restarted {generation}"),
        Announcement::Log(priority, text) => format!("log {}: {text}", priority.name()),
    }
}

/// What happened.
#[must_use]
pub fn origin(origin: &Origin, names: &Names) -> String {
    let process = |ticket: &u64| match names.ticket(*ticket) {
        Some((number, kind)) => {
            let job = names.instance(number).map_or_else(|| format!("instance {number}"), |job| job.title());
            format!("{} process of {job}", kind.name())
        }
        None => format!("process of ticket {ticket}"),
    };
    match origin {
        Origin::Unknown => "(not written down)".into(),
        Origin::Settings => "a manager starts".into(),
        Origin::RollCall { is_restart: false, .. } => "roll call at the start".into(),
        Origin::RollCall { reason, .. } => format!("roll call after {reason}"),
        Origin::Startup => "the first start".into(),
        Origin::JobFile { class } => format!("job file of {class} read"),
        Origin::JobFileGone { class } => format!("job file of {class} is gone"),
        Origin::Call { caller: from, method, subject, who } => {
            let space = if subject.is_empty() { "" } else { " " };
            format!("{} asks: {method}{space}{subject}", asker(from, who.as_ref()))
        }
        Origin::Disconnected { connection } => format!("connection {connection} has ended"),
        Origin::Spawned { ticket } => format!("{} started", process(ticket)),
        Origin::SpawnFailed { ticket, reason } => format!("{} not started: {reason}", process(ticket)),
        Origin::Forked { ticket } => format!("{} has forked", process(ticket)),
        Origin::Stopped { ticket } => format!("{} has stopped itself", process(ticket)),
        Origin::Ready { ticket } => format!("{} says it is ready", process(ticket)),
        Origin::Exited { ticket, cause: how } => format!("{} {}", process(ticket), cause(*how)),
        Origin::Signalled { ticket } => format!("signal sent to {}", process(ticket)),
        Origin::Signal { name } => format!("signal to init: {name}"),
        Origin::LogPriority => "log priority of the command line".into(),
        Origin::Performed => "told".into(),
        Origin::Tick => "time, or more of the turn before".into(),
    }
}

/// Whoever makes a call: `initctl (pid 77, user 0)`, or its name on a bus.
#[must_use]
pub fn asker(from: &Caller, who: Option<&Who>) -> String {
    match (who, &from.sender) {
        (Some(who), _) => {
            let program = if who.program.is_empty() { "somebody" } else { &who.program };
            format!("{program} (pid {}, user {})", who.pid, who.uid)
        }
        (None, Some(sender)) => format!("{sender} on the bus"),
        (None, None) => format!("connection {}", from.connection),
    }
}

fn caller(caller: &Caller) -> String {
    match &caller.sender {
        Some(sender) => format!("{} of {sender}", caller.serial),
        None => format!("{} of connection {}", caller.serial, caller.connection),
    }
}

/// How a process ended: `exited with status 3`, `was killed by SIGSEGV`.
#[must_use]
pub fn cause(cause: Cause) -> String {
    match cause {
        Cause::Status(0) => "ended".into(),
        Cause::Status(status) => format!("exited with status {status}"),
        Cause::Signal(number) => format!("was killed by {}", signal(number)),
        Cause::Unknown => "is gone, nobody knows how".into(),
    }
}

/// Why a job failed.
#[must_use]
pub fn failure(failure: &Failure) -> String {
    match (failure.process, failure.cause) {
        (None, _) => "respawning too fast".into(),
        (Some(kind), None) => format!("{} process could not be started", kind.name()),
        (Some(kind), Some(how)) => format!("{} process {}", kind.name(), cause(how)),
    }
}

/// `SIGTERM`, or the number of a signal without a name.
#[must_use]
pub fn signal(number: i32) -> String {
    signals::name(number).map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}

fn variables(table: &[impl AsRef<str>]) -> String {
    let entries: Vec<&str> = table.iter().map(AsRef::as_ref).collect();
    if entries.is_empty() { "no variables".into() } else { entries.join(" ") }
}
