//! Records of the journal: what is read is written as it was, and nothing that is no record is taken for one.

use machine::change::Change;
use machine::state::State;
use record::{CodecError, Origin, Stamp, decode_changes, decode_state, decode_turn, digest, encode_state, encode_turn};

/// Any bytes as the record of a turn and as that of a state, of each version; then any changes as a record.
pub fn change_codec(data: &[u8]) {
    read_turn(data);
    read_state(data);
    for version in 1..=record::VERSION {
        let record = [&[version], data].concat();
        read_turn(&record);
        read_state(&record);
    }
    let changes = changes(data);
    let bytes = encoded(&changes);
    assert_eq!(decode_changes(&bytes).expect("what was written"), changes);
    if changes.is_empty() {
        return;
    }
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(decode_changes(&bytes[..cut]).is_err(), "a record that is cut after {cut} bytes is read");
    }
    assert!(decode_changes(&[&bytes[..], &[0]].concat()).is_err(), "a record with a byte too many is read");
}

fn read_turn(data: &[u8]) {
    match decode_turn(data) {
        Ok(turn) => {
            let mut bytes = Vec::new();
            let stamp = turn.stamp.unwrap_or_default();
            encode_turn(stamp, &turn.origin, &turn.changes, &mut bytes).expect("a turn can be written");
            let again = decode_turn(&bytes).expect("what was written");
            assert_eq!((again.stamp, again.origin, &again.changes), (Some(stamp), turn.origin, &turn.changes));
            assert_eq!(decode_changes(data).expect("what was read"), turn.changes);
            // A number can be written in more bytes than it needs, and is written in fewer again.
            assert!(bytes.len() <= data.len() || turn.stamp.is_none());
        }
        Err(error) => check_error(&error, data, record::VERSION),
    }
}

fn read_state(data: &[u8]) {
    match decode_state(data) {
        Ok(state) => is_same_after_reading(&state),
        Err(error) => check_error(&error, data, 1),
    }
}

/// `newest` is the newest version of such a record.
fn check_error(error: &CodecError, data: &[u8], newest: u8) {
    let is_known = data.first().is_some_and(|version| (1..=newest).contains(version));
    match error {
        CodecError::Empty => assert!(data.is_empty()),
        CodecError::NewerVersion(version) => assert!(!is_known && data.first() == Some(version)),
        CodecError::Malformed(reason) => assert!(is_known && !reason.is_empty()),
        CodecError::Unwritable(_) => panic!("reading does not write"),
    }
    assert!(!error.to_string().is_empty());
}

/// The record of these changes.
#[must_use]
pub fn encoded(changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_turn(Stamp::default(), &Origin::Tick, changes, &mut bytes).expect("changes can be written");
    bytes
}

/// A state is the same after it was written and read, with all that is derived from it.
pub fn is_same_after_reading(state: &State) {
    let bytes = encode_state(state).expect("a state can be written");
    let again = decode_state(&bytes).expect("what was written");
    assert_eq!(digest(&again).expect("as above"), digest(state).expect("as above"));
    let (again, state) = (format!("{again:#?}"), format!("{state:#?}"));
    let difference = again.lines().zip(state.lines()).find(|(one, other)| one != other);
    assert_eq!(difference, None, "a state differs after it was read from a checkpoint");
    assert_eq!(again.len(), state.len(), "as above, at the end");
}

/// The changes that these bytes hold somewhere: one is read after the other, and a byte is passed over where none begins.
#[must_use]
pub fn changes(mut data: &[u8]) -> Vec<Change> {
    const CHANGES_MAX: usize = 200;
    let mut changes = Vec::new();
    let configuration = bincode::config::standard().with_limit::<65536>();
    while !data.is_empty() && changes.len() < CHANGES_MAX {
        match bincode::serde::decode_from_slice::<Change, _>(data, configuration) {
            Ok((change, used)) => {
                changes.push(change);
                data = &data[used..];
            }
            Err(_) => data = &data[1..],
        }
    }
    changes
}
