//! Reading one segment: its frames in order, where they end, and what lies behind the end.
//!
//! Works on bytes in memory and never changes them. Every loop moves forward, and the search behind a damage has a budget,
//! so any bytes at all are read in bounded time.

use crate::frame::{
    FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameView, MAXIMUM_SEQUENCE, PAD_PAGE, PAGE_BYTES, decode_frame,
    padding_before,
};

/// The frames of one segment, in order, until the first place where the right frame does not follow.
///
/// "Right" means: undamaged, linked to the frame before, with a larger number, at the place where the writer would have put it.
#[derive(Debug, Clone)]
pub struct SegmentScan<'a> {
    bytes: &'a [u8],
    end: ScanEnd,
}

/// Behind the last good frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanEnd {
    /// Offset in the segment, in bytes.
    pub offset: usize,
    /// CRC of the last good frame, the link that the next one must carry.
    pub chain: u32,
    /// Number of the last good frame; the next one's is larger.
    pub sequence: u64,
}

impl<'a> SegmentScan<'a> {
    /// Scans `bytes`, a segment from its first byte (or the part of it that counts), from `start` on.
    pub fn new(bytes: &'a [u8], start: ScanEnd) -> Self {
        Self { bytes, end: start }
    }

    /// Where the scan stands: behind the last frame it returned.
    pub fn end(&self) -> ScanEnd {
        self.end
    }

    fn frame_at(&self, offset: usize) -> Option<FrameView<'a>> {
        let frame = decode_frame(self.bytes.get(offset..)?)?;
        let belongs = frame.link == self.end.chain
            && frame.sequence > self.end.sequence
            && padding_before(offset, frame.bytes()) == 0;
        belongs.then_some(frame)
    }

    /// The place of the next frame if there is padding here, and it is whole.
    fn behind_padding(&self) -> Option<usize> {
        let offset = self.end.offset;
        let used = offset % PAGE_BYTES;
        let page_end = offset - used + PAGE_BYTES;
        let padding = self.bytes.get(offset..page_end)?;
        (used != 0 && padding == &PAD_PAGE[used..]).then_some(page_end)
    }
}

impl<'a> Iterator for SegmentScan<'a> {
    type Item = FrameView<'a>;

    fn next(&mut self) -> Option<FrameView<'a>> {
        if !self.end.offset.is_multiple_of(FRAME_ALIGNMENT) {
            return None;
        }
        let here = self.end.offset;
        let (offset, frame) = match self.frame_at(here) {
            Some(frame) => (here, frame),
            None => {
                let offset = self.behind_padding()?;
                let frame = self.frame_at(offset)?;
                // Padding is there for a reason or it is not the writer's.
                if padding_before(here, frame.bytes()) == 0 {
                    return None;
                }
                (offset, frame)
            }
        };
        self.end = ScanEnd { offset: offset + frame.bytes(), chain: frame.crc, sequence: frame.sequence };
        Some(frame)
    }
}

/// What lies behind the last good frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Residue {
    /// Bytes from the end of the last good frame to the last one that is not zero.
    pub(crate) bytes: usize,
    /// Whole frames were found in it (or so much that could be one that the search was given up), so that it is not the
    /// remains of one append.
    pub(crate) holds_frames: bool,
    /// A number that no frame in the residue exceeds, damaged ones included: each takes at least a header.
    pub(crate) highest_sequence: u64,
}

/// Looks at everything behind `end`.
pub(crate) fn residue(bytes: &[u8], end: ScanEnd) -> Residue {
    let extent = used_bytes(bytes);
    let from = end.offset.min(bytes.len());
    let length = extent.saturating_sub(from);
    let mut found = Residue { bytes: length, holds_frames: false, highest_sequence: end.sequence };
    // Four times over is more than an honest residue needs; a forged one may ask for the square of its size.
    let mut budget = 4 * length + PAGE_BYTES;
    let mut offset = from.next_multiple_of(FRAME_ALIGNMENT);
    while offset < extent {
        let rest = &bytes[offset..];
        let Some(wanted) = plausible_bytes(rest, end.sequence) else {
            offset += FRAME_ALIGNMENT;
            continue;
        };
        if wanted > budget {
            found.holds_frames = true;
            break;
        }
        budget -= wanted;
        match decode_frame(rest) {
            Some(frame) => {
                found.holds_frames = true;
                found.highest_sequence = found.highest_sequence.max(frame.sequence);
                offset += frame.bytes();
            }
            None => offset += FRAME_ALIGNMENT,
        }
    }
    let unseen = (length / FRAME_HEADER_BYTES) as u64;
    found.highest_sequence = (found.highest_sequence + unseen).min(MAXIMUM_SEQUENCE);
    found
}

/// Bytes that would have to be checked to know whether a frame with a number above `sequence` begins here; `None` when it
/// is clear already that none does.
fn plausible_bytes(rest: &[u8], sequence: u64) -> Option<usize> {
    let header = rest.first_chunk::<FRAME_HEADER_BYTES>()?;
    if header[..4] != FRAME_MAGIC || crate::frame::u64_at(header, 16) <= sequence {
        return None;
    }
    let bytes = crate::frame::frame_bytes(crate::frame::u32_at(header, 12) as usize);
    (bytes <= rest.len()).then_some(bytes)
}

/// Length of `bytes` without the zeros at its end.
pub(crate) fn used_bytes(bytes: &[u8]) -> usize {
    static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
    let mut end = bytes.len();
    // Comparing whole blocks is as fast as reading memory; the smaller sizes find the place within the last one.
    for block in [PAGE_BYTES, 512, 64, 8, 1] {
        while end >= block && bytes[end - block..end] == ZEROS[..block] {
            end -= block;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{encode_frame, frame_bytes};

    const START: ScanEnd = ScanEnd { offset: 0, chain: 99, sequence: 0 };

    fn three_frames() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut chain = START.chain;
        let mut ends = Vec::new();
        for sequence in 1..=3 {
            chain = encode_frame(&mut bytes, chain, sequence, b"some payload");
            ends.push(bytes.len());
        }
        bytes.resize(PAGE_BYTES, 0);
        (bytes, ends)
    }

    #[test]
    fn a_number_that_was_there_before_does_not_follow() {
        for (second, count) in [(5, 1), (4, 1), (6, 2)] {
            let mut bytes = Vec::new();
            let chain = encode_frame(&mut bytes, START.chain, 5, b"first");
            encode_frame(&mut bytes, chain, second, b"second");
            bytes.resize(PAGE_BYTES, 0);
            assert_eq!(SegmentScan::new(&bytes, START).count(), count, "{second} behind 5");
        }
    }

    /// Each number that may have been used counts: those that are seen, and as many as could have been where nothing is.
    #[test]
    fn what_lies_behind_is_measured_to_the_number() {
        let mut bytes = vec![0xAA; 2 * FRAME_HEADER_BYTES];
        bytes.resize(bytes.len().next_multiple_of(FRAME_ALIGNMENT), 0xAA);
        for sequence in [3, 20, 21] {
            encode_frame(&mut bytes, 7, sequence, &[7; 900]);
        }
        let length = bytes.len();
        bytes.resize(PAGE_BYTES, 0);
        let judged = |sequence| residue(&bytes, ScanEnd { offset: 0, chain: 99, sequence });
        let used = used_bytes(&bytes);
        assert!(used <= length);
        let expected = |holds_frames, from: u64| Residue {
            bytes: used,
            holds_frames,
            highest_sequence: from + (used / FRAME_HEADER_BYTES) as u64,
        };
        assert_eq!(judged(3), expected(true, 21));
        assert_eq!(judged(20), expected(true, 21));
        // Frames that are no newer than what is good are the remains of an older use of the place.
        assert_eq!(judged(21), expected(false, 21));
    }

    #[test]
    fn a_frame_of_an_older_chain_never_follows() {
        let (mut bytes, ends) = three_frames();
        let mut stranger = Vec::new();
        encode_frame(&mut stranger, 4711, 2, b"some payload");
        bytes[ends[0]..ends[1]].copy_from_slice(&stranger);
        assert_eq!(SegmentScan::new(&bytes, START).count(), 1);
    }

    #[test]
    fn swapped_frames_do_not_verify() {
        let (mut bytes, ends) = three_frames();
        let (first, second) = bytes.split_at_mut(ends[1]);
        first[ends[0]..].swap_with_slice(&mut second[..ends[2] - ends[1]]);
        assert_eq!(SegmentScan::new(&bytes, START).count(), 1);
    }

    #[test]
    fn frames_behind_a_damage_are_found_and_a_torn_tail_has_none() {
        let (mut bytes, ends) = three_frames();
        bytes[ends[0] + 4] ^= 1;
        let mut scan = SegmentScan::new(&bytes, START);
        assert_eq!(scan.by_ref().count(), 1);
        let end = scan.end();
        let damaged = residue(&bytes, end);
        assert!(damaged.holds_frames && damaged.highest_sequence >= 3);
        bytes[ends[1]..].fill(0);
        let torn = residue(&bytes, end);
        assert!(!torn.holds_frames && torn.bytes > 0);
    }

    #[test]
    fn used_bytes_end_behind_the_last_that_is_not_zero() {
        for length in [0, 1, 7, 4096, 10_000] {
            assert_eq!(used_bytes(&vec![0; length]), 0);
            for last in (0..length).step_by(37) {
                let mut bytes = vec![0; length];
                bytes[last] = 1;
                assert_eq!(used_bytes(&bytes), last + 1);
            }
        }
    }

    #[test]
    fn a_forged_residue_cannot_cost_the_square_of_its_size() {
        let mut bytes = Vec::new();
        let size = 1 << 20;
        while bytes.len() < size {
            let mut header = Vec::new();
            encode_frame(&mut header, 0, 5, b"");
            let length = (size / 2) as u32;
            header[12..16].copy_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&header);
        }
        assert!(residue(&bytes, START).holds_frames);
    }

    #[test]
    fn a_frame_that_crosses_a_page_is_not_ours() {
        let mut bytes = vec![0; PAGE_BYTES - 32];
        let start = ScanEnd { offset: bytes.len(), ..START };
        encode_frame(&mut bytes, START.chain, 1, &[1; 100]);
        bytes.resize(2 * PAGE_BYTES, 0);
        assert_eq!(SegmentScan::new(&bytes, start).count(), 0);
        assert_eq!(frame_bytes(100), 128);
    }
}
