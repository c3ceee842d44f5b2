//! Coming back: the journal is opened, and the state is what its changes make of it.
//!
//! This is the ladder of recovery, each rung tried only when the one above has failed:
//! 1. replay, a torn tail cut by the journal's own rules;
//! 2. a frame that cannot be read or a damaged middle: replay up to it, the rest set aside;
//! 3. managers that keep ending before they are ready: the newest frames are set aside, more each time;
//! 4. (the keeper goes back to the program that worked last;)
//! 5. nothing can be replayed: begin without a past, and let the roll call and the job files tell what there is.
//!
//! A journal that just now cannot be read ([`is_passing`]) is no reason for any of these: it is tried again, by this manager and by
//! the next ones.

mod opening;

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use journal::{FileStorage, Frame, Log, Recovered, Severity, Storage};
use keeper::protocol::{Occasion, Reason};
use machine::effect::Nobody;
use machine::state::State;

use crate::dbus::Detail;

pub(crate) use opening::make_directory;
pub use opening::{is_passing, renew};

/// So many managers in a row leave it to the next one; not so many that frames would be suspected for it.
const PATIENT_STARTS: u32 = SUSPECT_FRAMES_AFTER - 1;

/// Managers that ended before they were ready, until the newest frames are suspected.
const SUSPECT_FRAMES_AFTER: u32 = 3;

/// And until the whole journal is.
const SUSPECT_ALL_AFTER: u32 = 7;

/// How far down the ladder a recovery had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// All was replayed; at the most a torn tail was cut.
    #[default]
    Replay = 1,
    /// Something in the middle could not be read; it and what came after it is set aside.
    Damage = 2,
    /// Managers kept ending on this journal; its newest frames, or all, are set aside.
    Suspicion = 3,
    /// The installed manager does not work; this is the one that worked last.
    OldProgram = 4,
    /// Nothing could be replayed; the past is what the keeper and the job files say.
    Rebuilt = 5,
}

impl Rung {
    /// In one word, for people and D-Bus.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Damage => "damage",
            Self::Suspicion => "suspicion",
            Self::OldProgram => "old-program",
            Self::Rebuilt => "rebuilt",
        }
    }
}

/// What recovery found, for people and for D-Bus (`LastRecovery`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Why there was one.
    pub reason: String,
    /// When, by the clock on the wall.
    pub at: SystemTime,
    /// The lowest rung of the ladder that was needed.
    pub rung: Rung,
    /// What was kept, in words.
    pub kept: String,
    /// Files that were set aside, with their paths.
    pub set_aside: Vec<String>,
    /// The program that runs, where it is not the installed one.
    pub old_program: Option<String>,
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

impl Default for Recovery {
    fn default() -> Self {
        Self {
            reason: String::new(),
            at: SystemTime::UNIX_EPOCH,
            rung: Rung::Replay,
            kept: String::new(),
            set_aside: Vec::new(),
            old_program: None,
            frames: 0,
            sequence: 0,
            findings: Vec::new(),
            is_rebuilt: false,
            needs_checkpoint: false,
            took: Duration::ZERO,
        }
    }
}

impl Recovery {
    #[allow(clippy::disallowed_methods, reason = "told to people")]
    fn begin(occasion: &Occasion) -> Self {
        let mut recovery = Self { reason: describe(occasion.reason), at: SystemTime::now(), ..Self::default() };
        if let Some(program) = crate::image::old_program() {
            recovery.reach(Rung::OldProgram);
            recovery
                .findings
                .push(format!("the installed manager does not work; this is the one that worked last ({program})"));
            recovery.old_program = Some(program);
        }
        recovery
    }

    fn reach(&mut self, rung: Rung) {
        self.rung = self.rung.max(rung);
    }

    /// Whether there was more in the journal than was replayed.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.is_rebuilt || self.needs_checkpoint || !self.set_aside.is_empty()
    }

    /// Says how much of the past is there, once it is known.
    pub fn keep(&mut self, processes: usize) {
        let past = if self.is_rebuilt {
            "nothing of the journal".into()
        } else {
            format!("{} frames up to {}", self.frames, self.sequence)
        };
        self.kept = format!("{past}, {processes} processes");
    }

    /// For the log, where there is more to say than that all was replayed.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        (self.rung > Rung::Replay).then(|| {
            let aside = if self.set_aside.is_empty() { "nothing".to_owned() } else { self.set_aside.join(" ") };
            let (number, name) = (self.rung as u8, self.rung.name());
            format!("recovery by rung {number} of the ladder ({name}): kept {}; set aside: {aside}", self.kept)
        })
    }

    /// The property LastRecovery.
    #[must_use]
    pub fn details(&self) -> Vec<(String, Detail)> {
        let microseconds = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        vec![
            ("Reason".into(), Detail::Text(self.reason.clone())),
            ("Time".into(), Detail::Number(microseconds(at))),
            ("Rung".into(), Detail::Number(self.rung as u64)),
            ("RungName".into(), Detail::Text(self.rung.name().into())),
            ("Kept".into(), Detail::Text(self.kept.clone())),
            ("SetAside".into(), Detail::Text(self.set_aside.join("\n"))),
            ("OldProgram".into(), Detail::Text(self.old_program.clone().unwrap_or_default())),
            ("Frames".into(), Detail::Number(self.frames)),
            ("Sequence".into(), Detail::Number(self.sequence)),
            ("Findings".into(), Detail::Text(self.findings.join("\n"))),
            ("Rebuilt".into(), Detail::Flag(self.is_rebuilt)),
            ("Microseconds".into(), Detail::Number(microseconds(self.took))),
        ]
    }
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
///
/// # Errors
/// When the journal just now cannot be read and nothing speaks against it: another manager is to try.
pub fn resume(directory: &Path, occasion: &Occasion) -> io::Result<Resumed<FileStorage>> {
    let begin = Instant::now();
    let mut recovery = Recovery::begin(occasion);
    if occasion.reason == Reason::Boot {
        // Whatever lies there belonged to another keeper.
        if let Err(error) = fs::remove_dir_all(directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            recovery.findings.push(format!("{}: {error}", directory.display()));
        }
    }
    let opened = opening::open(directory, is_patient(occasion), &mut recovery)?;
    let mut resumed = go_on(opened, occasion, recovery);
    for aside in &mut resumed.recovery.set_aside {
        if !aside.starts_with('/') {
            *aside = directory.join(&*aside).display().to_string();
        }
    }
    resumed.recovery.took = begin.elapsed();
    Ok(resumed)
}

/// Whether a manager leaves a journal that just now cannot be read to the next one.
#[must_use]
pub const fn is_patient(occasion: &Occasion) -> bool {
    occasion.failed_starts < PATIENT_STARTS
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
    if recovery.is_rebuilt {
        recovery.reach(Rung::Rebuilt);
    }
    Resumed { state: state.unwrap_or_default(), journal, recovery }
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
        recovery.reach(Rung::Suspicion);
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
            recovery.reach(Rung::Suspicion);
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
    for frame in frames {
        match record::decode_changes(&frame.payload) {
            Ok(changes) => {
                changes.iter().for_each(|change| state.apply(change, &mut Nobody));
                recovery.frames += 1;
            }
            Err(error) => {
                recovery.reach(Rung::Damage);
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
            // Where only a part of a segment is set aside, that is a copy, which is not among the files.
            let files = if aside.files.is_empty() { vec![String::new()] } else { aside.files };
            recovery.set_aside.extend(files.iter().map(|file| format!("{}/{file}", journal::QUARANTINE)));
            let count = aside.frames;
            recovery
                .findings
                .push(format!("{count} frames from {sequence} on were set aside in {}", journal::QUARANTINE));
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
        Reason::ManagerEnded(ExitStatus::Unknown) => "the end of the manager".into(),
        Reason::ManagerHung => "a manager that did not answer".into(),
        Reason::KeeperLost => "the death of the session's keeper".into(),
        Reason::KeeperCrashed(signal) => {
            let name = machine::signals::name(signal).map_or_else(|| signal.to_string(), |name| format!("SIG{name}"));
            format!("a crash of the keeper by {name}")
        }
    }
}
