//! The database: which trees there are, what is in them, and how it survives.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `turns` | run (24), sequence (8) | the frame's payload, as the journal had it |
//! | `lines` | time (8), run, sequence, number in the turn (2) | an [`Entry`] in JSON |
//! | `jobs` | name of the job, a zero byte, and the key of `lines` | nothing: the entry is there |
//! | `boots` | run | a [`Boot`] in JSON |
//!
//! Numbers are big-endian, so that keys are in order. Everything is put under a key that follows from the frame, so that
//! putting it again changes nothing. `Boot::through` is raised only after everything up to it was flushed: after a crash,
//! archiving goes on from there, whatever of the rest has reached the disk.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use journal::Identity;
use serde::{Deserialize, Serialize};
use sled::{Batch, Db, Tree};

use super::entry::Entry;

/// Memory for pages of the database, in bytes.
const CACHE_BYTES: u64 = 4 << 20;

/// Turns that are removed at once.
const PRUNED_AT_ONCE: usize = 10_000;

/// Why the archive cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it open.
    Busy(PathBuf),
    /// The database says no.
    Database(sled::Error),
    /// A value is not what was put there.
    Damaged(String),
    /// A file cannot be moved or made.
    Io(PathBuf, io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(path) => write!(f, "{}: another init-history has it open", path.display()),
            Self::Database(error) => write!(f, "the archive: {error}"),
            Self::Damaged(what) => write!(f, "the archive is damaged: {what}"),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::Database(error)
    }
}

/// One life of an init: the boot of the kernel, and which keeper in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run([u8; 24]);

impl Run {
    /// Of the keeper with this pid and start time (clock ticks since boot, proc_pid_stat(5)).
    #[must_use]
    pub fn new(identity: &Identity, keeper_pid: u32, start_time_ticks: u64) -> Self {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&identity.boot_id);
        // Pids stay below 2^22 (kernel/pid.h, PID_MAX_LIMIT).
        let number = (start_time_ticks << 22) | u64::from(keeper_pid & 0x003f_ffff);
        bytes[16..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The boot id in hexadecimal digits.
    #[must_use]
    pub fn boot_id(&self) -> String {
        boot_id(&self.0[..16])
    }
}

/// A boot id in hexadecimal digits.
pub(super) fn boot_id(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The first time of it that is archived, in microseconds since 1970.
    pub first_us: u64,
    /// The last one.
    pub last_us: u64,
    /// Everything up to this frame is on disk.
    pub through: u64,
    /// Turns that are archived.
    pub turns: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// How often the init came back.
    pub recoveries: u64,
    /// Failures of jobs.
    pub failures: u64,
    /// How often jobs were respawned.
    #[serde(default)]
    pub respawns: u64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nothing older than this, in microseconds.
    pub age_us: u64,
    /// Not more bytes of frames than this.
    pub bytes: u64,
}

impl Default for Limits {
    /// Ninety days, 256 MiB.
    fn default() -> Self {
        Self { age_us: 90 * 86_400 * 1_000_000, bytes: 256 << 20 }
    }
}

/// A turn on its way into the archive.
#[derive(Clone, Debug)]
pub struct Archived {
    /// Number of the frame.
    pub sequence: u64,
    /// Its payload.
    pub payload: Vec<u8>,
    /// When, in microseconds since 1970.
    pub time_us: u64,
    /// What people want to know of it.
    pub entries: Vec<Entry>,
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    database: Db,
    turns: Tree,
    lines: Tree,
    jobs: Tree,
    boots: Tree,
}

impl Store {
    /// Opens the database in a directory; one that is damaged is set aside, and a new one begun. Says where the old one is.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub fn open(directory: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        match Self::try_open(directory) {
            Ok(store) => Ok((store, None)),
            Err(StoreError::Database(sled::Error::Io(error))) if is_lock(&error) => {
                Err(StoreError::Busy(directory.to_path_buf()))
            }
            Err(StoreError::Database(sled::Error::Io(error))) if is_surroundings(&error) => {
                Err(StoreError::Io(directory.to_path_buf(), error))
            }
            Err(_) => {
                let aside = set_aside(directory)?;
                Ok((Self::try_open(directory)?, Some(aside)))
            }
        }
    }

    fn try_open(directory: &Path) -> Result<Self, StoreError> {
        let config = sled::Config::default()
            .path(directory)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::LowSpace);
        // sled takes some damage for its own fault, and panics; for us it is damage.
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
        let database = opened.map_err(|_| StoreError::Damaged("it cannot be read".into()))??;
        let tree = |name: &str| database.open_tree(name);
        let (turns, lines, jobs, boots) = (tree("turns")?, tree("lines")?, tree("jobs")?, tree("boots")?);
        let store = Self { database, turns, lines, jobs, boots };
        store.boots()?;
        Ok(store)
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// When the database is damaged.
    pub fn boots(&self) -> Result<Vec<(Run, Boot)>, StoreError> {
        let mut found = Vec::new();
        for item in &self.boots {
            let (key, value) = item?;
            let run = Run::read(&key).ok_or_else(|| StoreError::Damaged("a key of boots".into()))?;
            let boot: Boot = serde_json::from_slice(&value)
                .map_err(|error| StoreError::Damaged(format!("a value of boots: {error}")))?;
            found.push((run, boot));
        }
        found.sort_by_key(|(_, boot)| boot.first_us);
        Ok(found)
    }

    /// What is known of a run.
    ///
    /// # Errors
    /// When the database is damaged.
    pub fn boot(&self, run: Run) -> Result<Boot, StoreError> {
        Ok(self.boots()?.into_iter().find(|(found, _)| *found == run).map(|(_, boot)| boot).unwrap_or_default())
    }

    /// Puts turns into the archive and has them on disk when it returns.
    ///
    /// # Errors
    /// When the database cannot take them. Putting them again is right.
    pub fn put(&self, run: Run, turns: &[Archived]) -> Result<(), StoreError> {
        let mut boot = self.boot(run)?;
        let (mut lines, mut jobs, mut frames) = (Batch::default(), Batch::default(), Batch::default());
        let through = boot.through;
        for turn in turns.iter().filter(|turn| turn.sequence > through) {
            frames.insert(turn_key(run, turn.sequence).as_slice(), turn.payload.as_slice());
            for (number, entry) in turn.entries.iter().enumerate() {
                let key = line_key(run, turn, number);
                // Text and numbers only: it cannot fail.
                let value = serde_json::to_vec(entry).unwrap_or_default();
                jobs.insert(job_key(&entry.job, &key), Vec::new());
                lines.insert(key, value);
            }
            boot.count(turn.time_us, turn.payload.len(), &turn.entries);
        }
        self.lines.apply_batch(lines)?;
        self.jobs.apply_batch(jobs)?;
        self.turns.apply_batch(frames)?;
        self.database.flush()?;
        if let Some(last) = turns.last() {
            boot.through = boot.through.max(last.sequence);
        }
        self.boots.insert(run.0, serde_json::to_vec(&boot).unwrap_or_default())?;
        self.database.flush()?;
        Ok(())
    }

    /// Frames of a run in order: number and payload.
    pub fn turns(&self, run: Run) -> impl Iterator<Item = Result<(u64, Vec<u8>), StoreError>> {
        self.turns.scan_prefix(run.0).map(|item| {
            let (key, value) = item?;
            let number = key.get(24..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            let number = number.ok_or_else(|| StoreError::Damaged("a key of turns".into()))?;
            Ok((number, value.to_vec()))
        })
    }

    /// Lines, newest first: of one job or of all.
    pub fn lines(&self, job: Option<&str>) -> Box<dyn Iterator<Item = Result<(Run, Entry), StoreError>> + '_> {
        let prefix = job.map_or_else(Vec::new, |job| job_key(job, &[]));
        let skip = prefix.len();
        let tree = if job.is_some() { &self.jobs } else { &self.lines };
        Box::new(tree.scan_prefix(prefix).rev().filter_map(move |item| {
            let line = || {
                let (key, value) = item?;
                let line_key = &key[skip.min(key.len())..];
                let value = if skip > 0 { self.lines.get(line_key)? } else { Some(value) };
                // It was too old, and its way here goes next.
                let Some(value) = value else { return Ok(None) };
                let run = line_key.get(8..32).and_then(Run::read);
                let run = run.ok_or_else(|| StoreError::Damaged("a key of lines".into()))?;
                let entry = serde_json::from_slice(&value)
                    .map_err(|error| StoreError::Damaged(format!("a value of lines: {error}")))?;
                Ok(Some((run, entry)))
            };
            line().transpose()
        }))
    }

    /// Removes what is over the limits, the oldest first; at most a bounded number of turns, so that it may have to be
    /// called again: then it returns true.
    ///
    /// # Errors
    /// When the database is damaged.
    pub fn prune(&self, limits: &Limits, now_us: u64) -> Result<bool, StoreError> {
        let boots = self.boots()?;
        let total: u64 = boots.iter().map(|(_, boot)| boot.bytes).sum();
        let oldest_allowed = now_us.saturating_sub(limits.age_us);
        let Some((run, mut boot)) = boots.into_iter().find(|(_, boot)| boot.turns > 0) else { return Ok(false) };
        if total <= limits.bytes && boot.first_us >= oldest_allowed {
            return Ok(false);
        }
        let mut excess = total.saturating_sub(limits.bytes);
        let mut batch = Batch::default();
        let (mut first_us, mut count) = (boot.last_us + 1, 0);
        for item in self.turns.scan_prefix(run.0) {
            let (key, value) = item?;
            let stamp = record::decode_turn(&value).ok().and_then(|turn| turn.stamp);
            let time_us = stamp.map_or(0, |stamp| stamp.wall_us);
            if count == PRUNED_AT_ONCE || (excess == 0 && time_us >= oldest_allowed) {
                first_us = time_us;
                break;
            }
            count += 1;
            boot.turns = boot.turns.saturating_sub(1);
            boot.bytes = boot.bytes.saturating_sub(value.len() as u64);
            excess = excess.saturating_sub(value.len() as u64);
            batch.remove(key);
        }
        self.turns.apply_batch(batch)?;
        self.prune_lines(first_us)?;
        boot.first_us = first_us;
        self.boots.insert(run.0, serde_json::to_vec(&boot).unwrap_or_default())?;
        self.database.flush()?;
        Ok(count > 0)
    }

    /// Removes lines of before a time.
    fn prune_lines(&self, before_us: u64) -> Result<(), StoreError> {
        for item in self.lines.range(..before_us.to_be_bytes().to_vec()) {
            let (key, value) = item?;
            if let Ok(entry) = serde_json::from_slice::<Entry>(&value) {
                self.jobs.remove(job_key(&entry.job, &key))?;
            }
            self.lines.remove(key)?;
        }
        Ok(())
    }
}

fn turn_key(run: Run, sequence: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..24].copy_from_slice(&run.0);
    key[24..].copy_from_slice(&sequence.to_be_bytes());
    key
}

fn line_key(run: Run, turn: &Archived, number: usize) -> Vec<u8> {
    let mut key = turn.time_us.to_be_bytes().to_vec();
    key.extend_from_slice(&turn_key(run, turn.sequence));
    key.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
    key
}

/// Names of jobs have no zero byte in them (they are parts of paths).
fn job_key(job: &str, line: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(job.len() + 1 + line.len());
    key.extend_from_slice(job.as_bytes());
    key.push(0);
    key.extend_from_slice(line);
    key
}

fn is_lock(error: &io::Error) -> bool {
    // sled wraps the refusal of flock(2) into an error with a text of its own.
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

fn is_surroundings(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::StorageFull
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
    )
}

/// Moves a damaged database out of the way, in place of one that was moved there before: there is never more than one.
fn set_aside(directory: &Path) -> Result<PathBuf, StoreError> {
    let aside = directory.with_extension("damaged");
    let _ = fs::remove_dir_all(&aside);
    fs::rename(directory, &aside).map_err(|error| StoreError::Io(directory.to_path_buf(), error))?;
    Ok(aside)
}

/// Now, in microseconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "entries are found by the times that people know")]
pub fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
