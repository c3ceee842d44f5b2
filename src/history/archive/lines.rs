//! Lines out of blocks, newest first.

use std::collections::{BTreeSet, BinaryHeap};
use std::iter::Peekable;

use super::block;
use super::entry::Entry;
use super::store::{BLOCK_KEY_BYTES, Run, Store, StoreError, job_key};

/// What [`Store::lines`] gives. Blocks are read when it is their turn: two overlap in time only where the clock was set back.
pub struct Lines<'a> {
    store: &'a Store,
    job: Option<String>,
    ways: Peekable<std::iter::Rev<sled::Iter>>,
    /// Bytes before the time in a key of `ways`.
    skip: usize,
    /// Lines of blocks that were read, the newest on top.
    read: BinaryHeap<Line>,
    /// Blocks that were read.
    seen: BTreeSet<Vec<u8>>,
}

/// A line, by its place among all.
#[derive(Debug)]
struct Line {
    place: (u64, Run, u64, usize),
    entry: Entry,
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Line {}

impl PartialOrd for Line {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Line {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

impl<'a> Lines<'a> {
    pub(super) fn new(store: &'a Store, job: Option<&str>) -> Self {
        let prefix = job.map_or_else(Vec::new, |job| job_key(job.as_bytes(), &[]));
        let tree = if job.is_some() { &store.jobs } else { &store.times };
        let (ways, skip) = (tree.scan_prefix(&prefix).rev().peekable(), prefix.len());
        let job = job.map(ToOwned::to_owned);
        Self { store, job, ways, skip, read: BinaryHeap::new(), seen: BTreeSet::new() }
    }

    fn step(&mut self) -> Result<Option<(Run, Entry)>, StoreError> {
        while let Some(way) = self.ways.peek() {
            let Ok((key, _)) = way else { break };
            let time_us = key.get(self.skip..self.skip + 8).and_then(|bytes| bytes.try_into().ok());
            let time_us = u64::from_be_bytes(time_us.ok_or_else(|| StoreError::Damaged("a way to a block".into()))?);
            if self.read.peek().is_some_and(|newest| newest.place.0 > time_us) {
                break;
            }
            let block = key[self.skip + 8..].to_vec();
            self.ways.next();
            self.read_block(block, time_us)?;
        }
        if let Some(Err(_)) = self.ways.peek()
            && let Some(Err(error)) = self.ways.next()
        {
            return Err(error.into());
        }
        Ok(self.read.pop().map(|line| (line.place.1, line.entry)))
    }

    /// Reads a block, up to the time at which it was when its way was made: what has come since is not asked for.
    fn read_block(&mut self, key: Vec<u8>, until_us: u64) -> Result<(), StoreError> {
        let run = key.get(..24).filter(|_| key.len() == BLOCK_KEY_BYTES).and_then(Run::read);
        let run = run.ok_or_else(|| StoreError::Damaged("a way to a block".into()))?;
        if self.seen.contains(&key) {
            return Ok(());
        }
        // It was too old, and the way to it goes next.
        let Some(value) = self.store.blocks.get(&key)? else { return Ok(()) };
        for record in block::records(&value)?.iter().filter(|record| record.time_us <= until_us) {
            let entries = record.entries_of(self.job.as_deref())?.into_iter();
            self.read.extend(
                entries.map(|(number, entry)| Line { place: (record.time_us, run, record.sequence, number), entry }),
            );
        }
        self.seen.insert(key);
        Ok(())
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<(Run, Entry), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
