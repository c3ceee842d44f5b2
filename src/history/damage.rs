//! Damage on purpose, on a copy: for people who test recovery.

use std::path::Path;

use journal::{FRAME_HEADER_BYTES, Look, Reach};

use crate::bundle::{self, Files};
use crate::past::{Past, PastError};
use crate::source::Source;

/// What to do to the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It ends after this frame, and so many bytes into the next one.
    Cut {
        /// The last whole frame.
        after: u64,
        /// Bytes of the next frame that are there.
        bytes: u64,
    },
    /// One bit is the other one: of a frame's payload, counted from its beginning.
    FlipFrame {
        /// Which frame.
        sequence: u64,
        /// Which bit of its payload.
        bit: u64,
    },
    /// One bit of a file.
    FlipFile {
        /// Its name in the journal's directory.
        name: String,
        /// Which bit, from the beginning of the file.
        bit: u64,
    },
}

/// Copies a journal to a new directory and damages the copy; says what was done.
///
/// # Errors
/// When the place of the damage is not there, or the copy cannot be made.
pub fn damage(source: &Source, copy: &Path, damage: &Damage) -> Result<String, PastError> {
    let (mut files, meta) = bundle::files(source)?;
    let done = match damage {
        Damage::Cut { after, bytes } => {
            let past = Past::open(source, Reach::To(*after))?;
            cut(&mut files, &past.look, *after, *bytes)
        }
        Damage::FlipFrame { sequence, bit } => {
            let past = Past::open(source, Reach::To(sequence.saturating_sub(1)))?;
            flip_frame(&mut files, &past.look, *sequence, *bit)
        }
        Damage::FlipFile { name, bit } => flip_file(&mut files, name, *bit),
    };
    let done = done.map_err(|what| PastError::Bundle(source.path().into(), bundle::BundleError::Copy(what)))?;
    bundle::write_directory(copy, &files, meta.as_ref())?;
    Ok(done)
}

fn cut(files: &mut Files, look: &Look, after: u64, bytes: u64) -> Result<String, String> {
    let index = look.frames.partition_point(|frame| frame.sequence <= after);
    let place = look.places.get(index).ok_or_else(|| format!("there is no frame after {after}"))?;
    let name = format!("segment-{:016x}", place.segment);
    let content = files.get_mut(&name).ok_or_else(|| format!("{name} is gone"))?;
    let from = place.offset.saturating_add(bytes) as usize;
    let end = place.offset as usize + FRAME_HEADER_BYTES + look.frames[index].payload.len();
    // What is not there reads as zeros.
    if content.get(from..end).is_none_or(|rest| rest.iter().all(|byte| *byte == 0)) {
        return Err(format!("with {bytes} bytes the frame behind {after} is whole: give fewer, or cut after that one"));
    }
    content.get_mut(from..).ok_or_else(|| format!("{name} has no byte {from}"))?.fill(0);
    files.retain(|other, _| {
        let number = |prefix| other.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number("segment-").is_none_or(|number| number <= place.segment)
            && number("checkpoint-").is_none_or(|sequence| sequence <= after)
    });
    Ok(format!("{name} ends at byte {from}; everything after it is gone"))
}

fn flip_frame(files: &mut Files, look: &Look, sequence: u64, bit: u64) -> Result<String, String> {
    let index = look.frames.iter().position(|frame| frame.sequence == sequence);
    let index = index.ok_or_else(|| format!("there is no frame {sequence}"))?;
    let payload_bits = look.frames[index].payload.len() as u64 * 8;
    if bit >= payload_bits {
        return Err(format!("the payload of frame {sequence} has {payload_bits} bits"));
    }
    let place = look.places[index];
    let name = format!("segment-{:016x}", place.segment);
    flip_file(files, &name, (place.offset + FRAME_HEADER_BYTES as u64) * 8 + bit)
}

fn flip_file(files: &mut Files, name: &str, bit: u64) -> Result<String, String> {
    let content = files.get_mut(name).ok_or_else(|| format!("there is no file {name}"))?;
    let at = (bit / 8) as usize;
    let byte = content.get_mut(at).ok_or_else(|| format!("{name} has no byte {at}"))?;
    *byte ^= 1 << (bit % 8);
    Ok(format!("{name}: bit {} of byte {at} is the other one", bit % 8))
}
