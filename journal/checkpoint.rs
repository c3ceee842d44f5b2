//! The checkpoint file: a state, and the place in the journal that it stands at. Knows the bytes; never opens a file.

use crate::Identity;
use crate::frame::{MAXIMUM_SEQUENCE, chained_crc, u32_at, u64_at};
use crate::segment::{HeaderFault, MAXIMUM_NUMBER, check_preamble, put_preamble};

/// Largest state that a checkpoint takes, in bytes.
pub const MAXIMUM_STATE_BYTES: usize = 1 << 30;

pub(crate) const CHECKPOINT_HEADER_BYTES: usize = 96;
const MAGIC: [u8; 8] = *b"StayupCk";

/// A state that the caller gave to [`Log::checkpoint`](crate::Log::checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every frame up to and including this number is contained in the state.
    pub sequence: u64,
    /// The caller's bytes.
    pub state: Vec<u8>,
}

/// A place in the journal: behind some frame, in front of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Segment that holds the frame before; 0 before the first of all.
    pub(crate) segment: u64,
    /// Where that frame ends, in bytes.
    pub(crate) offset: u64,
    /// CRC of that frame, the link of the next.
    pub(crate) chain: u32,
    /// The next frame's number is larger than this.
    pub(crate) sequence: u64,
}

/// The header of a checkpoint file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckpointHeader {
    pub(crate) identity: Identity,
    pub(crate) position: Position,
    pub(crate) state_bytes: u64,
    pub(crate) state_crc: u32,
}

impl CheckpointHeader {
    pub(crate) fn new(identity: Identity, position: Position, state: &[u8]) -> Self {
        Self { identity, position, state_bytes: state.len() as u64, state_crc: chained_crc(position.chain, state) }
    }

    pub(crate) fn encode(&self) -> [u8; CHECKPOINT_HEADER_BYTES] {
        let mut bytes = [0; CHECKPOINT_HEADER_BYTES];
        put_preamble(&mut bytes, MAGIC, &self.identity);
        bytes[40..48].copy_from_slice(&self.position.sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.position.segment.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.position.offset.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.state_bytes.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.position.chain.to_le_bytes());
        bytes[76..80].copy_from_slice(&self.state_crc.to_le_bytes());
        let crc = chained_crc(0, &bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Checks a whole file, header and state; the state is what follows the header.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, HeaderFault> {
        let identity = check_preamble(file, MAGIC, CHECKPOINT_HEADER_BYTES)?;
        let header = Self {
            identity,
            position: Position {
                sequence: u64_at(file, 40),
                segment: u64_at(file, 48),
                offset: u64_at(file, 56),
                chain: u32_at(file, 72),
            },
            state_bytes: u64_at(file, 64),
            state_crc: u32_at(file, 76),
        };
        let state = &file[CHECKPOINT_HEADER_BYTES..];
        let sound = header.position.sequence <= MAXIMUM_SEQUENCE
            && header.position.segment < MAXIMUM_NUMBER
            && file[80..92].iter().all(|byte| *byte == 0)
            && header.state_bytes == state.len() as u64
            && header.state_crc == chained_crc(header.position.chain, state);
        if sound { Ok(header) } else { Err(HeaderFault::Damaged) }
    }
}

pub(crate) fn checkpoint_name(sequence: u64) -> String {
    format!("checkpoint-{sequence:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_checkpoint_is_noticed() {
        let position = Position { segment: 4, offset: 888, chain: 77, sequence: 1234 };
        let header = CheckpointHeader::new(Identity::default(), position, b"the state");
        let mut file = header.encode().to_vec();
        file.extend_from_slice(b"the state");
        assert_eq!(CheckpointHeader::parse(&file), Ok(header));
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(CheckpointHeader::parse(&bad), Err(HeaderFault::Damaged));
        }
        for length in 0..file.len() {
            let cut = CheckpointHeader::parse(&file[..length]);
            assert_eq!(cut, Err(HeaderFault::Damaged));
        }
    }

    #[test]
    fn a_number_that_is_never_given_out_is_damage() {
        let parsed = |segment, sequence| {
            let position = Position { segment, offset: 888, chain: 77, sequence };
            CheckpointHeader::parse(&CheckpointHeader::new(Identity::default(), position, b"").encode()).is_ok()
        };
        assert!(parsed(MAXIMUM_NUMBER - 1, MAXIMUM_SEQUENCE));
        assert!(!parsed(MAXIMUM_NUMBER, MAXIMUM_SEQUENCE));
        assert!(!parsed(MAXIMUM_NUMBER - 1, MAXIMUM_SEQUENCE + 1));
    }
}
