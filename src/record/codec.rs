//! The one place that knows how changes and states become bytes: serde and bincode 2 behind a version.
//!
//! A record is one byte of version and the bincode of its content (standard configuration: variable-length integers):
//!
//! | version | a frame's content | a checkpoint's content |
//! |---|---|---|
//! | 1 | the changes | the state |
//! | 2 | the stamp, the origin, the changes | (not written) |
//!
//! Views are read by [`crate::wire`], which knows the same bytes.
//!
//! A new version adds a branch to the `decode` functions; the old ones stay for ever.

use std::fmt;

use machine::change::Change;
use machine::state::State;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::wire::{Bad, Wire};
use crate::{ChangeView, HeadView, Origin, OriginView, Stamp, Turn};

/// The version that is written of turns, and the newest that is read.
pub const VERSION: u8 = 2;

/// The version that is written of states.
const STATE_VERSION: u8 = 1;

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

/// One turn, as one frame; appended to `bytes`.
///
/// # Errors
/// [`CodecError::Unwritable`], which no change that the machine makes gives.
pub fn encode_turn(stamp: Stamp, origin: &Origin, changes: &[Change], bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    bytes.push(VERSION);
    encode(&(stamp, origin, changes), bytes)
}

/// Everything that a frame says.
///
/// # Errors
/// When the frame was written by a newer version, or by something else.
pub fn decode_turn(bytes: &[u8]) -> Result<Turn, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((1, body)) => Ok(Turn { stamp: None, origin: Origin::Unknown, changes: decode(body)? }),
        Some((2, body)) => {
            let (stamp, origin, changes): (Stamp, Origin, Vec<Change>) = decode(body)?;
            Ok(Turn { stamp: Some(stamp), origin, changes })
        }
        Some((version, _)) => Err(CodecError::NewerVersion(*version)),
    }
}

/// What a frame says, without taking its texts out of it: what tools need that read millions of them. Its changes are put
/// behind those that are there; after an error, some of them may be.
///
/// # Errors
/// As [`decode_turn`].
pub fn view_turn<'a>(bytes: &'a [u8], changes: &mut Vec<ChangeView<'a>>) -> Result<HeadView<'a>, CodecError> {
    let malformed = |error: Bad| CodecError::Malformed(error.to_string());
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    let mut wire = Wire::new(body);
    let head = match version {
        1 => HeadView { stamp: None, origin: OriginView::Unknown },
        2 => {
            let (stamp, origin) = <(Stamp, OriginView<'_>)>::deserialize(&mut wire).map_err(malformed)?;
            HeadView { stamp: Some(stamp), origin }
        }
        _ => return Err(CodecError::NewerVersion(*version)),
    };
    Append(changes).deserialize(&mut wire).map_err(malformed)?;
    match wire.left() {
        0 => Ok(head),
        left => Err(CodecError::Malformed(format!("{left} bytes too many"))),
    }
}

/// Puts what is read behind what is there, instead of making room for it anew.
struct Append<'v, 'de>(&'v mut Vec<ChangeView<'de>>);

impl<'de> DeserializeSeed<'de> for Append<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Append<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut changes: A) -> Result<(), A::Error> {
        while let Some(change) = changes.next_element()? {
            self.0.push(change);
        }
        Ok(())
    }
}

/// The changes of one frame: what replay needs.
///
/// # Errors
/// When the frame was written by a newer version, or by something else.
pub fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>, CodecError> {
    match bytes.split_first() {
        Some((2, body)) => {
            let (_, _, changes): (Stamp, OriginView<'_>, Vec<Change>) = decode(body)?;
            Ok(changes)
        }
        _ => Ok(decode_turn(bytes)?.changes),
    }
}

/// When the turn of a frame was taken, if the frame says so; nothing else of it is looked at.
///
/// # Errors
/// As [`decode_turn`].
pub fn decode_stamp(bytes: &[u8]) -> Result<Option<Stamp>, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((1, _)) => Ok(None),
        Some((2, body)) => match decode_body(body) {
            Ok((stamp, _)) => Ok(Some(stamp)),
            Err(error) => Err(CodecError::Malformed(error.to_string())),
        },
        Some((version, _)) => Err(CodecError::NewerVersion(*version)),
    }
}

/// A whole state, for a checkpoint.
///
/// # Errors
/// [`CodecError::Unwritable`], which no state gives.
pub fn encode_state(state: &State) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![STATE_VERSION];
    encode(state, &mut bytes)?;
    Ok(bytes)
}

/// The state of a checkpoint, indexes included.
///
/// # Errors
/// When the checkpoint was written by a newer version, or by something else.
pub fn decode_state(bytes: &[u8]) -> Result<State, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&STATE_VERSION, body)) => {
            let mut state: State = decode(body)?;
            state.reindex();
            Ok(state)
        }
        Some((version, _)) => Err(CodecError::NewerVersion(*version)),
    }
}

/// A number that two states share if they are the same.
///
/// # Errors
/// As [`encode_state`].
pub fn digest(state: &State) -> Result<u32, CodecError> {
    Ok(crc32fast::hash(&encode_state(state)?))
}

fn encode<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, bytes, bincode::config::standard())
        .map(drop)
        .map_err(|error| CodecError::Unwritable(error.to_string()))
}

fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CodecError> {
    match decode_body(body) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok((_, used)) => Err(CodecError::Malformed(format!("{} bytes too many", body.len() - used))),
        Err(error) => Err(CodecError::Malformed(error.to_string())),
    }
}

/// Bounds what a length inside a damaged or forged record can make bincode allocate by the size of the record itself.
/// bincode counts up to eight bytes for one that it reads (the widest integer in its shortest form), hence the eight.
fn decode_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, usize), bincode::error::DecodeError> {
    const SMALL: usize = 64 << 10;
    const MEDIUM: usize = 1 << 20;
    const LARGE: usize = 16 << 20;
    const LARGEST: usize = 1_usize << 30;
    let configuration = bincode::config::standard();
    let length = body.len();
    if length <= SMALL {
        bincode::serde::borrow_decode_from_slice(body, configuration.with_limit::<{ 8 * SMALL }>())
    } else if length <= MEDIUM {
        bincode::serde::borrow_decode_from_slice(body, configuration.with_limit::<{ 8 * MEDIUM }>())
    } else if length <= LARGE {
        bincode::serde::borrow_decode_from_slice(body, configuration.with_limit::<{ 8 * LARGE }>())
    } else {
        bincode::serde::borrow_decode_from_slice(body, configuration.with_limit::<{ LARGEST.saturating_mul(8) }>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Who;
    use machine::effect::Caller;

    fn caller() -> Caller {
        Caller { connection: 3, serial: 8, sender: None }
    }

    #[test]
    fn a_turn_comes_back_as_it_was_written() {
        let stamp = Stamp { boot_us: 5_000_000_000, wall_us: 1_700_000_000_000_000 };
        let who = Some(Who { uid: 0, pid: 77, program: "initctl".into() });
        let origin = Origin::Call { caller: caller(), method: "start".into(), subject: "web".into(), who };
        let changes = vec![Change::CallTaken(caller()), Change::TaskTaken];
        let mut bytes = Vec::new();
        encode_turn(stamp, &origin, &changes, &mut bytes).unwrap();
        assert_eq!(decode_changes(&bytes).unwrap(), changes);
        assert_eq!(decode_turn(&bytes).unwrap(), Turn { stamp: Some(stamp), origin, changes });
    }

    #[test]
    fn a_turn_of_version_1_is_read_for_ever() {
        // The bytes as 0.1.0 wrote them: StateChanged of instance 300 to running, EventFinished of event 7.
        let bytes = [1, 2, 26, 251, 44, 1, 10, 17, 7];
        let turn = decode_turn(&bytes).unwrap();
        let expected = [
            Change::StateChanged { instance: 300, state: machine::job::JobState::Running },
            Change::EventFinished { event: 7 },
        ];
        assert_eq!((turn.stamp, turn.origin, &turn.changes[..]), (None, Origin::Unknown, &expected[..]));
    }

    #[test]
    fn bytes_that_are_no_record_are_errors() {
        assert!(matches!(decode_turn(&[]), Err(CodecError::Empty)));
        assert!(matches!(decode_turn(&[9, 0]), Err(CodecError::NewerVersion(9))));
        assert!(matches!(decode_state(&[2, 0]), Err(CodecError::NewerVersion(2))));
        for length in 0..12 {
            assert!(decode_turn(&vec![0xff; length]).is_err());
            let mut bytes = vec![2; length];
            bytes.push(0xfd);
            assert!(decode_turn(&bytes).is_err());
        }
    }

    /// The bound must not refuse what was written: records of each size, of what bincode counts most for.
    #[test]
    fn no_record_is_too_large_to_be_read_back() {
        for count in [1, 5_000, 60_000, 1_000_000] {
            let changes = vec![Change::TaskTaken; count];
            let numbers = vec![Change::NumberSeen { number: 1 }; count];
            let empty = vec![Change::EnvironmentSet { table: vec!["".into(); count] }];
            for changes in [changes, numbers, empty] {
                let mut bytes = Vec::new();
                encode_turn(Stamp::default(), &Origin::Tick, &changes, &mut bytes).unwrap();
                assert_eq!(decode_changes(&bytes).unwrap(), changes);
            }
        }
    }

    /// Found by fuzzing: a text of almost 2^64 bytes was asked of the allocator, which ended the manager.
    #[test]
    fn a_length_without_end_is_an_error() {
        let mut bytes = Vec::new();
        let changes = [Change::ClassRemoved { class: "job".into() }];
        encode_turn(Stamp::default(), &Origin::Tick, &changes, &mut bytes).unwrap();
        let at = bytes.iter().position(|byte| *byte == 3).unwrap();
        bytes.splice(at..=at, [253, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert!(matches!(decode_changes(&bytes), Err(CodecError::Malformed(_))), "{:?}", decode_changes(&bytes));
    }

    /// A text that is said to be `claimed` bytes long, in a record of so many.
    fn forged(claimed: u64, record_bytes: usize) -> String {
        let mut bytes = Vec::new();
        let changes = [Change::ClassRemoved { class: "job".into() }];
        encode_turn(Stamp::default(), &Origin::Tick, &changes, &mut bytes).unwrap();
        let at = bytes.iter().position(|byte| *byte == 3).unwrap();
        bytes.splice(at..=at, [&[253][..], &claimed.to_le_bytes()].concat());
        bytes.resize(1 + record_bytes, 0);
        decode_changes(&bytes).unwrap_err().to_string()
    }

    /// Where memory is short, a forged record must not take what is left of it: at most eight times the largest record of its size.
    #[test]
    fn what_a_length_can_ask_for_is_bounded_by_the_size_of_the_record() {
        for (from, to) in [(40, 64 << 10), ((64 << 10) + 1, 1 << 20), ((1 << 20) + 1, 16 << 20)] {
            for record_bytes in [from, to] {
                let (bound, is_refused) = (8 * to as u64, |text: String| text.contains("LimitExceeded"));
                assert!(is_refused(forged(bound, record_bytes)), "{record_bytes}: {}", forged(bound, record_bytes));
                // As long as the sum of what was read before leaves it; then it is the end of the record that is missed.
                let text = forged(bound - 2048, record_bytes);
                assert!(!is_refused(text.clone()), "{record_bytes}: {text}");
            }
        }
        assert!(forged(16 << 20, (16 << 20) + 1).contains("UnexpectedEnd"), "larger ones may claim more");
    }

    #[test]
    fn what_follows_a_record_is_an_error() {
        let mut bytes = Vec::new();
        encode_turn(Stamp::default(), &Origin::Tick, &[Change::TaskTaken], &mut bytes).unwrap();
        let mut state = encode_state(&State::default()).unwrap();
        for count in 1..4 {
            bytes.push(0);
            state.push(0);
            let text = format!("{count} bytes too many");
            assert!(decode_turn(&bytes).unwrap_err().to_string().ends_with(&text));
            assert!(decode_changes(&bytes).unwrap_err().to_string().ends_with(&text));
            assert!(view_turn(&bytes, &mut Vec::new()).unwrap_err().to_string().ends_with(&text));
            assert!(decode_state(&state).unwrap_err().to_string().ends_with(&text));
        }
    }

    #[test]
    fn a_stamp_is_read_without_the_rest() {
        let stamp = Stamp { boot_us: 7, wall_us: 8 };
        let mut bytes = Vec::new();
        encode_turn(stamp, &Origin::Tick, &[Change::TaskTaken], &mut bytes).unwrap();
        assert_eq!(decode_stamp(&bytes).unwrap(), Some(stamp));
        assert_eq!(decode_stamp(&bytes[..4]).unwrap(), Some(stamp));
        assert_eq!(decode_stamp(&[1, 2]).unwrap(), None);
        assert!(matches!(decode_stamp(&[]), Err(CodecError::Empty)));
        assert!(matches!(decode_stamp(&[2]), Err(CodecError::Malformed(_))));
        assert!(matches!(decode_stamp(&[3, 1, 1]), Err(CodecError::NewerVersion(3))));
    }

    #[test]
    fn a_view_says_what_the_record_says() {
        let stamp = Stamp { boot_us: 7, wall_us: 8 };
        let changes = [Change::ClassRemoved { class: "job".into() }, Change::TaskTaken];
        let mut bytes = Vec::new();
        encode_turn(stamp, &Origin::Tick, &changes, &mut bytes).unwrap();
        let mut views = Vec::new();
        let head = view_turn(&bytes, &mut views).unwrap();
        assert_eq!((head.stamp, matches!(head.origin, OriginView::Tick)), (Some(stamp), true));
        assert!(matches!(views[..], [ChangeView::ClassRemoved { class: "job" }, ChangeView::TaskTaken]), "{views:?}");
        // StateChanged of instance 300 to running, EventFinished of event 7, in version 1; behind those that are there.
        let head = view_turn(&[1, 2, 26, 251, 44, 1, 10, 17, 7], &mut views).unwrap();
        assert_eq!((head.stamp, matches!(head.origin, OriginView::Unknown), views.len()), (None, true, 4));
        assert!(matches!(view_turn(&[], &mut views), Err(CodecError::Empty)));
        assert!(matches!(view_turn(&[9, 0], &mut views), Err(CodecError::NewerVersion(9))));
    }

    #[test]
    fn a_digest_differs_where_states_do() {
        let (mut one, other) = (State::default(), State::default());
        assert_eq!(digest(&one).unwrap(), digest(&other).unwrap());
        one.apply(&Change::Restarted { generation: 2 }, &mut machine::effect::Nobody);
        assert_ne!(digest(&one).unwrap(), digest(&other).unwrap());
        let back = decode_state(&encode_state(&one).unwrap()).unwrap();
        assert_eq!(digest(&one).unwrap(), digest(&back).unwrap());
        assert!(matches!(decode_state(&[]), Err(CodecError::Empty)));
    }
}
