//! The one place that knows how changes and states become bytes: serde and bincode 2 behind a version.
//!
//! A record is one byte of version and the bincode of its content (standard configuration: variable-length integers). A
//! new version adds a branch to the two `decode` functions; the old ones stay for ever.

use std::fmt;

use machine::change::Change;
use machine::state::State;

/// The version that is written.
const VERSION: u8 = 1;

/// Why a record cannot be read.
#[derive(Debug)]
pub enum CodecError {
    /// There are no bytes at all.
    Empty,
    /// It was written by a newer version of this program.
    NewerVersion(u8),
    /// Its bytes are no record, although their checksum was right: a fault of the program that wrote them.
    Malformed(String),
    /// It could not be written.
    Unwritable(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a record without a single byte"),
            Self::NewerVersion(version) => {
                write!(f, "a record of version {version}; this program reads up to {VERSION} (was it downgraded?)")
            }
            Self::Malformed(reason) => write!(f, "a record that cannot be read: {reason}"),
            Self::Unwritable(reason) => write!(f, "a record that cannot be written: {reason}"),
        }
    }
}

impl std::error::Error for CodecError {}

/// One turn's changes, as one frame; appended to `bytes`.
///
/// # Errors
/// [`CodecError::Unwritable`], which no change that the machine makes gives.
pub fn encode_changes(changes: &[Change], bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    encode(changes, bytes)
}

/// The changes of one frame.
///
/// # Errors
/// When the frame was written by a newer version, or by something else.
pub fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>, CodecError> {
    decode(bytes)
}

/// A whole state, for a checkpoint.
///
/// # Errors
/// [`CodecError::Unwritable`], which no state gives.
pub fn encode_state(state: &State) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    encode(state, &mut bytes)?;
    Ok(bytes)
}

/// The state of a checkpoint, indexes included.
///
/// # Errors
/// When the checkpoint was written by a newer version, or by something else.
pub fn decode_state(bytes: &[u8]) -> Result<State, CodecError> {
    let mut state: State = decode(bytes)?;
    state.reindex();
    Ok(state)
}

/// A number that two states share if they are the same.
///
/// # Errors
/// As [`encode_state`].
pub fn digest(state: &State) -> Result<u32, CodecError> {
    Ok(crc32fast::hash(&encode_state(state)?))
}

fn encode<T: serde::Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    bytes.push(VERSION);
    bincode::serde::encode_into_std_write(value, bytes, bincode::config::standard())
        .map(drop)
        .map_err(|error| CodecError::Unwritable(error.to_string()))
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, body)) => match bincode::serde::decode_from_slice(body, bincode::config::standard()) {
            Ok((value, used)) if used == body.len() => Ok(value),
            Ok((_, used)) => Err(CodecError::Malformed(format!("{} bytes too many", body.len() - used))),
            Err(error) => Err(CodecError::Malformed(error.to_string())),
        },
        Some((version, _)) => Err(CodecError::NewerVersion(*version)),
    }
}
