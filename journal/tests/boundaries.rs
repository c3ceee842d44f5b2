//! Edges that no ordinary life comes near: the largest number, the last byte, the constants that FORMAT.md promises.

use std::error::Error;
use std::io;

use journal::{
    AppendError, CheckpointError, FRAME_HEADER_BYTES, Fault, FaultEffect, Log, MAXIMUM_PAYLOAD_BYTES, MAXIMUM_SEQUENCE,
    MAXIMUM_STATE_BYTES, MemoryStorage, OpenError, Options, Payload, QuarantineError, decode_frame, encode_frame,
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

#[test]
fn a_state_that_is_too_large_is_refused_and_nothing_else_is_for_that() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    log.append(b"one").unwrap();
    let before = disk.files();
    // Nobody looks at what is too large, so that it takes no memory.
    let error = log.checkpoint(&vec![0; MAXIMUM_STATE_BYTES + 1]).unwrap_err();
    assert!(matches!(error, CheckpointError::TooLarge { length_bytes, .. } if length_bytes == MAXIMUM_STATE_BYTES + 1));
    log.checkpoint(b"small").unwrap();
    assert_ne!(disk.files(), before);
}

/// Repairs begin a segment each and append nothing: a process that keeps crashing must not fill the file system with them.
#[test]
fn many_segments_want_a_checkpoint_however_little_is_in_them() {
    // Four, and as many as the bytes between two checkpoints fill.
    let most = 4 + options().checkpoint_bytes / options().segment_bytes;
    assert_eq!(most, 6);
    for is_checkpointed in [false, true] {
        let disk = MemoryStorage::new();
        let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
        let mut checkpointed = 0;
        for segment in 1..=12 {
            if segment == 3 && is_checkpointed {
                log.checkpoint(b"state").unwrap();
                checkpointed = segment;
            }
            assert_eq!(log.wants_checkpoint(), segment - checkpointed > most, "{segment} segments");
            drop(log);
            // An append that was cut off: the next open goes on in a new segment.
            let name = format!("segment-{segment:016x}");
            let mut content = disk.take(&name).unwrap();
            content[100] = 1;
            disk.put(&name, content);
            (log, _) = Log::open(disk.clone(), options()).unwrap();
        }
    }
}

#[test]
fn a_segment_has_whole_pages_at_least_two_and_room_for_its_first_frame() {
    let size = |segment_bytes: u64, payload_bytes: usize| {
        let disk = MemoryStorage::new();
        let (mut log, _) = Log::open(disk.clone(), Options { segment_bytes, ..options() }).unwrap();
        log.append(&payload(1, payload_bytes)).unwrap();
        disk.files().into_iter().next_back().map(|(_, content)| content.len())
    };
    assert_eq!(size(0, 10), Some(8192));
    assert_eq!(size(8192, 10), Some(8192));
    assert_eq!(size(8193, 10), Some(12_288));
    assert_eq!(size(20_000, 10), Some(20_480));
    assert_eq!(size(0, 10_000), Some(16_384));
    let disk = MemoryStorage::new();
    let _log = Log::open(disk.clone(), Options { segment_bytes: 0, ..options() }).unwrap();
    assert!(disk.files().values().all(|content| content.len() == 8192), "also without a frame");
}

#[test]
fn payloads_are_their_bytes() {
    let (one, same, other) = (Payload::from(vec![1, 2]), Payload::from(vec![1, 2]), Payload::from(vec![1, 3]));
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert_ne!(one, Payload::from(vec![1]));
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
