//! Reading on: the frames that have come since the last time, while the writer goes on.
//!
//! The segment that is read stays open, so that what its writer removes meanwhile can still be read to its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::checkpoint::Position;
use crate::frame::{FRAME_HEADER_BYTES, PAGE_BYTES};
use crate::log::{Frame, Payload};
use crate::scan::{ScanEnd, SegmentScan};
use crate::segment::{Name, SegmentHeader, segment_name};
use crate::survey::follows;
use crate::{FileStorage, SEGMENT_HEADER_BYTES, Storage, StorageError};

/// So much is read at once, in bytes, unless a frame is larger.
const CHUNK_BYTES: usize = 256 * 1024;

/// Whether it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// There may be more.
    More,
    /// All that is there has been read.
    Idle,
    /// The journal has gone on without us, was made void behind us, or is another one now: look at it anew.
    Lost,
}

/// A place in a journal, and what is needed to go on from there.
#[derive(Debug)]
pub struct Follower {
    storage: FileStorage,
    position: Position,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Follower {
    pub(crate) fn behind(storage: FileStorage, position: Position) -> Self {
        let file = storage.open_to_read(&segment_name(position.segment)).ok();
        Self { storage, position, file, buffer: Vec::new() }
    }

    /// Number of the last frame that was read.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.position.sequence
    }

    /// Appends what has come to `into`, at most about 256 KiB at a time (or one larger frame).
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(&mut self, into: &mut Vec<Frame>) -> Result<Followed, StorageError> {
        if self.scan(into)? {
            return Ok(Followed::More);
        }
        let Some(next) = self.successor()? else {
            let is_there = self.storage.open_to_read(&segment_name(self.position.segment)).is_ok();
            return Ok(if is_there || self.position.segment == 0 { Followed::Idle } else { Followed::Lost });
        };
        // Between the scan and the new segment more may have been written into the old one.
        if self.scan(into)? {
            return Ok(Followed::More);
        }
        if !follows(&next, &self.position) {
            return Ok(Followed::Lost);
        }
        let name = segment_name(next.number);
        match self.storage.open_to_read(&name) {
            Ok(file) => self.file = Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Followed::Lost),
            Err(error) => return Err(StorageError::of("open", &name)(error)),
        }
        self.position = Position {
            segment: next.number,
            offset: SEGMENT_HEADER_BYTES as u64,
            chain: next.crc(),
            sequence: self.position.sequence.max(next.first_sequence - 1),
        };
        Ok(Followed::More)
    }

    /// Takes the next frames of the open segment; whether there were any.
    fn scan(&mut self, into: &mut Vec<Frame>) -> Result<bool, StorageError> {
        let Some(file) = &self.file else { return Ok(false) };
        let offset = self.position.offset as usize;
        // Frames keep to pages, so the piece must begin at one.
        let base = offset - offset % PAGE_BYTES;
        let mut wanted = CHUNK_BYTES;
        loop {
            self.buffer.resize(wanted, 0);
            let read = read_at(file, &mut self.buffer, base as u64)
                .map_err(StorageError::of("read", &segment_name(self.position.segment)))?;
            let bytes = &self.buffer[..read];
            let start = ScanEnd { offset: offset - base, chain: self.position.chain, sequence: self.position.sequence };
            let mut scan = SegmentScan::new(bytes, start);
            let mut found = Vec::new();
            while let Some(frame) = scan.next() {
                found.push((frame.sequence, scan.end().offset - frame.bytes() - start.offset, frame.payload.len()));
            }
            let end = scan.end();
            if !found.is_empty() {
                let frames = Arc::new(bytes[start.offset..end.offset].to_vec());
                into.extend(found.into_iter().map(|(sequence, begin, length)| {
                    let payload = Payload::of(&frames, begin + FRAME_HEADER_BYTES, length);
                    Frame { sequence, payload }
                }));
                self.position.offset = (base + end.offset) as u64;
                self.position.chain = end.chain;
                self.position.sequence = end.sequence;
                self.buffer.truncate(CHUNK_BYTES);
                self.buffer.shrink_to(CHUNK_BYTES);
                return Ok(true);
            }
            let is_empty = bytes.get(start.offset..start.offset + 8).is_none_or(|word| word == [0; 8]);
            if is_empty || read < wanted {
                return Ok(false);
            }
            // The next frame is larger than what was read.
            wanted *= 2;
        }
    }

    /// The newest segment that names this one as the one before it.
    fn successor(&mut self) -> Result<Option<SegmentHeader>, StorageError> {
        let names = self.storage.list(false).map_err(StorageError::of("list", "."))?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| match Name::parse(name) {
                Name::Segment(number) if number > self.position.segment => Some(number),
                _ => None,
            })
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let mut bytes = Vec::new();
        for number in numbers {
            let name = segment_name(number);
            match self.storage.read(&name, PAGE_BYTES as u64, &mut bytes) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StorageError::of("read", &name)(error)),
            }
            if let Ok(header) = SegmentHeader::parse(&bytes)
                && header.number == number
                && header.previous == self.position.segment
            {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}

/// Reads until `into` is full or the file ends.
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
