//! From the journal into the archive, in bounded memory, at its own pace.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use journal::{FileStorage, Followed, Follower, Frame, Identity, Reach};

use super::entry::{Entry, Kind, entries};
use super::store::{Archived, Run, Store, StoreError};
use crate::names::Names;
use crate::past::{Past, PastError, decode};
use crate::source::Source;

/// So many frames are put into the archive at once.
const PUT_AT_ONCE: usize = 1024;

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more.
    More,
    /// All that there was is archived.
    Idle,
}

/// Why archiving cannot go on.
#[derive(Debug)]
pub enum IngestError {
    /// The journal cannot be read; it may be there again later.
    Journal(PastError),
    /// The archive cannot be written.
    Store(StoreError),
}

impl std::fmt::Display for IngestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for IngestError {}

/// Follows one journal.
#[derive(Debug)]
pub struct Archivist {
    directory: PathBuf,
    keeper: (u32, u64),
    place: Option<Place>,
}

/// Where it is in the journal.
#[derive(Debug)]
struct Place {
    run: Run,
    follower: Follower,
    names: Names,
    /// Frames that were read and are not archived yet.
    pending: VecDeque<Frame>,
}

impl Archivist {
    /// Of the journal in a directory, whose keeper has this pid and start time.
    #[must_use]
    pub fn new(directory: &Path, keeper_pid: u32, start_time_ticks: u64) -> Self {
        Self { directory: directory.to_path_buf(), keeper: (keeper_pid, start_time_ticks), place: None }
    }

    /// Archives the next piece.
    ///
    /// # Errors
    /// When the journal cannot be read or the archive not be written.
    pub fn step(&mut self, store: &Store) -> Result<Progress, IngestError> {
        let mut place = match self.place.take() {
            Some(place) => place,
            None => self.find(store)?,
        };
        // Each time that something is put on disk takes its time, so as much is put there at once as there is.
        let mut followed = Followed::More;
        while place.pending.len() < PUT_AT_ONCE && followed == Followed::More {
            let mut frames = Vec::new();
            let read = place.follower.read(&mut frames);
            followed =
                read.map_err(|error| IngestError::Journal(PastError::Journal(self.directory.clone(), error.into())))?;
            place.pending.extend(frames);
        }
        let piece = place.pending.len().min(PUT_AT_ONCE);
        if piece > 0 {
            let archived = prepare(place.pending.drain(..piece), &mut place.names).map_err(IngestError::Journal)?;
            store.put(place.run, &archived).map_err(IngestError::Store)?;
        }
        let is_all = place.pending.is_empty();
        // What was lost from sight is looked for anew, once all is archived that was seen.
        if followed != Followed::Lost || !is_all {
            self.place = Some(place);
        }
        Ok(if followed == Followed::Idle && is_all { Progress::Idle } else { Progress::More })
    }

    /// Finds the place from which to go on, which the archive knows. What was there before it is read once more, for the
    /// names in it.
    fn find(&self, store: &Store) -> Result<Place, IngestError> {
        let past = Past::open(&Source::Directory(self.directory.clone()), Reach::All).map_err(IngestError::Journal)?;
        let identity: Identity = past.look.report.identity.unwrap_or_default();
        let run = Run::new(&identity, self.keeper.0, self.keeper.1);
        let through = store.boot(run).map_err(IngestError::Store)?.through;
        let mut names = Names::of(&past.base);
        let storage = FileStorage::read_only(&self.directory)
            .map_err(|error: io::Error| IngestError::Journal(PastError::Io(self.directory.clone(), error)))?;
        let follower = past.look.follow(storage);
        let known = past.frames().partition_point(|frame| frame.sequence <= through);
        for frame in &past.frames()[..known] {
            names.learn(&decode(frame).map_err(IngestError::Journal)?);
        }
        if through > 0 && past.base_sequence > through {
            let gap = gap(through, &past);
            store.put(run, &[gap]).map_err(IngestError::Store)?;
        }
        let pending = past.look.frames.into_iter().skip(known).collect();
        Ok(Place { run, follower, names, pending })
    }
}

/// Changes that the journal has forgotten.
fn gap(through: u64, past: &Past) -> Archived {
    let time_us = past.frames().first().and_then(|frame| decode(frame).ok()?.stamp).map_or(0, |stamp| stamp.wall_us);
    let text = format!("frames {} to {} were forgotten before they could be archived", through + 1, past.base_sequence);
    let entry = Entry {
        time_us,
        sequence: past.base_sequence,
        job: String::new(),
        instance: String::new(),
        kind: Kind::Gap,
        text,
        ended: None,
    };
    Archived { sequence: past.base_sequence, payload: Vec::new(), time_us, entries: vec![entry] }
}

fn prepare(frames: impl Iterator<Item = Frame>, names: &mut Names) -> Result<Vec<Archived>, PastError> {
    let mut archived = Vec::new();
    for frame in frames {
        let turn = decode(&frame)?;
        names.learn(&turn);
        archived.push(Archived {
            sequence: frame.sequence,
            time_us: turn.stamp.map_or(0, |stamp| stamp.wall_us),
            entries: entries(frame.sequence, &turn, names),
            payload: frame.payload.to_vec(),
        });
    }
    Ok(archived)
}
