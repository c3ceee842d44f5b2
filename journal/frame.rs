//! One frame: how a payload becomes bytes, and how bytes prove that they are the frame that belongs at this place.
//!
//! Pure functions over slices. Knows nothing of files, segments or what a payload means.

/// Size in bytes of a page, the unit in which a killed write(2) tears (Linux copies page by page and looks for a fatal
/// signal between two of them; `generic_perform_write` in mm/filemap.c).
pub const PAGE_BYTES: usize = 4096;
/// Bytes before the payload of every frame.
pub const FRAME_HEADER_BYTES: usize = 24;
/// Every frame begins at, and is filled up with zeros to, a multiple of this many bytes.
pub const FRAME_ALIGNMENT: usize = 8;
/// Largest payload of one frame, in bytes.
pub const MAXIMUM_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;
/// Largest sequence number that is ever accepted or given out; above it a number is damage.
pub const MAXIMUM_SEQUENCE: u64 = 1 << 62;

/// Three letters and the format version. Neither zeros nor padding can look like it.
pub(crate) const FRAME_MAGIC: [u8; 4] = [b'S', b'u', b'F', crate::FORMAT_VERSION as u8];

/// The CRC is over everything from here on. The first thing summed is the link, so every CRC continues from the frame before.
/// (Seeding the sum with the link *and* summing it would cancel it out: a CRC of its own value is a constant.)
const SUMMED_FROM: usize = 8;

/// What fills the rest of a page in front of a frame that would have crossed its end. It is compared byte by byte, and
/// as frames are aligned to eight bytes it always begins with a whole word.
pub(crate) static PAD_PAGE: [u8; PAGE_BYTES] = {
    let word = *b"SuPadPad";
    let mut page = [0; PAGE_BYTES];
    let mut i = 0;
    while i < PAGE_BYTES {
        page[i] = word[i % 8];
        i += 1;
    }
    page
};

/// A frame that has verified, borrowed from the bytes it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// Number of the frame.
    pub sequence: u64,
    /// CRC of the frame before it, which seeds its own.
    pub link: u32,
    /// Its own CRC, which seeds the next frame's.
    pub crc: u32,
    /// The caller's bytes.
    pub payload: &'a [u8],
}

impl FrameView<'_> {
    /// Bytes that the frame takes in the segment, header and alignment included.
    pub fn bytes(&self) -> usize {
        frame_bytes(self.payload.len())
    }
}

/// Bytes that a frame with a payload of `payload_bytes` takes, header and alignment included.
pub const fn frame_bytes(payload_bytes: usize) -> usize {
    (FRAME_HEADER_BYTES + payload_bytes).next_multiple_of(FRAME_ALIGNMENT)
}

/// Bytes of padding that go in front of a frame of `frame_bytes` that would begin at `offset` of its segment.
///
/// A frame that fits in a page never crosses the end of one, and a larger frame begins at the start of a page, so that
/// it touches the fewest pages and its header is never torn.
pub(crate) const fn padding_before(offset: usize, frame_bytes: usize) -> usize {
    let used = offset % PAGE_BYTES;
    if used == 0 || used + frame_bytes <= PAGE_BYTES { 0 } else { PAGE_BYTES - used }
}

/// Appends the frame to `buffer` and returns its CRC, the `link` of the frame after it.
///
/// The caller keeps `payload` within [`MAXIMUM_PAYLOAD_BYTES`] and `sequence` within [`MAXIMUM_SEQUENCE`]; a frame beyond
/// them would be written but never read.
pub fn encode_frame(buffer: &mut Vec<u8>, link: u32, sequence: u64, payload: &[u8]) -> u32 {
    let start = buffer.len();
    let end = start + frame_bytes(payload.len());
    let mut header = [0; FRAME_HEADER_BYTES];
    header[..4].copy_from_slice(&FRAME_MAGIC);
    header[8..12].copy_from_slice(&link.to_le_bytes());
    header[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[16..].copy_from_slice(&sequence.to_le_bytes());
    buffer.reserve(end - start);
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(payload);
    buffer.resize(end, 0);
    let crc = chained_crc(0, &buffer[start + SUMMED_FROM..]);
    buffer[start + 4..start + SUMMED_FROM].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Reads the frame at the start of `bytes`, or `None` when there is no whole and undamaged one.
///
/// The frame proves itself against the `link` that it carries. Whether that link is the right one is the caller's
/// question: a frame belongs after another one only when its link is that one's CRC.
pub fn decode_frame(bytes: &[u8]) -> Option<FrameView<'_>> {
    let header = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    if header[..4] != FRAME_MAGIC {
        return None;
    }
    let crc = u32_at(header, 4);
    let link = u32_at(header, 8);
    let length = u32_at(header, 12) as usize;
    let sequence = u64_at(header, 16);
    if length > MAXIMUM_PAYLOAD_BYTES || sequence == 0 || sequence > MAXIMUM_SEQUENCE {
        return None;
    }
    let whole = bytes.get(..frame_bytes(length))?;
    let (payload, fill) = whole[FRAME_HEADER_BYTES..].split_at(length);
    if *fill != [0; FRAME_ALIGNMENT][..fill.len()] || chained_crc(0, &whole[SUMMED_FROM..]) != crc {
        return None;
    }
    Some(FrameView { sequence, link, crc, payload })
}

/// CRC-32 (IEEE) of `bytes`, continued from `seed`.
pub(crate) fn chained_crc(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Little-endian number at `offset`; the caller knows that it is inside.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes[offset..].first_chunk().map_or(0, |b| u16::from_le_bytes(*b))
}

/// Little-endian number at `offset`; the caller knows that it is inside.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

/// Little-endian number at `offset`; the caller knows that it is inside.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_depends_on_the_frame_before() {
        let crc = |link| encode_frame(&mut Vec::new(), link, 7, b"payload");
        let mut all: Vec<u32> = (0..32).map(|bit| crc(1 << bit)).chain([crc(0), crc(u32::MAX)]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 34);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_frame_is_noticed() {
        for size in [0, 1, 8, 13, 100] {
            let mut bytes = Vec::new();
            encode_frame(&mut bytes, 77, 7, &vec![3; size]);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode_frame(&bytes), None, "bit {bit} of {size}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            assert!((0..bytes.len()).all(|length| decode_frame(&bytes[..length]).is_none()));
            assert!(decode_frame(&bytes).is_some());
        }
    }

    #[test]
    fn no_frame_that_fits_in_a_page_crosses_one() {
        for offset in (0..PAGE_BYTES).step_by(FRAME_ALIGNMENT) {
            for payload in [0, 1, 100, 2000, 4000, 4072] {
                let bytes = frame_bytes(payload);
                let start = offset + padding_before(offset, bytes);
                assert_eq!(start / PAGE_BYTES, (start + bytes - 1) / PAGE_BYTES);
            }
            let start = offset + padding_before(offset, frame_bytes(4073));
            assert_eq!(start % PAGE_BYTES, 0, "a larger one begins at a page");
        }
    }
}
