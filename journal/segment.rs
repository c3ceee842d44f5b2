//! The first bytes of a segment file, and the names of files. Knows how a header becomes bytes; never opens a file.

use crate::Identity;
use crate::frame::{MAXIMUM_SEQUENCE, PAGE_BYTES, chained_crc, u16_at, u32_at, u64_at};

/// Bytes of the header that every segment begins with.
pub const SEGMENT_HEADER_BYTES: usize = 88;
/// Largest size of a segment file in bytes; more than any frame needs.
pub(crate) const MAXIMUM_SEGMENT_BYTES: u64 = 256 * 1024 * 1024;
/// Segment numbers stay below this, so that adding one never overflows.
pub(crate) const MAXIMUM_NUMBER: u64 = 1 << 62;

const MAGIC: [u8; 8] = *b"StayupSg";

/// What a segment says about itself and about the segment it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Who wrote the segment.
    pub identity: Identity,
    /// Number of this segment, also in its file name. From 1, rising.
    pub number: u64,
    /// No frame in this segment has a smaller sequence number.
    pub first_sequence: u64,
    /// Number of the segment that this one follows; 0 for the first of all.
    pub previous: u64,
    /// Where the frames of the previous segment end, in bytes; what lies behind is void.
    pub previous_end: u64,
    /// Size of the file in bytes, all of it preallocated.
    pub capacity: u64,
    /// CRC of the last frame before this segment.
    pub seed: u32,
}

/// Why a header was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Not a header, or a damaged one.
    Damaged,
    /// An undamaged header of a format that is newer than this code.
    Newer(u16),
}

impl SegmentHeader {
    /// The header as bytes. Its last four are its CRC.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put_preamble(&mut bytes, MAGIC, &self.identity);
        bytes[40..48].copy_from_slice(&self.number.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.previous.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[80..84].copy_from_slice(&self.seed.to_le_bytes());
        let crc = chained_crc(0, &bytes[..84]);
        bytes[84..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// CRC of the header: the link of the first frame in the segment.
    pub fn crc(&self) -> u32 {
        u32_at(&self.encode(), 84)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let identity = check_preamble(bytes, MAGIC, SEGMENT_HEADER_BYTES)?;
        let header = Self {
            identity,
            number: u64_at(bytes, 40),
            first_sequence: u64_at(bytes, 48),
            previous: u64_at(bytes, 56),
            previous_end: u64_at(bytes, 64),
            capacity: u64_at(bytes, 72),
            seed: u32_at(bytes, 80),
        };
        let sound = header.number > header.previous
            && header.number < MAXIMUM_NUMBER
            && (1..=MAXIMUM_SEQUENCE).contains(&header.first_sequence)
            && header.capacity >= PAGE_BYTES as u64
            && header.capacity <= MAXIMUM_SEGMENT_BYTES
            && header.capacity.is_multiple_of(PAGE_BYTES as u64);
        if sound { Ok(header) } else { Err(HeaderFault::Damaged) }
    }
}

/// The forty bytes that every header of every file and version begins with.
pub(crate) fn put_preamble(bytes: &mut [u8], magic: [u8; 8], identity: &Identity) {
    let header_bytes = bytes.len() as u16;
    bytes[..8].copy_from_slice(&magic);
    bytes[8..10].copy_from_slice(&crate::FORMAT_VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&header_bytes.to_le_bytes());
    bytes[16..32].copy_from_slice(&identity.boot_id);
    bytes[32..40].copy_from_slice(&identity.pid_namespace.to_le_bytes());
}

/// Checks magic, version and CRC of a header that should be `expected_bytes` long, and returns whose it is.
pub(crate) fn check_preamble(bytes: &[u8], magic: [u8; 8], expected_bytes: usize) -> Result<Identity, HeaderFault> {
    if bytes.len() < 40 || bytes[..8] != magic {
        return Err(HeaderFault::Damaged);
    }
    let version = u16_at(bytes, 8);
    let header_bytes = u16_at(bytes, 10) as usize;
    if header_bytes < 44 || header_bytes > bytes.len() {
        return Err(HeaderFault::Damaged);
    }
    let crc_offset = header_bytes - 4;
    if chained_crc(0, &bytes[..crc_offset]) != u32_at(bytes, crc_offset) {
        return Err(HeaderFault::Damaged);
    }
    // Only now is the version to be believed: a flipped bit must not make a journal look like the future's.
    if version > crate::FORMAT_VERSION {
        return Err(HeaderFault::Newer(version));
    }
    let reserved = u32_at(bytes, 12);
    if version != crate::FORMAT_VERSION || header_bytes != expected_bytes || reserved != 0 {
        return Err(HeaderFault::Damaged);
    }
    let mut boot_id = [0; 16];
    boot_id.copy_from_slice(&bytes[16..32]);
    Ok(Identity { boot_id, pid_namespace: u64_at(bytes, 32) })
}

/// What a name in the journal's directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Segment(u64),
    Checkpoint(u64),
    Temporary,
    Housekeeping,
    Unknown,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Self {
        if name == crate::storage::LOCK || name == crate::QUARANTINE {
            Self::Housekeeping
        } else if let Some(stem) = name.strip_suffix(TEMPORARY_SUFFIX) {
            let is_ours = stem == COPY_STEM || matches!(Self::parse(stem), Self::Segment(_) | Self::Checkpoint(_));
            if is_ours { Self::Temporary } else { Self::Unknown }
        } else if let Some(number) = hex_after(name, "segment-") {
            Self::Segment(number)
        } else if let Some(sequence) = hex_after(name, "checkpoint-") {
            Self::Checkpoint(sequence)
        } else {
            Self::Unknown
        }
    }
}

/// A file that is still being written ends in this; it becomes real by being renamed.
pub(crate) const TEMPORARY_SUFFIX: &str = ".new";
/// What a copy that is set aside is called, without the suffix, until it gets its name.
pub(crate) const COPY_STEM: &str = "copy";

pub(crate) fn segment_name(number: u64) -> String {
    format!("segment-{number:016x}")
}

fn hex_after(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    let canonical = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() != 16 || !digits.bytes().all(canonical) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            identity: Identity { boot_id: [7; 16], pid_namespace: 4_026_531_836 },
            number: 3,
            first_sequence: 40,
            previous: 2,
            previous_end: 8000,
            capacity: 1 << 20,
            seed: 0xdead_beef,
        }
    }

    #[test]
    fn a_header_survives_the_round_trip() {
        assert_eq!(SegmentHeader::parse(&header().encode()), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed_and_none_looks_newer() {
        let good = header().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::parse(&bad), Err(HeaderFault::Damaged));
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = [0; 120];
        put_preamble(&mut bytes, MAGIC, &Identity::default());
        bytes[8..10].copy_from_slice(&9u16.to_le_bytes());
        let crc = chained_crc(0, &bytes[..116]);
        bytes[116..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::parse(&bytes), Err(HeaderFault::Newer(9)));
    }

    /// A preamble that says it is so long, of this version, with such reserved bytes, and a CRC that is right for it.
    fn preamble(version: u16, header_bytes: usize, reserved: u32) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        put_preamble(&mut bytes, MAGIC, &Identity::default());
        bytes[8..10].copy_from_slice(&version.to_le_bytes());
        bytes[10..12].copy_from_slice(&(header_bytes as u16).to_le_bytes());
        bytes[12..16].copy_from_slice(&reserved.to_le_bytes());
        if (4..=bytes.len()).contains(&header_bytes) {
            let crc = chained_crc(0, &bytes[..header_bytes - 4]);
            bytes[header_bytes - 4..header_bytes].copy_from_slice(&crc.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_header_of_no_possible_length_is_damage_and_the_shortest_possible_is_none() {
        let fault = |header_bytes| check_preamble(&preamble(9, header_bytes, 0), MAGIC, SEGMENT_HEADER_BYTES);
        for header_bytes in (0..44).chain([121, 65_535]) {
            assert_eq!(fault(header_bytes), Err(HeaderFault::Damaged), "{header_bytes}");
        }
        assert_eq!([44, 120].map(fault), [Err(HeaderFault::Newer(9)); 2]);
    }

    #[test]
    fn a_header_of_this_version_is_as_long_as_it_is_and_has_nothing_in_reserve() {
        let judged = |version, header_bytes, reserved| {
            check_preamble(&preamble(version, header_bytes, reserved), MAGIC, SEGMENT_HEADER_BYTES)
        };
        let version = crate::FORMAT_VERSION;
        assert_eq!(judged(version, SEGMENT_HEADER_BYTES, 0), Ok(Identity::default()));
        for (version, header_bytes, reserved) in [
            (version, SEGMENT_HEADER_BYTES + 8, 0),
            (version, SEGMENT_HEADER_BYTES, 1),
            (version, SEGMENT_HEADER_BYTES + 8, 1),
            (version - 1, SEGMENT_HEADER_BYTES, 0),
        ] {
            let judged = judged(version, header_bytes, reserved);
            assert_eq!(judged, Err(HeaderFault::Damaged), "{version} {header_bytes} {reserved}");
        }
    }

    #[test]
    fn numbers_and_sizes_have_their_limits() {
        let is_sound = |change: &dyn Fn(&mut SegmentHeader)| {
            let mut header = header();
            change(&mut header);
            SegmentHeader::parse(&header.encode()) == Ok(header)
        };
        assert!(is_sound(&|header| header.previous = header.number - 1));
        assert!(!is_sound(&|header| header.previous = header.number));
        assert!(is_sound(&|header| header.number = MAXIMUM_NUMBER - 1));
        assert!(!is_sound(&|header| header.number = MAXIMUM_NUMBER));
        assert!(is_sound(&|header| header.capacity = 256 << 20));
        assert!(!is_sound(&|header| header.capacity = (256 << 20) + PAGE_BYTES as u64));
    }

    #[test]
    fn the_first_frame_of_a_segment_is_linked_to_its_header() {
        let bytes = header().encode();
        assert_eq!(header().crc(), chained_crc(0, &bytes[..84]));
        assert_eq!(header().crc().to_le_bytes(), bytes[84..]);
    }

    #[test]
    fn only_canonical_names_are_ours() {
        assert_eq!(Name::parse(&segment_name(255)), Name::Segment(255));
        assert_eq!(Name::parse("segment-00000000000000FF"), Name::Unknown);
        assert_eq!(Name::parse("segment-1"), Name::Unknown);
        assert_eq!(Name::parse("segment-0000000000000001.new"), Name::Temporary);
        assert_eq!(Name::parse("copy.new"), Name::Temporary);
        assert_eq!(Name::parse("something.new"), Name::Unknown);
        assert_eq!(Name::parse("lock"), Name::Housekeeping);
    }
}
