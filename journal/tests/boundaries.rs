//! Edges that no ordinary life comes near: the largest number, the last byte, the constants that FORMAT.md promises.

use std::error::Error;
use std::io;

use journal::{
    AppendError, CheckpointError, FRAME_HEADER_BYTES, Fault, FaultEffect, Log, MAXIMUM_PAYLOAD_BYTES, MAXIMUM_SEQUENCE,
    MAXIMUM_STATE_BYTES, MemoryStorage, OpenError, Options, QuarantineError, decode_frame, encode_frame,
};

use crate::common::{options, payload};

#[test]
fn the_limits_are_those_of_the_format() {
    assert_eq!(MAXIMUM_PAYLOAD_BYTES, 16 << 20);
    assert_eq!(MAXIMUM_STATE_BYTES, 1 << 30);
    let options = Options::new(options().identity);
    assert_eq!((options.segment_bytes, options.checkpoint_bytes), (1 << 20, 1 << 20));
}

#[test]
fn the_largest_frame_is_one_and_the_next_larger_is_none() {
    let bytes_of = |sequence, length: usize| {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, 7, sequence, &vec![1; length]);
        bytes
    };
    assert!(decode_frame(&bytes_of(1, MAXIMUM_PAYLOAD_BYTES)).is_some());
    assert!(decode_frame(&bytes_of(1, MAXIMUM_PAYLOAD_BYTES + 1)).is_none());
    assert!(decode_frame(&bytes_of(MAXIMUM_SEQUENCE, 5)).is_some());
    assert!(decode_frame(&bytes_of(MAXIMUM_SEQUENCE + 1, 5)).is_none());
    assert!(decode_frame(&bytes_of(0, 5)).is_none());
}

#[test]
fn what_is_too_large_is_refused_and_what_is_not_is_taken() {
    let (mut log, _) = Log::open(MemoryStorage::new(), options()).unwrap();
    log.append(&vec![1; MAXIMUM_PAYLOAD_BYTES]).unwrap();
    let error = log.append(&vec![1; MAXIMUM_PAYLOAD_BYTES + 1]).unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { length_bytes, .. } if length_bytes == MAXIMUM_PAYLOAD_BYTES + 1));
    // A refusal uses no number.
    assert_eq!(log.next_sequence(), 2);
}

/// A reader that knows only FORMAT.md must find these bytes.
#[test]
fn padding_is_the_word_that_the_format_names() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.append(&payload(1, 3000)).unwrap();
    log.append(&payload(2, 2000)).unwrap();
    drop(log);
    let files = disk.files();
    let content = &files["segment-0000000000000001"];
    let end = 88 + FRAME_HEADER_BYTES + 3000;
    assert_eq!(end % 8, 0);
    for (at, byte) in content[end..4096].iter().enumerate() {
        assert_eq!(*byte, b"SuPadPad"[at % 8], "at {}", end + at);
    }
    assert_eq!(&content[4096..4100], b"SuF\x01");
}

/// People find out what the kernel said.
#[test]
fn no_error_of_the_storage_loses_its_cause() {
    let fail = |disk: &MemoryStorage| {
        disk.set_fault(Some(Fault { operation: 0, arriving_bytes: 0, effect: FaultEffect::Fail }));
    };
    let cause = |error: &dyn Error| error.source().unwrap().downcast_ref::<io::Error>().unwrap().to_string();
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.append(b"one").unwrap();
    fail(&disk);
    let error = log.append(b"two").unwrap_err();
    assert_eq!((cause(&error), matches!(error, AppendError::Storage(_))), ("injected fault".into(), true));
    fail(&disk);
    let error = log.checkpoint(b"state").unwrap_err();
    assert_eq!((cause(&error), matches!(error, CheckpointError::Storage(_))), ("injected fault".into(), true));
    fail(&disk);
    let error = log.quarantine_from(1).unwrap_err();
    assert_eq!((cause(&error), matches!(error, QuarantineError::Storage(_))), ("injected fault".into(), true));
    drop(log);
    let mut content = disk.files()["segment-0000000000000001"].clone();
    content[120] ^= 1;
    disk.put("segment-0000000000000001", content);
    fail(&disk);
    let error = Log::open(disk.clone(), options()).unwrap_err();
    assert_eq!((cause(&error), matches!(error, OpenError::Storage(_))), ("injected fault".into(), true));
    // What is nobody's fault but the caller's has no deeper cause.
    disk.set_fault(None);
    let (mut log, _) = Log::open(disk, options()).unwrap();
    assert!(log.append(&vec![0; MAXIMUM_PAYLOAD_BYTES + 1]).unwrap_err().source().is_none());
}
