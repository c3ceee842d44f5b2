//! Archives as they were before there were blocks, with a key for each turn and each line. They are read once, into a new
//! database that then takes their place.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `turns` | run (24), sequence (8) | the frame's payload |
//! | `lines` | time (8), run, sequence, number in the turn (2) | an [`Entry`] in JSON |
//! | `jobs` | not needed | |
//! | `boots` | as they are | |
//!
//! The new database is `*.new` until it is complete, and the old one then `*.older` until that is in its place, so this may be
//! interrupted at any moment.

use std::fs;
use std::path::Path;

use sled::Db;

use super::entry::Entry;
use super::store::{Archived, Boot, Run, Store, StoreError, open_database};

/// Turns that are taken over at once.
const AT_ONCE: usize = 1024;

/// Whether it is one of those.
pub(super) fn is_older(database: &Db) -> bool {
    database.tree_names().iter().any(|name| &**name == b"turns")
}

/// Goes on where a conversion was interrupted when it was complete already.
pub(super) fn finish(directory: &Path) -> Result<(), StoreError> {
    let (new, older) = (directory.with_extension("new"), directory.with_extension("older"));
    if !older.exists() {
        return Ok(());
    }
    if !directory.exists() {
        // One of them is there, unless somebody else was here; then there is nothing to lose.
        moved(if new.exists() { &new } else { &older }, directory)?;
    }
    removed(&older)
}

/// Puts everything that is in an old database into a new one beside it.
pub(super) fn convert(
    old: &Db,
    directory: &Path,
    store_of: &dyn Fn(Db) -> Result<Store, StoreError>,
) -> Result<(), StoreError> {
    let new = directory.with_extension("new");
    removed(&new)?;
    let store = store_of(open_database(&new)?)?;
    for item in &old.open_tree("boots")? {
        let (key, value) = item?;
        let run = Run::read(&key).ok_or_else(|| StoreError::Damaged("a key of boots".into()))?;
        let boot: Boot = serde_json::from_slice(&value)
            .map_err(|error| StoreError::Damaged(format!("a value of boots: {error}")))?;
        take_over(old, &store, run)?;
        store.put_boot(run, &boot)?;
    }
    store.flush()
}

/// Puts the new database in the place of the old one. Neither is open.
pub(super) fn replace(directory: &Path) -> Result<(), StoreError> {
    moved(directory, &directory.with_extension("older"))?;
    finish(directory)
}

fn take_over(old: &Db, store: &Store, run: Run) -> Result<(), StoreError> {
    let (turns, lines) = (old.open_tree("turns")?, old.open_tree("lines")?);
    let mut taken: Vec<Archived> = Vec::new();
    for item in turns.scan_prefix(run.bytes()) {
        let (key, payload) = item?;
        let sequence = key.get(24..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let sequence = sequence.ok_or_else(|| StoreError::Damaged("a key of turns".into()))?;
        let stamp = record::decode_stamp(&payload).ok().flatten();
        let time_us = stamp.map_or(0, |stamp| stamp.wall_us);
        // What stands for a gap has no frame; it counts as what came next.
        if let Some(gap) = taken.last_mut().filter(|last| last.payload.is_empty()) {
            gap.time_us = time_us;
        }
        if taken.len() >= AT_ONCE && taken.last().is_some_and(|last| !last.payload.is_empty()) {
            with_lines(&lines, run, &mut taken)?;
            store.take_over(run, &taken)?;
            store.flush()?;
            taken.clear();
        }
        taken.push(Archived { sequence, payload: payload.to_vec(), time_us, entries: Vec::new() });
    }
    with_lines(&lines, run, &mut taken)?;
    store.take_over(run, &taken)?;
    store.flush()
}

fn with_lines(lines: &sled::Tree, run: Run, turns: &mut [Archived]) -> Result<(), StoreError> {
    for turn in turns {
        let prefix = [&turn.time_us.to_be_bytes()[..], run.bytes(), &turn.sequence.to_be_bytes()].concat();
        for item in lines.scan_prefix(prefix) {
            let (_, value) = item?;
            let entry: Entry = serde_json::from_slice(&value)
                .map_err(|error| StoreError::Damaged(format!("a value of lines: {error}")))?;
            turn.entries.push(entry);
        }
    }
    Ok(())
}

fn moved(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|error| StoreError::Io(from.to_path_buf(), error))
}

fn removed(directory: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io(directory.to_path_buf(), error))
        }
        _ => Ok(()),
    }
}
