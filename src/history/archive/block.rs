//! A block: the turns that are kept under one key, so that the database has some thousand large pages and not a million small
//! ones, each of which would cost it memory for ever.
//!
//! | field | form |
//! |---|---|
//! | version | one byte: 1 |
//! | for each turn: sequence, time (µs since 1970) | number |
//! | its frame's payload | bytes |
//! | how many entries | number |
//! | for each of them: name of the job, the [`Entry`] in JSON | bytes |
//!
//! A number is written seven bits at a time, the lowest first, with the eighth set on all bytes but the last; bytes are a number,
//! which says how many they are, and these. Within a block, sequences grow, and times do not fall.

use super::entry::Entry;
use super::store::{Archived, StoreError};

const VERSION: u8 = 1;

/// A turn in a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) sequence: u64,
    pub(super) time_us: u64,
    pub(super) payload: &'a [u8],
    /// From the number of entries on.
    entries: &'a [u8],
    /// All of it, as it is in the block.
    pub(super) bytes: &'a [u8],
}

/// Begins a block.
pub(super) fn begin() -> Vec<u8> {
    vec![VERSION]
}

/// Adds a turn.
pub(super) fn add(block: &mut Vec<u8>, turn: &Archived) {
    put_number(block, turn.sequence);
    put_number(block, turn.time_us);
    put_bytes(block, &turn.payload);
    put_number(block, turn.entries.len() as u64);
    for entry in &turn.entries {
        put_bytes(block, entry.job.as_bytes());
        // Text and numbers only: it cannot fail.
        put_bytes(block, &serde_json::to_vec(entry).unwrap_or_default());
    }
}

/// The turns of a block.
///
/// # Errors
/// When it is none.
pub(super) fn records(block: &[u8]) -> Result<Vec<Record<'_>>, StoreError> {
    let Some((&VERSION, mut rest)) = block.split_first() else { return Err(damaged()) };
    let mut found = Vec::new();
    while !rest.is_empty() {
        let record = read_record(&mut rest).ok_or_else(damaged)?;
        found.push(record);
    }
    Ok(found)
}

impl<'a> Record<'a> {
    /// Names of the jobs in it, and entries in JSON.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.entries;
        let count = number(&mut rest).unwrap_or(0);
        // They were all there when the block was read.
        (0..count).map_while(move |_| Some((bytes(&mut rest)?, bytes(&mut rest)?)))
    }

    /// The entries of one job, or of all, with their numbers in the turn.
    ///
    /// # Errors
    /// When one of them is none.
    pub(super) fn entries_of(&self, job: Option<&str>) -> Result<Vec<(usize, Entry)>, StoreError> {
        let wanted = self.entries().enumerate().filter(|(_, (name, _))| job.is_none_or(|job| job.as_bytes() == *name));
        wanted
            .map(|(number, (_, json))| {
                let entry = serde_json::from_slice(json);
                Ok((number, entry.map_err(|error| StoreError::Damaged(format!("an entry: {error}")))?))
            })
            .collect()
    }
}

fn damaged() -> StoreError {
    StoreError::Damaged("a block of turns".into())
}

fn read_record<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    let all = *rest;
    let (sequence, time_us, payload) = (number(rest)?, number(rest)?, bytes(rest)?);
    let entries = *rest;
    for _ in 0..number(rest)? {
        bytes(rest)?;
        bytes(rest)?;
    }
    let bytes = &all[..all.len() - rest.len()];
    Some(Record { sequence, time_us, payload, entries, bytes })
}

fn put_number(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_number(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    fn turn(sequence: u64, jobs: &[&str]) -> Archived {
        let entry = |job: &&str| Entry {
            time_us: sequence * 1000,
            sequence,
            job: (*job).into(),
            instance: String::new(),
            kind: Kind::Running,
            text: "x".repeat(usize::try_from(sequence).unwrap() % 300),
            ended: None,
        };
        let payload = vec![7; usize::try_from(sequence).unwrap() % 200];
        Archived { sequence, payload, time_us: sequence * 1000, entries: jobs.iter().map(entry).collect() }
    }

    #[test]
    fn a_block_gives_back_what_was_put_in_and_nothing_of_a_damaged_one_is_believed() {
        let turns = [turn(1, &[]), turn(127, &["web"]), turn(128, &["", "web"]), turn(u64::from(u32::MAX), &["db"])];
        let mut block = begin();
        turns.iter().for_each(|turn| add(&mut block, turn));
        let found = records(&block).unwrap();
        for (record, turn) in found.iter().zip(&turns) {
            assert_eq!(
                (record.sequence, record.time_us, record.payload),
                (turn.sequence, turn.time_us, &*turn.payload)
            );
            let entries: Vec<Entry> = record.entries_of(None).unwrap().into_iter().map(|(_, entry)| entry).collect();
            assert_eq!(entries, turn.entries);
        }
        assert_eq!(found.len(), turns.len());
        assert_eq!(found[2].entries_of(Some("web")).unwrap(), [(1, turns[2].entries[1].clone())]);
        // A record may as well be taken from one block to another.
        let again: Vec<u8> = begin().into_iter().chain(found.iter().flat_map(|record| record.bytes.to_vec())).collect();
        assert_eq!(again, block);
        for cut in (0..block.len()).filter(|cut| !found.iter().any(|record| is_end(&block, record, *cut))) {
            assert!(cut == 1 || records(&block[..cut]).is_err(), "{cut}");
        }
        assert!(records(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    fn is_end(block: &[u8], record: &Record<'_>, at: usize) -> bool {
        record.bytes.as_ptr_range().end == block[at..].as_ptr()
    }
}
