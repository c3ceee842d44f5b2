//! The database: which trees there are, what is in them, and how it survives.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `blocks` | run (24), first sequence (8) | turns with their frames and entries, see [`super::block`] |
//! | `times` | time of its last turn (8), and the key of a block | nothing: the block is there |
//! | `jobs-in-blocks` | name of a job in it, a zero byte, and the key of `times` | nothing |
//! | `boots` | run | a [`Boot`] in JSON |
//!
//! Numbers are big-endian, so that keys are in order. `Boot::through` is raised only after everything up to it was flushed:
//! after a crash, archiving goes on from there. What of the rest has reached the disk is then taken out of the last block before
//! it is put there once more, so nothing is there twice.
//!
//! A block that is not large yet is written anew with what comes next, under its old key, so whoever reads meanwhile finds it in
//! any case. A way to a block (in `times` and `jobs-in-blocks`) may be older than the block; one that leads nowhere says nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use journal::Identity;
use serde::{Deserialize, Serialize};
use sled::{Batch, Db, Tree};

use super::block::{self, Record};
use super::entry::Entry;
use super::lines::Lines;
use super::older;

/// Memory for pages of the database, in bytes.
const CACHE_BYTES: u64 = 4 << 20;

/// Bytes of a block's key.
pub(super) const BLOCK_KEY_BYTES: usize = 32;

/// A block is full when it has so many bytes. sled keeps up to sixteen of them in a page, and lets go of a page only after 64
/// others were looked at in the same of 256 parts of its cache, so pages must be neither many nor large.
const BLOCK_BYTES: usize = 2 << 10;

/// One that has fewer is written anew with what comes next: where little happens, each turn would be a block of its own otherwise.
const SMALL_BYTES: usize = 1 << 10;

/// How long the lock of a database that we had open ourselves is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Turns that are removed at once, if blocks were not removed whole.
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

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
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
    pub(super) blocks: Tree,
    pub(super) times: Tree,
    pub(super) jobs: Tree,
    boots: Tree,
}

impl Store {
    /// Opens the database in a directory; one that is damaged is set aside, and a new one begun. Says where the old one is.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub fn open(directory: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        match older::finish(directory).and_then(|()| Self::try_open(directory)) {
            Ok(store) => Ok((store, None)),
            Err(StoreError::Database(sled::Error::Io(error))) if is_lock(&error) => {
                Err(StoreError::Busy(directory.to_path_buf()))
            }
            Err(StoreError::Database(sled::Error::Io(error))) if is_surroundings(&error) => {
                Err(StoreError::Io(directory.to_path_buf(), error))
            }
            Err(StoreError::Io(path, error)) => Err(StoreError::Io(path, error)),
            Err(_) => {
                let aside = set_aside(directory)?;
                Ok((Self::try_open(directory)?, Some(aside)))
            }
        }
    }

    fn try_open(directory: &Path) -> Result<Self, StoreError> {
        let database = open_database(directory)?;
        if !older::is_older(&database) {
            return Self::of(database);
        }
        older::convert(&database, directory, &Self::of)?;
        drop(database);
        older::replace(directory)?;
        // The database that was just closed lets go of its lock when its last thread has.
        let begin = Instant::now();
        loop {
            match open_database(directory).and_then(Self::of) {
                Err(StoreError::Database(sled::Error::Io(error))) if is_lock(&error) && begin.elapsed() < PATIENCE => {
                    std::thread::sleep(PATIENCE / 100);
                }
                other => return other,
            }
        }
    }

    fn of(database: Db) -> Result<Self, StoreError> {
        let tree = |name: &str| database.open_tree(name);
        let (blocks, times, jobs, boots) = (tree("blocks")?, tree("times")?, tree("jobs-in-blocks")?, tree("boots")?);
        let store = Self { database, blocks, times, jobs, boots };
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
        let known = turns.partition_point(|turn| turn.sequence <= boot.through);
        self.write(run, boot.through, &turns[known..])?;
        self.database.flush()?;
        for turn in &turns[known..] {
            boot.count(turn.time_us, turn.payload.len(), &turn.entries);
            boot.through = turn.sequence;
        }
        self.put_boot(run, &boot)?;
        self.database.flush()?;
        Ok(())
    }

    /// Writes turns, all of them after `through`, in place of whatever there is after it.
    fn write(&self, run: Run, through: u64, turns: &[Archived]) -> Result<(), StoreError> {
        let Some(first) = turns.first() else { return Ok(()) };
        let mut batches = Batches::default();
        let mut pieces = Pieces::default();
        for item in self.blocks.scan_prefix(run.0).rev() {
            let (key, value) = item?;
            let records = block::records(&value)?;
            let good = &records[..records.partition_point(|record| record.sequence <= through)];
            let is_whole = good.len() == records.len();
            let is_small = value.len() < SMALL_BYTES;
            if is_whole && !(is_small && good.last().is_none_or(|last| last.time_us <= first.time_us)) {
                break;
            }
            batches.remove(&key, &records);
            good.iter().for_each(|record| pieces.add(*record));
            if !good.is_empty() {
                break;
            }
        }
        let mut buffer = Vec::new();
        for turn in turns {
            buffer.clear();
            buffer.extend(block::begin());
            block::add(&mut buffer, turn);
            block::records(&buffer)?.into_iter().for_each(|record| pieces.add(record));
        }
        for piece in &pieces.blocks {
            batches.insert(run, piece)?;
        }
        batches.apply(self)
    }

    /// Notes what is known of a run.
    pub(super) fn put_boot(&self, run: Run, boot: &Boot) -> Result<(), StoreError> {
        self.boots.insert(run.0, serde_json::to_vec(boot).unwrap_or_default())?;
        Ok(())
    }

    /// Takes turns over from another database, in order and the whole of a run.
    pub(super) fn take_over(&self, run: Run, turns: &[Archived]) -> Result<(), StoreError> {
        let through = turns.first().map_or(0, |first| first.sequence.saturating_sub(1));
        self.write(run, through, turns)
    }

    /// Has all on disk when it returns.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()?;
        Ok(())
    }

    /// Frames of a run in order: number and payload.
    pub fn turns(&self, run: Run) -> impl Iterator<Item = Result<(u64, Vec<u8>), StoreError>> {
        self.blocks.scan_prefix(run.0).flat_map(|item| {
            let turns = || {
                let (_, value) = item?;
                let records = block::records(&value)?;
                Ok(records.into_iter().map(|record| (record.sequence, record.payload.to_vec())).collect::<Vec<_>>())
            };
            match turns() {
                Ok(turns) => turns.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        })
    }

    /// Lines, newest first: of one job or of all.
    pub fn lines(&self, job: Option<&str>) -> Lines<'_> {
        Lines::new(self, job)
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
        let (mut first_us, mut count) = (boot.last_us + 1, 0);
        let mut batches = Batches::default();
        for item in self.blocks.scan_prefix(run.0) {
            let (key, value) = item?;
            let records = block::records(&value)?;
            if count >= PRUNED_AT_ONCE {
                first_us = records.first().map_or(first_us, |first| first.time_us);
                break;
            }
            let is_over = |record: &&Record<'_>| {
                let is_over = excess > 0 || record.time_us < oldest_allowed;
                excess = excess.saturating_sub(if is_over { record.payload.len() as u64 } else { 0 });
                is_over
            };
            let over: Vec<&Record<'_>> = records.iter().take_while(is_over).collect();
            boot.turns = boot.turns.saturating_sub(over.len() as u64);
            boot.bytes = boot.bytes.saturating_sub(over.iter().map(|record| record.payload.len() as u64).sum());
            count += over.len();
            let left = &records[over.len()..];
            if left.len() < records.len() {
                batches.remove(&key, &records);
                let mut piece = block::begin();
                left.iter().for_each(|record| piece.extend_from_slice(record.bytes));
                batches.insert(run, &piece)?;
            }
            if let Some(first) = left.first() {
                first_us = first.time_us;
                break;
            }
        }
        batches.apply(self)?;
        boot.first_us = first_us;
        self.put_boot(run, &boot)?;
        self.database.flush()?;
        Ok(count > 0)
    }
}

/// What goes into the trees at once. Each tree takes its own whole or not at all.
#[derive(Debug, Default)]
struct Batches {
    blocks: Batch,
    times: Batch,
    jobs: Batch,
}

impl Batches {
    /// Removes a block, and the ways to it.
    fn remove(&mut self, key: &[u8], records: &[Record<'_>]) {
        self.blocks.remove(key);
        let Some(last) = records.last() else { return };
        let way = way(last.time_us, key);
        for job in jobs(records) {
            self.jobs.remove(job_key(job, &way));
        }
        self.times.remove(way);
    }

    /// Puts a block where it belongs, and ways to it.
    fn insert(&mut self, run: Run, block: &[u8]) -> Result<(), StoreError> {
        let records = block::records(block)?;
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let key = block_key(run, first.sequence);
        let way = way(last.time_us, &key);
        self.blocks.insert(key.as_slice(), block);
        for job in jobs(&records) {
            self.jobs.insert(job_key(job, &way), Vec::new());
        }
        self.times.insert(way, Vec::new());
        Ok(())
    }

    fn apply(self, store: &Store) -> Result<(), StoreError> {
        store.blocks.apply_batch(self.blocks)?;
        store.times.apply_batch(self.times)?;
        store.jobs.apply_batch(self.jobs)?;
        Ok(())
    }
}

/// Turns on their way into blocks.
#[derive(Debug, Default)]
struct Pieces {
    blocks: Vec<Vec<u8>>,
    last_us: u64,
}

impl Pieces {
    fn add(&mut self, record: Record<'_>) {
        // Where the clock was set back, a block ends: within one, times do not fall.
        let is_later = self.last_us <= record.time_us;
        let goes_on = |block: &&mut Vec<u8>| is_later && block.len() + record.bytes.len() <= BLOCK_BYTES;
        match self.blocks.last_mut().filter(goes_on) {
            Some(block) => block.extend_from_slice(record.bytes),
            None => self.blocks.push(block::begin().into_iter().chain(record.bytes.iter().copied()).collect()),
        }
        self.last_us = record.time_us;
    }
}

/// The jobs of which there is something in a block.
fn jobs<'a>(records: &[Record<'a>]) -> BTreeSet<&'a [u8]> {
    records.iter().flat_map(Record::entries).map(|(job, _)| job).collect()
}

pub(super) fn block_key(run: Run, sequence: u64) -> [u8; BLOCK_KEY_BYTES] {
    let mut key = [0; BLOCK_KEY_BYTES];
    key[..24].copy_from_slice(&run.0);
    key[24..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// The key of `times`.
fn way(time_us: u64, block: &[u8]) -> Vec<u8> {
    [&time_us.to_be_bytes()[..], block].concat()
}

/// The key of `jobs-in-blocks`. Names of jobs have no zero byte in them (they are parts of paths).
pub(super) fn job_key(job: &[u8], way: &[u8]) -> Vec<u8> {
    [job, &[0], way].concat()
}

pub(super) fn open_database(directory: &Path) -> Result<Db, StoreError> {
    let config = sled::Config::default()
        .path(directory)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::LowSpace);
    // sled takes some damage for its own fault, and panics; for us it is damage.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
    Ok(opened.map_err(|_| StoreError::Damaged("it cannot be read".into()))??)
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
