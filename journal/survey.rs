//! What is in a journal's directory: the newest good checkpoint, every frame after it, and what has to be put in order.
//!
//! Reads only. What it finds it writes down as a [`Survey`]; carrying that out is `repair`'s part.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::{
    CHECKPOINT_HEADER_BYTES, Checkpoint, CheckpointHeader, MAXIMUM_STATE_BYTES, Position, checkpoint_name,
};
use crate::frame::{FRAME_HEADER_BYTES, PAGE_BYTES};
use crate::log::{Frame, Payload};
use crate::scan::{ScanEnd, SegmentScan, residue, used_bytes};
use crate::segment::{HeaderFault, MAXIMUM_NUMBER, MAXIMUM_SEGMENT_BYTES, Name, SegmentHeader, segment_name};
use crate::{Finding, Identity, Report, SEGMENT_HEADER_BYTES, Storage, StorageError};

/// What was found, and what is to be done.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Where the newest good checkpoint stands.
    pub(crate) newest: Option<Position>,
    /// Where the one before it stands.
    pub(crate) spare: Option<Position>,
    pub(crate) frames: Vec<Frame>,
    /// Where each of them is: segment and offset.
    pub(crate) places: Vec<(u64, u64)>,
    /// Behind the last good frame.
    pub(crate) position: Position,
    /// Nothing may be appended behind `position` in its segment: a new one must be begun.
    pub(crate) is_sealed: bool,
    /// Header of the segment that `position` is in, if it is there.
    pub(crate) last_segment: Option<SegmentHeader>,
    /// No number up to this one may be given out again.
    pub(crate) highest_sequence: u64,
    /// Number of the next new segment.
    pub(crate) next_number: u64,
    pub(crate) report: Report,
    /// Segment of which a copy is to be kept for study.
    pub(crate) copy_aside: Option<u64>,
    pub(crate) move_aside: Vec<String>,
    pub(crate) remove: Vec<String>,
    /// A file of a newer format, and its version: nothing may be touched.
    pub(crate) newer: Option<(String, u16)>,
}

/// Surveys the directory. With `stop_before`, frames from that number on count as damaged.
pub(crate) fn survey<S: Storage>(storage: &S, stop_before: Option<u64>) -> Result<Survey, StorageError> {
    survey_from(storage, stop_before, u64::MAX)
}

/// The same as if there were no checkpoint with a number above `newest_checkpoint`.
pub(crate) fn survey_from<S: Storage>(
    storage: &S,
    stop_before: Option<u64>,
    newest_checkpoint: u64,
) -> Result<Survey, StorageError> {
    let mut surveyor = Surveyor {
        storage,
        stop_before: stop_before.unwrap_or(u64::MAX),
        newest_checkpoint,
        buffer: Vec::new(),
        segments: BTreeMap::new(),
        bad_segments: Vec::new(),
        visited: Vec::new(),
        survey: Survey::default(),
    };
    let names = storage.list(false).map_err(StorageError::of("list", "."))?;
    let (checkpoints, segments) = surveyor.sort_names(names);
    surveyor.read_checkpoints(checkpoints)?;
    surveyor.read_headers(segments)?;
    if surveyor.survey.newer.is_none() {
        surveyor.walk()?;
        surveyor.judge_the_rest()?;
    }
    Ok(surveyor.finish())
}

struct Surveyor<'s, S> {
    storage: &'s S,
    stop_before: u64,
    newest_checkpoint: u64,
    buffer: Vec<u8>,
    /// Segments with a good header, by number.
    segments: BTreeMap<u64, SegmentHeader>,
    /// Number in the name, and number in the header if that is good.
    bad_segments: Vec<(u64, Option<SegmentHeader>)>,
    visited: Vec<u64>,
    survey: Survey,
}

impl<S: Storage> Surveyor<'_, S> {
    fn note(&mut self, finding: Finding) {
        self.survey.report.findings.push(finding);
    }

    /// Numbers of checkpoints and segments, newest first.
    fn sort_names(&mut self, mut names: Vec<String>) -> (Vec<u64>, Vec<u64>) {
        let (mut checkpoints, mut segments) = (Vec::new(), Vec::new());
        names.sort_unstable();
        for file in names {
            match Name::parse(&file) {
                Name::Segment(number) => segments.push(number),
                Name::Checkpoint(sequence) => checkpoints.push(sequence),
                Name::Temporary => {
                    self.survey.remove.push(file.clone());
                    self.note(Finding::LeftoverTemporary { file });
                }
                Name::Housekeeping => {}
                Name::Unknown => self.note(Finding::UnknownFile { file }),
            }
        }
        if checkpoints.is_empty() && segments.is_empty() {
            self.note(Finding::EmptyDirectory);
        }
        checkpoints.reverse();
        segments.reverse();
        (checkpoints, segments)
    }

    fn read(&mut self, file: &str, limit: u64) -> Result<u64, StorageError> {
        let read = self.storage.read(file, limit, &mut self.buffer);
        read.map_err(StorageError::of("read", file))
    }

    fn read_checkpoints(&mut self, sequences: Vec<u64>) -> Result<(), StorageError> {
        let newest = self.newest_checkpoint;
        for sequence in sequences.into_iter().filter(|sequence| *sequence <= newest) {
            let file = checkpoint_name(sequence);
            if self.survey.spare.is_some() {
                self.survey.remove.push(file.clone());
                self.note(Finding::RedundantFile { file });
                continue;
            }
            let limit = (CHECKPOINT_HEADER_BYTES + MAXIMUM_STATE_BYTES + 1) as u64;
            self.read(&file, limit)?;
            match CheckpointHeader::parse(&self.buffer) {
                Ok(header) if header.position.sequence == sequence => {
                    self.take_checkpoint(header);
                }
                Ok(_) | Err(HeaderFault::Damaged) => {
                    self.survey.move_aside.push(file.clone());
                    self.note(Finding::DamagedCheckpoint { file });
                }
                Err(HeaderFault::Newer(version)) => self.refuse(file, version),
            }
        }
        Ok(())
    }

    fn take_checkpoint(&mut self, header: CheckpointHeader) {
        if self.survey.newest.is_some() {
            self.survey.spare = Some(header.position);
            return;
        }
        let sequence = header.position.sequence;
        self.survey.checkpoint = Some(Checkpoint { sequence, state: self.buffer[CHECKPOINT_HEADER_BYTES..].to_vec() });
        self.survey.newest = Some(header.position);
        self.survey.position = header.position;
        self.survey.report.checkpoint_sequence = Some(sequence);
        self.survey.report.identity = Some(header.identity);
    }

    fn refuse(&mut self, file: String, version: u16) {
        self.note(Finding::NewerVersion { file: file.clone(), version });
        self.survey.newer = Some((file, version));
    }

    fn read_headers(&mut self, numbers: Vec<u64>) -> Result<(), StorageError> {
        let base = self.survey.newest.map_or(0, |position| position.segment);
        let keep = self.survey.spare.map_or(0, |position| position.segment);
        for number in numbers {
            let file = segment_name(number);
            if number < keep {
                self.survey.remove.push(file.clone());
                self.note(Finding::RedundantFile { file });
                continue;
            }
            if number < base {
                // Of the generation before; it matters only when the newest checkpoint is damaged, and it is not.
                continue;
            }
            self.read(&file, PAGE_BYTES as u64)?;
            match SegmentHeader::parse(&self.buffer) {
                Ok(header) if header.number == number => {
                    self.segments.insert(number, header);
                }
                Ok(header) => {
                    self.bad_segments.push((number, Some(header)));
                    let number = header.number;
                    self.note(Finding::MisplacedSegment { file, number });
                }
                Err(HeaderFault::Damaged) => self.judge_headless(number, file)?,
                Err(HeaderFault::Newer(version)) => self.refuse(file, version),
            }
        }
        Ok(())
    }

    fn judge_headless(&mut self, number: u64, file: String) -> Result<(), StorageError> {
        self.read(&file, MAXIMUM_SEGMENT_BYTES)?;
        if used_bytes(&self.buffer) == 0 {
            self.survey.remove.push(file.clone());
            self.note(Finding::EmptySegment { file });
        } else {
            self.bad_segments.push((number, None));
            self.note(Finding::DamagedHeader { file });
        }
        Ok(())
    }

    /// The segment that goes on from `number`. Where a repair has begun anew there is more than one, and the last counts.
    fn successor_of(&self, number: u64) -> Option<SegmentHeader> {
        let after = self.segments.range(number.saturating_add(1)..).rev();
        let mut following = after.map(|(_, header)| header);
        following.find(|header| header.previous == number).copied()
    }

    /// Follows the frames from the checkpoint (or the beginning) from segment to segment.
    fn walk(&mut self) -> Result<(), StorageError> {
        loop {
            let number = self.survey.position.segment;
            let header = self.segments.get(&number).copied();
            let successor = self.successor_of(number);
            self.survey.last_segment = header;
            self.visited.push(number);
            let stopped = match header {
                Some(header) => self.scan_segment(&header, successor.as_ref())?,
                None => false,
            };
            let at = self.survey.position;
            match successor {
                Some(next) if !stopped && follows(&next, &at) => {
                    self.survey.position = Position {
                        segment: next.number,
                        offset: SEGMENT_HEADER_BYTES as u64,
                        chain: next.crc(),
                        sequence: next.first_sequence - 1,
                    };
                }
                Some(next) => {
                    self.judge_break(header.is_some(), &next);
                    return Ok(());
                }
                None => {
                    if header.is_none() {
                        self.survey.is_sealed = true;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Takes the frames of one segment, up to where its successor says that it ends. Returns whether it was stopped by
    /// `stop_before`.
    fn scan_segment(
        &mut self,
        header: &SegmentHeader,
        successor: Option<&SegmentHeader>,
    ) -> Result<bool, StorageError> {
        let file = segment_name(header.number);
        let size_bytes = self.read(&file, header.capacity)?;
        let bytes = Arc::new(std::mem::take(&mut self.buffer));
        let length = bytes.len();
        let limit = successor.map_or(length, |next| (next.previous_end as usize).min(length));
        let at = self.survey.position;
        let start = ScanEnd { offset: at.offset as usize, chain: at.chain, sequence: at.sequence };
        let mut scan = SegmentScan::new(&bytes[..limit], start);
        let mut end = start;
        let mut stopped = false;
        let frames_before = self.survey.frames.len();
        while let Some(frame) = scan.next() {
            if frame.sequence >= self.stop_before {
                stopped = true;
                break;
            }
            end = scan.end();
            let offset = end.offset - frame.bytes();
            self.survey.places.push((header.number, offset as u64));
            let payload = Payload::of(&bytes, offset + FRAME_HEADER_BYTES, frame.payload.len());
            self.survey.frames.push(Frame { sequence: frame.sequence, payload });
        }
        if self.survey.frames.len() > frames_before {
            self.survey.report.identity = Some(header.identity);
        }
        self.survey.report.segments += 1;
        self.survey.report.frame_bytes += (end.offset - start.offset) as u64;
        self.survey.position =
            Position { segment: header.number, offset: end.offset as u64, chain: end.chain, sequence: end.sequence };
        if stopped {
            self.survey.is_sealed = true;
            self.survey.copy_aside = Some(header.number);
        }
        match successor {
            None => self.judge_tail(&bytes, header, end, size_bytes),
            Some(_) => self.raise_highest(residue(&bytes[..limit], end).highest_sequence),
        }
        Ok(stopped)
    }

    fn raise_highest(&mut self, sequence: u64) {
        let highest = &mut self.survey.highest_sequence;
        *highest = sequence.max(*highest);
    }

    /// These are the bytes of the last segment: is what lies behind its last good frame nothing, one torn append, or a damage?
    fn judge_tail(&mut self, bytes: &[u8], header: &SegmentHeader, end: ScanEnd, size_bytes: u64) {
        let found = residue(bytes, end);
        self.raise_highest(found.highest_sequence);
        if size_bytes != header.capacity {
            self.survey.is_sealed = true;
            self.note(Finding::ShortSegment {
                file: segment_name(header.number),
                size_bytes,
                capacity_bytes: header.capacity,
            });
        }
        if found.bytes == 0 {
            return;
        }
        self.survey.is_sealed = true;
        let (segment, offset) = (header.number, end.offset as u64);
        let residue_bytes = found.bytes as u64;
        if found.holds_frames {
            self.survey.copy_aside = Some(segment);
            self.note(Finding::DamagedMiddle { segment, offset, residue_bytes });
        } else {
            self.note(Finding::TornTail { segment, offset, residue_bytes });
        }
    }

    /// The next segment is there but does not go on from where the frames end.
    fn judge_break(&mut self, is_here: bool, next: &SegmentHeader) {
        let at = self.survey.position;
        self.survey.is_sealed = true;
        if is_here {
            self.survey.copy_aside = Some(at.segment);
            self.note(Finding::DamagedMiddle {
                segment: at.segment,
                offset: at.offset,
                residue_bytes: next.previous_end.saturating_sub(at.offset),
            });
        } else {
            self.note(Finding::MissingSegment { number: at.segment });
        }
    }

    /// Segments that the walk has not come to.
    fn judge_the_rest(&mut self) -> Result<(), StorageError> {
        let last = self.survey.position.segment;
        let headers: Vec<SegmentHeader> = self.segments.values().copied().collect();
        let was_broken = self.survey.copy_aside.is_some() || self.survey.report.applied(crate::Rule::MissingSegment);
        let mut lost = false;
        for header in headers {
            let number = header.number;
            if self.visited.contains(&number) {
                continue;
            }
            let file = segment_name(number);
            self.survey.move_aside.push(file.clone());
            if number < last {
                self.note(Finding::SupersededSegment { file });
            } else {
                self.survey.is_sealed = true;
                lost = true;
                self.raise_by_file(&file, header.first_sequence)?;
                self.note(Finding::UnreachableSegment { file });
            }
        }
        for (number, header) in std::mem::take(&mut self.bad_segments) {
            let file = segment_name(number);
            self.raise_by_file(&file, header.map_or(1, |header| header.first_sequence))?;
            self.survey.is_sealed |= number > last;
            if number < MAXIMUM_NUMBER / 2 {
                self.survey.next_number = self.survey.next_number.max(number + 1);
            }
            self.survey.move_aside.push(file);
        }
        if lost && !was_broken {
            self.note(if self.survey.newest.is_none() && last == 0 {
                Finding::MissingBase
            } else {
                Finding::MissingSegment { number: last + 1 }
            });
        }
        Ok(())
    }

    /// No number that may have been used in a lost segment is to be used again.
    fn raise_by_file(&mut self, file: &str, first_sequence: u64) -> Result<(), StorageError> {
        self.read(file, MAXIMUM_SEGMENT_BYTES)?;
        let start = ScanEnd { offset: 0, chain: 0, sequence: first_sequence - 1 };
        let highest = residue(&self.buffer, start).highest_sequence;
        self.raise_highest(highest);
        Ok(())
    }

    fn finish(self) -> Survey {
        let mut survey = self.survey;
        let last_number = self.segments.keys().next_back().copied().unwrap_or(0);
        let newest = survey.newest.map_or(0, |position| position.segment);
        let number = last_number.max(newest).max(survey.position.segment) + 1;
        survey.next_number = survey.next_number.max(number);
        survey.highest_sequence = survey.highest_sequence.max(survey.position.sequence);
        survey.report.last_sequence =
            survey.frames.last().map_or(survey.report.checkpoint_sequence.unwrap_or(0), |frame| frame.sequence);
        survey.report.frames = survey.frames.len() as u64;
        let is_alone = survey.newest.is_some() && survey.last_segment.is_none();
        if is_alone && survey.report.is_clean() {
            survey.report.findings.push(Finding::NoSegment);
        }
        survey
    }
}

impl Survey {
    /// Judges the journal's origin by the reader's own identity.
    pub(crate) fn judge_identity(&mut self, own: &Identity) {
        if self.last_segment.is_some_and(|last| last.identity != *own) {
            self.is_sealed = true;
        }
        let Some(found) = self.report.identity.filter(|found| found != own) else {
            return;
        };
        self.report.findings.push(if found.boot_id == own.boot_id {
            Finding::ForeignPidNamespace { found }
        } else {
            Finding::ForeignBoot { found }
        });
    }
}

/// Whether the segment goes on exactly from there.
pub(crate) fn follows(next: &SegmentHeader, at: &Position) -> bool {
    next.previous == at.segment
        && next.previous_end == at.offset
        && next.seed == at.chain
        && next.first_sequence > at.sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_follows_only_where_all_of_it_fits() {
        let at = Position { segment: 2, offset: 8000, chain: 77, sequence: 39 };
        let next = SegmentHeader {
            identity: Identity::default(),
            number: 3,
            first_sequence: 40,
            previous: 2,
            previous_end: 8000,
            capacity: 8192,
            seed: 77,
        };
        assert!(follows(&next, &at));
        assert!(follows(&SegmentHeader { first_sequence: 50, ..next }, &at), "numbers may be left out");
        for other in [
            SegmentHeader { previous: 1, ..next },
            SegmentHeader { previous_end: 7992, ..next },
            SegmentHeader { seed: 78, ..next },
            SegmentHeader { first_sequence: 39, ..next },
        ] {
            assert!(!follows(&other, &at), "{other:?}");
        }
    }
}
