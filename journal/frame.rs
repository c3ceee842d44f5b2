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
    buffer.extend_from_slice(&FRAME_MAGIC);
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&link.to_le_bytes());
    buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(payload);
    buffer.resize(end, 0);
    let crc = chained_crc(link, &buffer[start + 12..end]);
    buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
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
    if fill.iter().any(|byte| *byte != 0) || chained_crc(link, &whole[12..]) != crc {
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
