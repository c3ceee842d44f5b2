//! Coming back: the journal is opened, and the state is what its changes make of it.
//!
//! This is the ladder of recovery, each rung tried only when the one above has failed:
//! 1. replay, a torn tail cut by the journal's own rules;
//! 2. a frame that cannot be read or a damaged middle: replay up to it, the rest set aside;
//! 3. managers that keep ending before they are ready: the newest frames are set aside, more each time;
//! 4. (the keeper goes back to the program that worked last;)
//! 5. nothing can be replayed: begin without a past, and let the roll call and the job files tell what there is.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use journal::{FileStorage, Frame, Identity, Log, OpenError, Options, Recovered, Severity, Storage};
use keeper::protocol::{Occasion, Reason};
use machine::state::State;

/// Managers that ended before they were ready, until the newest frames are suspected.
const SUSPECT_FRAMES_AFTER: u32 = 3;

/// And until the whole journal is.
const SUSPECT_ALL_AFTER: u32 = 7;

/// What recovery found, for people and for D-Bus (`LastRecovery`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Why there was one.
    pub reason: String,
    /// Frames that were replayed after the checkpoint.
    pub frames: u64,
    /// The last sequence number.
    pub sequence: u64,
    /// What was repaired or lost, in words.
    pub findings: Vec<String>,
    /// Whether the past is lost and was rebuilt from the roll call.
    pub is_rebuilt: bool,
    /// Whether the journal still holds what was not believed, so that nothing may be appended before the next checkpoint.
    pub needs_checkpoint: bool,
    /// How long it took.
    pub took: Duration,
}

/// A state and the journal to go on with.
pub struct Resumed<S: Storage> {
    /// The state.
    pub state: State,
    /// The journal; none if there can be none, and init goes on without.
    pub journal: Option<Log<S>>,
    /// What was found.
    pub recovery: Recovery,
}

/// Opens the journal in `directory` and replays it; a manager that is the first of its keeper begins anew.
#[must_use]
pub fn resume(directory: &Path, occasion: &Occasion) -> Resumed<FileStorage> {
    let begin = Instant::now();
    let mut recovery = Recovery { reason: describe(occasion.reason), ..Recovery::default() };
    if occasion.reason == Reason::Boot {
        // Whatever lies there belonged to another keeper.
        if let Err(error) = fs::remove_dir_all(directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            recovery.findings.push(format!("{}: {error}", directory.display()));
        }
    }
    let opened = open(directory, &mut recovery);
    let mut resumed = go_on(opened, occasion, recovery);
    resumed.recovery.took = begin.elapsed();
    resumed
}

/// The rungs above opening: replays what an open journal has given out, if there is one.
#[must_use]
pub fn go_on<S: Storage>(
    opened: Option<(Log<S>, Recovered)>,
    occasion: &Occasion,
    mut recovery: Recovery,
) -> Resumed<S> {
    let (state, journal) = match opened {
        Some((mut log, recovered)) => {
            let state = replay(&mut log, recovered, occasion.failed_starts, &mut recovery);
            (state, Some(log))
        }
        None => (None, None),
    };
    recovery.is_rebuilt = state.is_none() && occasion.reason != Reason::Boot;
    Resumed { state: state.unwrap_or_default(), journal, recovery }
}

/// Opens the journal; one that cannot be opened is set aside, and a new one begun.
fn open(directory: &Path, recovery: &mut Recovery) -> Option<(Log<FileStorage>, Recovered)> {
    for attempt in 0..2 {
        match try_open(directory, recovery) {
            Ok(opened) => return Some(opened),
            Err(problem) => {
                recovery.findings.push(format!("journal {}: {problem}", directory.display()));
                if attempt > 0 {
                    break;
                }
                let aside = directory.with_extension(format!("unusable-{}", std::process::id()));
                match fs::rename(directory, &aside) {
                    Ok(()) => recovery.findings.push(format!("it was set aside as {}", aside.display())),
                    Err(error) => recovery.findings.push(format!("it cannot be set aside: {error}")),
                }
            }
        }
    }
    recovery.findings.push("going on without a journal: a crash from here on loses what jobs were doing".into());
    None
}

fn try_open(directory: &Path, recovery: &mut Recovery) -> Result<(Log<FileStorage>, Recovered), String> {
    make_directory(directory).map_err(|error| error.to_string())?;
    let storage = FileStorage::at(directory).map_err(|error| error.to_string())?;
    if !storage.is_on_tmpfs().unwrap_or(true) {
        let text = format!("{} is not on a tmpfs: init may have to wait for a disk", directory.display());
        recovery.findings.push(text);
    }
    let identity = Identity::of_this_system().map_err(|error| error.to_string())?;
    match Log::open(storage, Options::new(identity)) {
        Ok(opened) => {
            if opened.1.report.severity() >= Severity::Loss {
                let aside = directory.join(journal::QUARANTINE);
                recovery.findings.push(format!("what could not be replayed is set aside in {}", aside.display()));
            }
            Ok(opened)
        }
        Err(OpenError::Locked) => Err("another init writes it".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes the directory, for our eyes only. One that is there must be ours: /dev/shm is open to everybody.
fn make_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let owner = fs::symlink_metadata(directory)?.uid();
    if owner == nix::unistd::geteuid().as_raw() {
        Ok(())
    } else {
        let text = format!("it belongs to user {owner}; remove it");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    }
}

/// Replays what was found; none if there is nothing that can be replayed.
fn replay<S: Storage>(
    log: &mut Log<S>,
    recovered: Recovered,
    failed_starts: u32,
    recovery: &mut Recovery,
) -> Option<State> {
    recovery.sequence = recovered.report.last_sequence;
    if recovered.report.severity() > Severity::Note {
        recovery.findings.extend(recovered.report.findings.iter().map(ToString::to_string));
    }
    let mut frames = recovered.frames;
    if failed_starts >= SUSPECT_ALL_AFTER {
        recovery.findings.push(format!("{failed_starts} managers have failed on this journal; it is not believed"));
        // The checkpoint before the frames stays where it is, and is believed no more either.
        recovery.needs_checkpoint = true;
        if let Some(first) = frames.first() {
            set_aside(log, first.sequence, recovery);
        }
        return None;
    }
    if failed_starts >= SUSPECT_FRAMES_AFTER {
        let suspects = 10_usize.saturating_pow(failed_starts - SUSPECT_FRAMES_AFTER).min(frames.len());
        let dropped = frames.split_off(frames.len() - suspects);
        if let Some(first) = dropped.first() {
            let text = format!(
                "{failed_starts} managers have failed on this journal; the newest {suspects} frames are not believed"
            );
            recovery.findings.push(text);
            set_aside(log, first.sequence, recovery);
        }
    }
    let has_checkpoint = recovered.checkpoint.is_some();
    let mut state = match recovered.checkpoint {
        None => State::default(),
        Some(checkpoint) => match record::decode_state(&checkpoint.state) {
            Ok(state) => state,
            Err(error) => {
                recovery.needs_checkpoint = true;
                recovery.findings.push(format!("checkpoint {}: {error}", checkpoint.sequence));
                return None;
            }
        },
    };
    replay_frames(&mut state, &frames, log, recovery);
    (has_checkpoint || recovery.frames > 0).then_some(state)
}

fn replay_frames<S: Storage>(state: &mut State, frames: &[Frame], log: &mut Log<S>, recovery: &mut Recovery) {
    let mut effects = Vec::new();
    for frame in frames {
        match record::decode_changes(&frame.payload) {
            Ok(changes) => {
                for change in &changes {
                    state.apply(change, &mut effects);
                    effects.clear();
                }
                recovery.frames += 1;
            }
            Err(error) => {
                recovery.findings.push(format!("frame {}: {error}", frame.sequence));
                set_aside(log, frame.sequence, recovery);
                return;
            }
        }
    }
}

fn set_aside<S: Storage>(log: &mut Log<S>, sequence: u64, recovery: &mut Recovery) {
    match log.quarantine_from(sequence) {
        Ok(aside) => {
            recovery
                .findings
                .push(format!("{} frames from {sequence} on were set aside as {:?}", aside.frames, aside.files));
        }
        Err(error) => {
            recovery.needs_checkpoint = true;
            recovery.findings.push(format!("frames from {sequence} on cannot be set aside: {error}"));
        }
    }
}

/// Why a manager was started, for the log.
#[must_use]
pub fn describe(reason: Reason) -> String {
    use keeper::protocol::ExitStatus;
    match reason {
        Reason::Boot => "the start".into(),
        Reason::Reexecuted => "a re-exec".into(),
        Reason::ManagerEnded(ExitStatus::Code(code)) => format!("the end of the manager with status {code}"),
        Reason::ManagerEnded(ExitStatus::Signal { signal, .. }) => {
            let name = machine::signals::name(signal).map_or_else(|| signal.to_string(), |name| format!("SIG{name}"));
            format!("the death of the manager by {name}")
        }
        Reason::ManagerHung => "a manager that did not answer".into(),
        Reason::KeeperCrashed(signal) => {
            let name = machine::signals::name(signal).map_or_else(|| signal.to_string(), |name| format!("SIG{name}"));
            format!("a crash of the keeper by {name}")
        }
    }
}
