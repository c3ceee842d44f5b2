//! The journals of `tests/journals`: written once by the version that names the folder, and readable for ever.
#![allow(dead_code, reason = "each test program uses its part")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use journal::{Durability, Identity, Log, MemoryStorage, OpenError, Options, Report, Severity};
use keeper::protocol::{ExitStatus, Occasion, Reason};
use machine::change::Change;
use machine::job::Process;
use machine::state::{Pending, State};
use manager::resume::{Recovery, go_on};

/// Where they are.
pub(crate) fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/journals")).to_path_buf()
}

/// All of them: the name of the folder, and the directory as it was written.
pub(crate) fn all() -> Vec<(String, MemoryStorage)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let disk = MemoryStorage::new();
        for file in fs::read_dir(path.join("journal")).unwrap() {
            let file = file.unwrap();
            disk.put(file.file_name().to_str().unwrap(), fs::read(file.path()).unwrap());
        }
        found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), disk));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(!found.is_empty());
    found
}

/// As all of them were written: in segments that are small enough to be many.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 8192,
        checkpoint_bytes: 1 << 20,
        durability: Durability::None,
        identity: Identity { boot_id: *b"stayup's fixture", pid_namespace: 4_026_531_836 },
    }
}

/// What a manager has after its recovery.
#[derive(Debug)]
pub(crate) struct Found {
    pub state: State,
    pub digest: u32,
    pub report: Report,
    pub recovery: Recovery,
}

impl Found {
    /// Whether people are told that something was lost or mended.
    pub(crate) fn is_told(&self) -> bool {
        self.report.severity() >= Severity::Repaired || !self.recovery.findings.is_empty()
    }
}

/// Comes back as a manager does after one that was killed.
///
/// # Errors
/// When the storage fails.
pub(crate) fn recover(disk: &MemoryStorage) -> Result<Found, OpenError> {
    let (log, recovered) = Log::open(disk.clone(), options())?;
    let report = recovered.report.clone();
    let reason = Reason::ManagerEnded(ExitStatus::Signal { signal: 9, core_dumped: false });
    let occasion = Occasion { reason, failed_starts: 0, restarts: 1, session: 1 };
    let resumed = go_on(Some((log, recovered)), &occasion, Recovery::default());
    let digest = record::digest(&resumed.state).unwrap();
    Ok(Found { state: resumed.state, digest, report, recovery: resumed.recovery })
}

/// Every state on the way: of the oldest checkpoint (or the beginning), and after each frame. The newest checkpoints are
/// taken away one after the other, as long as something can be replayed without.
pub(crate) fn states_on_the_way(disk: &MemoryStorage) -> Vec<u32> {
    let disk = disk.snapshot();
    let mut best = frames_of(&disk);
    for name in disk.files().into_keys().filter(|name| name.starts_with("checkpoint-")).rev() {
        disk.take(&name);
        let longer = frames_of(&disk);
        if longer.len() > best.len() {
            best = longer;
        }
    }
    best
}

fn frames_of(disk: &MemoryStorage) -> Vec<u32> {
    let (_log, found) = Log::open(disk.snapshot(), options()).unwrap();
    let mut state = found.checkpoint.map_or_else(State::default, |found| record::decode_state(&found.state).unwrap());
    let mut digests = vec![record::digest(&state).unwrap()];
    for frame in found.frames {
        for change in record::decode_changes(&frame.payload).unwrap() {
            state.apply(&change, &mut Vec::new());
        }
        digests.push(record::digest(&state).unwrap());
    }
    digests
}

/// A state in lines, by its public questions: what a later version must still find, however it keeps it.
pub(crate) fn listing(state: &State) -> String {
    let mut text = String::new();
    let settings = state.settings();
    let _ = writeln!(text, "booted {}, generation {}", state.has_booted(), state.generation());
    let _ = writeln!(text, "session {}, origin {:?}, base {:?}", settings.is_session, settings.origin, settings.base);
    let _ = writeln!(text, "environment {:?}", state.environment());
    let _ = writeln!(text, "log priority {}, outbox {}", state.log_priority().name(), state.has_outbox());
    let _ = writeln!(text, "last connection {}, deadline {:?}", state.last_connection(), state.next_deadline_ms());
    for (name, record) in state.classes() {
        let pending = match &record.pending {
            None => "",
            Some(Pending::Replacement(_)) => ", to be replaced",
            Some(Pending::Removal) => ", to be removed",
        };
        let definition = &record.definition;
        let on = |condition: &Option<machine::condition::Condition>| {
            condition.as_ref().map(machine::condition::Condition::expression).unwrap_or_default()
        };
        let _ = writeln!(text, "class {name}{pending}: instances {:?}", record.instances);
        let _ = writeln!(text, "  start on {:?} held {:?}", on(&definition.start_on), record.start_on.held);
        let _ = writeln!(text, "  stop on {:?}, main {:?}", on(&definition.stop_on), definition.main);
        let (task, respawn, expect) = (definition.task, definition.respawn, definition.expect.name());
        let _ = writeln!(text, "  task {task}, respawn {respawn}, expect {expect}, env {:?}", definition.env);
    }
    for instance in state.instances() {
        let (goal, job_state) = (instance.goal.name(), instance.state.name());
        let _ = writeln!(text, "instance {}: {goal}/{job_state}, failure {:?}", instance.title(), instance.failure);
        let _ = writeln!(text, "  given {:?}, next {:?}", instance.given, instance.next_given);
        let _ = writeln!(text, "  environment {:?}, stop {:?}", instance.environment, instance.stop_environment);
        let _ = writeln!(text, "  stop on held {:?}, blocks {:?}", instance.stop_on.held, instance.blocks);
        let _ = writeln!(text, "  blocked by {:?}, callers {:?}", instance.blocked_by, instance.callers);
        let _ = writeln!(text, "  respawns {:?}, deadline {:?}", instance.respawns, instance.deadline_ms);
        for process in &instance.processes {
            let Process { kind, ticket, pid, start_time_ticks, awaits, signals } = process;
            let latest = signals.last();
            let _ = writeln!(
                text,
                "  Process {{ kind: {kind:?}, ticket: {ticket}, pid: {pid}, start_time_ticks: {start_time_ticks}, awaits: {awaits}, signal: {latest:?} }}"
            );
        }
    }
    for (number, event) in state.events() {
        let _ = writeln!(text, "event {number}: {event:?}");
    }
    for (ticket, stray) in state.strays() {
        let _ = writeln!(text, "stray {ticket}: {} as {}", stray.label, stray.pid);
    }
    text
}

/// The kinds of change. A new one belongs at the end, here as in the journal; and then the journals that are there lack it:
/// write those of this version with the generator (see `tests/journals/README.md`).
pub(crate) const KINDS: [&str; 51] = [
    "Settled",
    "Booted",
    "Restarted",
    "Performed",
    "ClassDefined",
    "ClassReplaced",
    "ClassRemoved",
    "ClassDoomed",
    "ClassKept",
    "EnvironmentSet",
    "InstanceEnvironmentSet",
    "LogPrioritySet",
    "CallTaken",
    "ConnectionEnded",
    "EventQueued",
    "EventHandled",
    "EventFailed",
    "EventFinished",
    "StartMatched",
    "StopMatched",
    "StartReset",
    "StopReset",
    "InstanceCreated",
    "StartGiven",
    "StopGiven",
    "GoalChanged",
    "StateChanged",
    "Begun",
    "Blocked",
    "EventAttached",
    "Detached",
    "CallerAttached",
    "Failed",
    "Respawned",
    "DeadlineSet",
    "InstanceDestroyed",
    "ProcessRequested",
    "ProcessSpawned",
    "ProcessForked",
    "ProcessEnded",
    "SignalRequested",
    "SignalConfirmed",
    "Announced",
    "SessionEnding",
    "ReexecRequested",
    "StrayNoted",
    "StrayEnded",
    "StrayAdopted",
    "Unblocked",
    "TaskTaken",
    "NumberSeen",
];

/// The kind of a change: its number in the journal's bytes.
pub(crate) fn kind(change: &Change) -> &'static str {
    let bytes = bincode::serde::encode_to_vec(change, bincode::config::standard()).unwrap();
    KINDS[usize::from(bytes[0])]
}
