//! The log: the one writer of a journal. Opens, appends, checkpoints, and gives room back.
//!
//! Invariant: `position` is behind the last acknowledged frame. While `active` is there, its segment is `position.segment` and
//! every byte behind `position` in it is zero, or was never acknowledged and makes `active` go before the next append.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, CheckpointHeader, MAXIMUM_STATE_BYTES, Position, checkpoint_name};
use crate::frame::{
    MAXIMUM_PAYLOAD_BYTES, MAXIMUM_SEQUENCE, PAD_PAGE, PAGE_BYTES, encode_frame, frame_bytes, padding_before,
};
use crate::segment::{MAXIMUM_NUMBER, MAXIMUM_SEGMENT_BYTES, Name, SegmentHeader, TEMPORARY_SUFFIX, segment_name};
use crate::survey::{Survey, survey};
use crate::{
    AppendError, CheckpointError, Identity, OpenError, QUARANTINE, QuarantineError, Report, SEGMENT_HEADER_BYTES,
    Storage, StorageError,
};

/// Room for one assembled frame that is kept between appends, in bytes; a larger one is given back.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

/// How a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Size of a segment file in bytes; rounded up to whole pages, at least two. A larger frame gets a larger segment.
    pub segment_bytes: u64,
    /// [`Log::wants_checkpoint`] from this many bytes of frames on.
    pub checkpoint_bytes: u64,
    /// What a successful append survives.
    pub durability: Durability,
    /// Who writes.
    pub identity: Identity,
}

impl Options {
    /// The defaults: segments of 1 MiB, a checkpoint every 1 MiB, no sync.
    pub fn new(identity: Identity) -> Self {
        Self { segment_bytes: 1 << 20, checkpoint_bytes: 1 << 20, durability: Durability::None, identity }
    }
}

/// What a successful append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, in whatever way. All that a journal on tmpfs can survive.
    #[default]
    None,
    /// Loss of power too: fdatasync(2) after each append, fsync(2) of files and directory with each new file.
    Fsync,
}

/// A frame that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub sequence: u64,
    /// The caller's bytes.
    pub payload: Payload,
}

/// The bytes of one frame, in the segment that they were read with: millions of them cost nothing each.
#[derive(Clone)]
pub struct Payload {
    segment: Arc<Vec<u8>>,
    begin: u32,
    length: u32,
}

impl Payload {
    /// The bytes from `begin` on; the caller knows that they are inside, and that no segment is as large as 4 GiB.
    pub(crate) fn of(segment: &Arc<Vec<u8>>, begin: usize, length: usize) -> Self {
        Self { segment: Arc::clone(segment), begin: begin as u32, length: length as u32 }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self::of(&Arc::new(bytes), 0, length)
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let begin = self.begin as usize;
        &self.segment[begin..begin + self.length as usize]
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What was found when a journal was opened.
#[derive(Debug)]
pub struct Recovered {
    /// The newest good checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Every frame after it, in order, without a gap in what was acknowledged (but for losses that the report names).
    pub frames: Vec<Frame>,
    /// What was found and repaired.
    pub report: Report,
    /// Who wrote the newest of the checkpoint and frames; `None` when there are none. When it is not the opener itself, the first
    /// thing the opener appends must say that no pid of before is believed: from then on the journal counts as its own.
    pub identity: Option<Identity>,
}

/// What [`Log::quarantine_from`] has set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// How many frames.
    pub frames: u64,
    /// Files in the quarantine that hold them.
    pub files: Vec<String>,
}

/// The one writer of a journal. See the crate's documentation for the contract.
#[derive(Debug)]
pub struct Log<S: Storage> {
    pub(crate) storage: S,
    options: Options,
    position: Position,
    active: Option<Active<S::File>>,
    next_number: u64,
    newest: Option<Position>,
    spare: Option<Position>,
    bytes_since_checkpoint: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Active<F> {
    file: F,
    capacity: u64,
}

impl<S: Storage> Log<S> {
    /// Opens the journal: locks it, finds what is there, puts it in order.
    ///
    /// Opening again gives the same checkpoint and frames, also after a crash in the middle of this.
    ///
    /// # Errors
    /// When another writer has it, when it is of a newer format, or when a file operation fails. Want of room is no error here; the
    /// first append will say so.
    pub fn open(mut storage: S, options: Options) -> Result<(Self, Recovered), OpenError> {
        storage.lock().map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Storage(StorageError::of("lock", crate::storage::LOCK)(error)),
        })?;
        let mut found = survey(&storage, None)?;
        if let Some((file, version)) = found.newer.take() {
            return Err(OpenError::NewerVersion { file, found: version, supported: crate::FORMAT_VERSION });
        }
        if found.next_number >= MAXIMUM_NUMBER {
            return Err(OpenError::NumbersExhausted);
        }
        found.judge_identity(&options.identity);
        found.is_sealed |= found.last_segment.is_none();
        let mut log = Self::from_survey(storage, options, &found)?;
        log.repair(&mut found)?;
        let recovered = Recovered {
            checkpoint: found.checkpoint,
            frames: found.frames,
            identity: found.report.identity,
            report: found.report,
        };
        Ok((log, recovered))
    }

    fn from_survey(mut storage: S, options: Options, found: &Survey) -> Result<Self, OpenError> {
        let mut active = None;
        if let Some(header) = found.last_segment.filter(|_| !found.is_sealed) {
            let name = segment_name(header.number);
            let file = storage.open(&name).map_err(StorageError::of("open", &name))?;
            let capacity = header.capacity;
            active = Some(Active { file, capacity });
        }
        Ok(Self {
            storage,
            options,
            position: Position { sequence: found.highest_sequence, ..found.position },
            active,
            next_number: found.next_number,
            newest: found.newest,
            spare: found.spare,
            bytes_since_checkpoint: found.report.frame_bytes,
            buffer: Vec::new(),
        })
    }

    /// Appends one frame and returns its number. When it returns `Ok`, the frame survives what
    /// [`Options::durability`] says.
    ///
    /// # Errors
    /// See [`AppendError`]; each says whether anything was written.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, AppendError> {
        if payload.len() > MAXIMUM_PAYLOAD_BYTES {
            return Err(AppendError::TooLarge { length_bytes: payload.len(), maximum_bytes: MAXIMUM_PAYLOAD_BYTES });
        }
        if self.position.sequence >= MAXIMUM_SEQUENCE {
            return Err(AppendError::SequenceExhausted);
        }
        let bytes = frame_bytes(payload.len());
        if !self.fits(bytes) {
            self.begin_segment(bytes).map_err(|error| {
                if error.is_no_room() {
                    let needed_bytes = self.capacity_for(bytes);
                    AppendError::NoRoom { needed_bytes }
                } else {
                    AppendError::Storage(error)
                }
            })?;
        }
        let sequence = self.position.sequence + 1;
        let padding = padding_before(self.position.offset as usize, bytes);
        self.buffer.clear();
        self.buffer.extend_from_slice(&PAD_PAGE[PAGE_BYTES - padding..]);
        let crc = encode_frame(&mut self.buffer, self.position.chain, sequence, payload);
        let written = self.write_buffer();
        // Whatever came of it, the number is used.
        self.position.sequence = sequence;
        if let Err(error) = written {
            // Bytes may be behind `position` now: only a new segment makes them void.
            self.active = None;
            return Err(error.into());
        }
        self.position.offset += self.buffer.len() as u64;
        self.position.chain = crc;
        self.bytes_since_checkpoint += self.buffer.len() as u64;
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Ok(sequence)
    }

    /// Gives no number up to this one to a frame any more: for copies of a journal, whose frames keep their numbers.
    pub fn skip_to(&mut self, sequence: u64) {
        self.position.sequence = self.position.sequence.max(sequence.min(MAXIMUM_SEQUENCE));
    }

    /// Number that the next frame will have.
    pub fn next_sequence(&self) -> u64 {
        self.position.sequence + 1
    }

    /// Whether so much was appended since the last checkpoint that it is time for the next one.
    pub fn wants_checkpoint(&self) -> bool {
        let options = &self.options;
        let begun = self.newest.map_or(0, |newest| newest.segment);
        let segments = self.position.segment.saturating_sub(begun);
        // Repairs begin segments too: a process that keeps crashing must not fill the file system with them.
        self.bytes_since_checkpoint >= options.checkpoint_bytes
            || segments > 4 + options.checkpoint_bytes / options.segment_bytes.max(1)
    }

    /// Puts the state that all frames so far have led to into a checkpoint, and removes what it makes superfluous: all but the
    /// checkpoint before it and the frames since that one.
    ///
    /// # Errors
    /// When the new checkpoint could not be written. Everything before is untouched then.
    pub fn checkpoint(&mut self, state: &[u8]) -> Result<(), CheckpointError> {
        if state.len() > MAXIMUM_STATE_BYTES {
            return Err(CheckpointError::TooLarge { length_bytes: state.len(), maximum_bytes: MAXIMUM_STATE_BYTES });
        }
        let header = CheckpointHeader::new(self.options.identity, self.position, state).encode();
        let name = checkpoint_name(self.position.sequence);
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        loop {
            match self.write_file(&temporary, &[&header, state]) {
                Ok(()) => break,
                Err(error) if error.is_no_room() => {
                    if !self.give_up_something()? {
                        let needed_bytes = (header.len() + state.len()) as u64;
                        return Err(CheckpointError::NoRoom { needed_bytes });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        let renamed = self.storage.rename(&temporary, &name);
        renamed.map_err(StorageError::of("rename", &temporary))?;
        self.sync_directory()?;
        if self.newest.map(|newest| newest.sequence) != Some(self.position.sequence) {
            self.spare = self.newest;
        }
        self.newest = Some(self.position);
        self.bytes_since_checkpoint = 0;
        // The checkpoint is taken. What cannot be removed now, the next one or the next open removes.
        let _ = self.compact();
        Ok(())
    }

    /// Sets aside every frame from `sequence` on, for the case that replaying them makes the caller fail. The frames before
    /// stay; the numbers are not used again.
    ///
    /// # Errors
    /// When the frame is part of a checkpoint, when there is no room, or when a file operation fails.
    pub fn quarantine_from(&mut self, sequence: u64) -> Result<Quarantined, QuarantineError> {
        let checkpoint_sequence = self.newest.map_or(0, |newest| newest.sequence);
        if self.newest.is_some() && sequence <= checkpoint_sequence {
            return Err(QuarantineError::InCheckpoint { sequence, checkpoint_sequence });
        }
        let all = survey(&self.storage, None)?.frames;
        let frames = all.iter().filter(|f| f.sequence >= sequence).count() as u64;
        let mut files = Vec::new();
        if frames == 0 {
            return Ok(Quarantined { frames, files });
        }
        let cut = survey(&self.storage, Some(sequence))?;
        let before = self.position;
        self.position = Position { sequence: before.sequence, ..cut.position };
        if let Err(error) = self.begin_anew(cut.copy_aside) {
            let needed_bytes = self.capacity_for(0);
            // What is written to stays what it has become: room may have been made with that very segment, or the one that goes on
            // without these frames may be there.
            self.position = before;
            return Err(if error.is_no_room() { QuarantineError::NoRoom { needed_bytes } } else { error.into() });
        }
        files = self.set_aside(&cut.move_aside)?;
        Ok(Quarantined { frames, files })
    }

    /// Number of the next segment.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    fn fits(&self, bytes: usize) -> bool {
        let Some(active) = &self.active else {
            return false;
        };
        let offset = self.position.offset as usize;
        (offset + padding_before(offset, bytes) + bytes) as u64 <= active.capacity
    }

    fn capacity_for(&self, bytes: usize) -> u64 {
        let page = PAGE_BYTES as u64;
        let needed = PAGE_BYTES + bytes;
        let wanted = self.options.segment_bytes.max(2 * page).max(needed as u64);
        wanted.next_multiple_of(page).min(MAXIMUM_SEGMENT_BYTES)
    }

    /// Begins a segment in which a frame of `bytes` fits, that goes on from `position`. Gives up what is not needed if it must.
    pub(crate) fn begin_segment(&mut self, bytes: usize) -> Result<(), StorageError> {
        loop {
            match self.try_begin_segment(bytes) {
                Err(error) if error.is_no_room() => {
                    if !self.give_up_something()? && !self.give_up_covered_segment()? {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    fn try_begin_segment(&mut self, bytes: usize) -> Result<(), StorageError> {
        let header = SegmentHeader {
            identity: self.options.identity,
            number: self.next_number,
            first_sequence: (self.position.sequence + 1).min(MAXIMUM_SEQUENCE),
            previous: self.position.segment,
            previous_end: self.position.offset,
            capacity: self.capacity_for(bytes),
            seed: self.position.chain,
        };
        let name = segment_name(header.number);
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        let file = self.make_file(&temporary, header.capacity, &[&header.encode()])?;
        // From here on the new segment may be there, whatever is reported: nothing may go into the old one any more, and
        // another attempt must have a higher number, because the highest counts.
        self.active = None;
        self.next_number += 1;
        let renamed = self.storage.rename(&temporary, &name);
        renamed.map_err(StorageError::of("rename", &temporary))?;
        self.sync_directory()?;
        let capacity = header.capacity;
        self.active = Some(Active { file, capacity });
        self.position.segment = header.number;
        self.position.offset = SEGMENT_HEADER_BYTES as u64;
        self.position.chain = header.crc();
        Ok(())
    }

    /// Writes a file of exactly these parts.
    pub(crate) fn write_file(&mut self, name: &str, parts: &[&[u8]]) -> Result<(), StorageError> {
        let size_bytes = parts.iter().map(|part| part.len() as u64).sum();
        self.make_file(name, size_bytes, parts).map(drop)
    }

    /// Makes a file of that size that begins with these parts. Leaves none behind when it fails.
    fn make_file(&mut self, name: &str, size_bytes: u64, parts: &[&[u8]]) -> Result<S::File, StorageError> {
        let created = self.storage.create(name, size_bytes);
        let mut file = created.map_err(StorageError::of("create", name))?;
        let mut offset = 0;
        let mut written = Ok(());
        for part in parts {
            written = written.and_then(|()| write_all(&mut self.storage, &mut file, offset, part));
            offset += part.len() as u64;
        }
        if self.options.durability == Durability::Fsync {
            written = written.and_then(|()| self.storage.sync(&mut file));
        }
        match written {
            Ok(()) => Ok(file),
            Err(error) => {
                // Should even this fail, the next open removes it.
                let _ = self.storage.remove(name);
                Err(StorageError::of("write", name)(error))
            }
        }
    }

    /// One write of the assembled frame, padding included.
    fn write_buffer(&mut self) -> Result<(), StorageError> {
        let number = self.position.segment;
        let Some(active) = &mut self.active else {
            let error = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(StorageError::of("write", &segment_name(number))(error));
        };
        let offset = self.position.offset;
        let mut written = write_all(&mut self.storage, &mut active.file, offset, &self.buffer);
        if self.options.durability == Durability::Fsync {
            written = written.and_then(|()| self.storage.sync(&mut active.file));
        }
        written.map_err(|error| StorageError::of("write", &segment_name(number))(error))
    }

    pub(crate) fn sync_directory(&mut self) -> Result<(), StorageError> {
        if self.options.durability == Durability::None {
            return Ok(());
        }
        let synced = self.storage.sync_directory();
        synced.map_err(StorageError::of("sync", "."))
    }

    /// Removes what neither the newest checkpoint nor the one before it needs.
    fn compact(&mut self) -> Result<(), StorageError> {
        let Some(newest) = self.newest else {
            return Ok(());
        };
        // Without an earlier checkpoint the beginning takes its place, and every segment is needed.
        let spare = self.spare.unwrap_or_default();
        self.remove_where(|name| match name {
            Name::Checkpoint(sequence) => sequence != newest.sequence && sequence != spare.sequence,
            _ => false,
        })?;
        self.remove_where(|name| matches!(name, Name::Segment(number) if number < spare.segment))?;
        Ok(())
    }

    /// Removes files by name, and returns how many.
    fn remove_where(&mut self, condemned: impl Fn(Name) -> bool) -> Result<usize, StorageError> {
        let listed = self.storage.list(false);
        let mut removed = 0;
        for name in listed.map_err(StorageError::of("list", "."))? {
            if condemned(Name::parse(&name)) {
                let gone = self.storage.remove(&name);
                gone.map_err(StorageError::of("remove", &name))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Room has run out: gives up what replay does not need, first what was kept for study, then the checkpoint before the
    /// newest and its frames. Returns whether there was anything.
    fn give_up_something(&mut self) -> Result<bool, StorageError> {
        let listed = self.storage.list(true);
        let studied = listed.map_err(StorageError::of("list", QUARANTINE))?;
        if !studied.is_empty() {
            for name in studied {
                let name = format!("{QUARANTINE}/{name}");
                let removed = self.storage.remove(&name);
                removed.map_err(StorageError::of("remove", &name))?;
            }
            return Ok(true);
        }
        let Some(newest) = self.newest else {
            return Ok(false);
        };
        self.spare = None;
        let checkpoints =
            self.remove_where(|name| matches!(name, Name::Checkpoint(sequence) if sequence != newest.sequence))?;
        let segments = self.remove_where(|name| matches!(name, Name::Segment(number) if number < newest.segment))?;
        Ok(checkpoints + segments > 0)
    }

    /// The last way to make room for a new segment: a full one that the newest checkpoint covers to its end.
    fn give_up_covered_segment(&mut self) -> Result<bool, StorageError> {
        let at = self.position;
        let is_covered = self.newest.is_some_and(|newest| newest.segment == at.segment && newest.offset == at.offset);
        if !is_covered {
            return Ok(false);
        }
        self.active = None;
        let removed = self.remove_where(|name| matches!(name, Name::Segment(number) if number == at.segment))?;
        Ok(removed > 0)
    }
}

/// Writes everything. One system call does, unless a signal came between.
fn write_all<S: Storage>(
    storage: &mut S,
    file: &mut S::File,
    mut offset: u64,
    mut bytes: &[u8],
) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match storage.write_at(file, offset, bytes) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                bytes = &bytes[length.min(bytes.len())..];
                offset += length as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
