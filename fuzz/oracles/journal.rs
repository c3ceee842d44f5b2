//! What must hold for any bytes at all. The fuzz targets and the journal's own tests ask the same questions.

use std::time::Duration;

use journal::{
    Durability, Frame, Identity, Log, MAXIMUM_SEQUENCE, MemoryStorage, Options, Recovered, SEGMENT_HEADER_BYTES,
    SegmentHeader, Severity, decode_frame, encode_frame, verify_within,
};

/// What is encoded decodes to itself and no shorter; what decodes encodes to the same bytes.
pub fn frame(data: &[u8]) {
    if let Some(found) = decode_frame(data) {
        same_bytes(data, found.link, found.sequence, found.payload);
    }
    let Some((head, payload)) = data.split_first_chunk::<12>() else {
        return;
    };
    let link = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let sequence = head[4..].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let sequence = sequence.clamp(1, MAXIMUM_SEQUENCE);
    let mut bytes = Vec::new();
    let crc = encode_frame(&mut bytes, link, sequence, payload);
    let decoded = decode_frame(&bytes).expect("what was encoded decodes");
    assert_eq!((decoded.link, decoded.sequence, decoded.crc, decoded.payload), (link, sequence, crc, payload));
    assert_eq!(decode_frame(&bytes[..bytes.len() - 1]), None, "a torn frame is none");
    // A damage that the input chooses: it is refused, or (for a forged CRC) is a frame that encodes to itself.
    let (at, xor) = (usize::from(head[0]) * bytes.len() / 256, head[1]);
    bytes[at] ^= xor;
    match decode_frame(&bytes) {
        Some(found) if xor == 0 => assert_eq!(found.payload, payload),
        Some(found) => panic!("one damaged byte at {at} passes: {found:?}"),
        None => assert_ne!(xor, 0),
    }
}

fn same_bytes(data: &[u8], link: u32, sequence: u64, payload: &[u8]) {
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, link, sequence, payload);
    assert_eq!(bytes, data[..bytes.len()]);
}

/// Whatever a journal's files hold: opening ends, without a panic; what it finds is a beginning of what was written; opening
/// again finds the same and has nothing left to do; and a look without touching says the same as an open.
///
/// The first byte chooses: raw bytes behind a good segment header, or a life that the input describes and then damages.
pub fn segment_scan(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let disk = MemoryStorage::new();
    let written = if choice % 4 == 0 {
        put_raw(&disk, data);
        None
    } else {
        Some(live_and_damage(&disk, data))
    };
    let looked = verify_within(&disk, Duration::ZERO).expect("memory is always readable");
    let (log, found) = Log::open(disk.clone(), options()).expect("nothing here is of a newer version");
    let next = log.next_sequence();
    drop(log);
    assert_eq!(looked, found.report);
    if let Some((written, is_file_gone)) = written {
        is_a_beginning(&written, &found);
        let last = written.last().map_or(0, |frame| frame.sequence);
        // That the newest file is gone shows nowhere in the others; every other loss must be told.
        let is_told = is_file_gone || replayed(&found) == last || found.report.severity() >= Severity::Repaired;
        assert!(is_told, "lost in silence: {:?}", found.report);
    }
    let (mut log, again) = Log::open(disk.clone(), options()).expect("it did open before");
    assert_eq!((&found.frames, &found.checkpoint), (&again.frames, &again.checkpoint));
    assert!(again.report.is_clean(), "{:?} after {:?}", again.report, found.report);
    if let Ok(sequence) = log.append(b"further") {
        assert!(sequence > replayed(&found) && next > replayed(&found));
        drop(log);
        let (_log, last) = Log::open(disk, options()).expect("it did open before");
        assert_eq!(last.frames.last().map(|frame| frame.sequence), Some(sequence));
    }
}

fn options() -> Options {
    Options {
        segment_bytes: 8192,
        checkpoint_bytes: 8192,
        durability: Durability::None,
        identity: Identity { boot_id: [3; 16], pid_namespace: 5 },
    }
}

fn put_raw(disk: &MemoryStorage, data: &[u8]) {
    let header = SegmentHeader {
        identity: options().identity,
        number: 1,
        first_sequence: 1,
        previous: 0,
        previous_end: 0,
        capacity: 8192,
        seed: 0,
    };
    let mut content = header.encode().to_vec();
    // A bare header's CRC cannot be guessed, so the first frame is given; what the input adds comes behind it.
    let link = header.crc();
    encode_frame(&mut content, link, 1, b"first");
    assert!(content.len() > SEGMENT_HEADER_BYTES);
    content.extend_from_slice(&data[..data.len().min(8192 - content.len())]);
    content.resize(8192, 0);
    disk.put("segment-0000000000000001", content);
}

/// Three bytes an act, until a zero: append so much, or checkpoint. Then four bytes a damage: which file, where, what.
/// Returns what was written, and whether a whole file was taken away.
fn live_and_damage(disk: &MemoryStorage, data: &[u8]) -> (Vec<Frame>, bool) {
    let (mut log, _) = Log::open(disk.clone(), options()).expect("an empty directory opens");
    let mut written = Vec::new();
    let mut acts = data.chunks_exact(3);
    for act in acts.by_ref().take(40) {
        match act[0] {
            0 => break,
            1..=24 => log.checkpoint(&(written.len() as u64).to_le_bytes()).expect("there is room"),
            _ => {
                let size = usize::from(u16::from_le_bytes([act[1], act[2]]) % 6000);
                let payload = vec![act[0]; size];
                let sequence = log.append(&payload).expect("there is room");
                written.push(Frame { sequence, payload: payload.into() });
            }
        }
    }
    drop(log);
    let mut is_file_gone = false;
    let rest = acts.remainder().len() + acts.len() * 3;
    for damage in data[data.len() - rest..].chunks_exact(4) {
        let files = disk.files();
        let Some(name) = files.keys().nth(usize::from(damage[0]) % files.len().max(1)) else {
            break;
        };
        let mut content = files[name].clone();
        let at = usize::from(u16::from_le_bytes([damage[1], damage[2]])) % content.len().max(1);
        match damage[3] {
            0 => is_file_gone |= disk.take(name).is_some(),
            1 => disk.put(name, content[..at].to_vec()),
            2 => disk.put(&format!("segment-{at:016x}"), content),
            xor if !content.is_empty() => {
                content[at] ^= xor;
                disk.put(name, content);
            }
            _ => {}
        }
    }
    (written, is_file_gone)
}

fn is_a_beginning(written: &[Frame], found: &Recovered) {
    let from = found.checkpoint.as_ref().map_or(0, |checkpoint| {
        let count: [u8; 8] = checkpoint.state[..].try_into().expect("a state that was given");
        u64::from_le_bytes(count) as usize
    });
    let expected = &written[from..from + found.frames.len()];
    assert_eq!(expected, found.frames);
}

fn replayed(found: &Recovered) -> u64 {
    found.report.last_sequence
}
