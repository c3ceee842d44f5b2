//! What the journal costs: an append against a bare write(2), a scan against a plain read, an open at several ages.
//!
//! After criterion's own figures a table follows in which both sides of each ratio were measured in turns, so that what
//! else the machine does falls on both.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group};
use journal::{
    Durability, FileStorage, Identity, Log, Options, SEGMENT_HEADER_BYTES, ScanEnd, SegmentScan, Storage, encode_frame,
    frame_bytes,
};

const PAYLOAD: [u8; 128] = [0x5a; 128];
const SCANNED_BYTES: usize = 64 << 20;
const AGES: [u64; 3] = [10_000, 100_000, 1_000_000];

/// A directory that is removed in the end, on tmpfs if there is one.
struct Scratch(PathBuf);

impl Scratch {
    fn new(purpose: &str) -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let candidates = [Some(PathBuf::from("/dev/shm")), runtime, Some(std::env::temp_dir())];
        let parent = candidates.into_iter().flatten().find(|path| path.is_dir()).unwrap();
        let path = parent.join(format!("stayup-bench-{purpose}-{}", std::process::id()));
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options(checkpoint_bytes: u64) -> Options {
    Options {
        segment_bytes: 1 << 20,
        checkpoint_bytes,
        durability: Durability::None,
        identity: Identity::of_this_system().unwrap(),
    }
}

fn open(directory: &Path) -> Log<FileStorage> {
    Log::open(FileStorage::at(directory).unwrap(), options(1 << 20)).unwrap().0
}

/// Appends, and takes a small checkpoint when it is time: the life of a journal as it is used.
fn append(log: &mut Log<FileStorage>) {
    log.append(black_box(&PAYLOAD)).unwrap();
    if log.wants_checkpoint() {
        log.checkpoint(&[1; 64]).unwrap();
    }
}

/// A file with all of its room reserved, and bare writes through it, as large as a frame. At its end it begins again.
struct BareWrites {
    file: File,
    size_bytes: u64,
    offset: u64,
}

impl BareWrites {
    const FRAME: [u8; frame_bytes(PAYLOAD.len())] = [0x5a; frame_bytes(PAYLOAD.len())];

    fn new(directory: &Path, size_bytes: u64) -> Self {
        let mut storage = FileStorage::at(directory).unwrap();
        let file = storage.create("bare", size_bytes).unwrap();
        Self { file, size_bytes, offset: 0 }
    }

    fn write(&mut self) {
        if self.offset + Self::FRAME.len() as u64 > self.size_bytes {
            self.offset = 0;
        }
        let written = self.file.write_at(black_box(&Self::FRAME), self.offset).unwrap();
        self.offset += written as u64;
    }
}

/// One segment of 64 MiB, full of frames of 128 bytes.
fn full_segment() -> Vec<u8> {
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
    let (mut chain, mut sequence) = (0, 0);
    let mut frame = Vec::new();
    loop {
        frame.clear();
        let used = bytes.len() % 4096;
        if used + frame_bytes(PAYLOAD.len()) > 4096 {
            frame.extend(b"SuPadPad".iter().cycle().skip(used % 8).take(4096 - used));
        }
        sequence += 1;
        chain = encode_frame(&mut frame, chain, sequence, &PAYLOAD);
        if bytes.len() + frame.len() > SCANNED_BYTES {
            bytes.resize(SCANNED_BYTES, 0);
            return bytes;
        }
        bytes.extend_from_slice(&frame);
    }
}

fn scan(segment: &[u8]) -> usize {
    let start = ScanEnd { offset: SEGMENT_HEADER_BYTES, chain: 0, sequence: 0 };
    SegmentScan::new(black_box(segment), start).map(|frame| frame.payload.len()).sum()
}

fn read(segment: &[u8]) -> u64 {
    let words = black_box(segment).as_chunks::<8>().0;
    words.iter().fold(0, |sum, word| sum ^ u64::from_ne_bytes(*word))
}

/// A journal after so many appends, with checkpoints.
fn aged(appends: u64) -> Scratch {
    let scratch = Scratch::new(&format!("age-{appends}"));
    let mut log = open(&scratch.0);
    for _ in 0..appends {
        append(&mut log);
    }
    scratch
}

fn benches(criterion: &mut Criterion) {
    let scratch = Scratch::new("append");
    let mut log = open(&scratch.0);
    let mut bare = BareWrites::new(&scratch.0.join("bare"), 1 << 20);
    let mut group = criterion.benchmark_group("append");
    group.bench_function("frame of 128 bytes", |b| b.iter(|| append(&mut log)));
    group.bench_function("bare write of as many bytes", |b| b.iter(|| bare.write()));
    group.finish();

    let segment = full_segment();
    let mut group = criterion.benchmark_group("scan 64 MiB");
    group.throughput(Throughput::Bytes(segment.len() as u64)).sample_size(20);
    group.bench_function("frames of 128 bytes", |b| b.iter(|| scan(&segment)));
    group.bench_function("crc32fast alone", |b| b.iter(|| crc32fast::hash(black_box(&segment))));
    group.bench_function("plain read", |b| b.iter(|| read(&segment)));
    group.finish();

    let mut group = criterion.benchmark_group("open");
    group.sample_size(20);
    for age in AGES {
        let scratch = aged(age);
        group.bench_function(format!("after {age} appends"), |b| b.iter(|| open(&scratch.0)));
    }
    group.finish();
}

criterion_group!(group, benches);

/// Shortest of many runs of each, in turns.
fn in_turns<const N: usize>(rounds: usize, mut runs: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut best = [Duration::MAX; N];
    for _ in 0..rounds {
        for (run, best) in runs.iter_mut().zip(&mut best) {
            let start = Instant::now();
            run();
            *best = start.elapsed().min(*best);
        }
    }
    best
}

/// Middle one of the runs of each, in turns.
fn medians_in_turns<const N: usize>(rounds: usize, mut runs: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut all = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (run, times) in runs.iter_mut().zip(&mut all) {
            let start = Instant::now();
            run();
            times.push(start.elapsed());
        }
    }
    all.map(|mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

fn summary() {
    println!("\nSummary (both sides of a ratio measured in turns)\n");
    let scratch = Scratch::new("summary");
    if !FileStorage::at(&scratch.0).unwrap().is_on_tmpfs().unwrap() {
        println!("no tmpfs found: figures are those of {}", scratch.0.display());
    }
    let mut log = open(&scratch.0);
    let (rounds, turn) = (400, 1000);
    let forward_bytes = rounds as u64 * turn * BareWrites::FRAME.len() as u64;
    let mut forward = BareWrites::new(&scratch.0.join("forward"), forward_bytes);
    let mut again = BareWrites::new(&scratch.0.join("again"), 1 << 20);
    let mut appends = || (0..turn).for_each(|_| append(&mut log));
    let mut forward_writes = || (0..turn).for_each(|_| forward.write());
    let mut writes_again = || (0..turn).for_each(|_| again.write());
    let times = medians_in_turns(rounds, [&mut appends, &mut forward_writes, &mut writes_again]);
    let [journal, forward, again] = times.map(|time| time.as_secs_f64() * 1e9 / turn as f64);
    println!("append of 128 bytes      {journal:>8.0} ns   segments and checkpoints included");
    println!("bare write               {forward:>8.0} ns   going forward in a preallocated file, as the journal does");
    println!("ratio                    {:>8.2}      wanted: at most 1.50", journal / forward);
    println!("bare write over old ones {again:>8.0} ns   pages warm, ratio {:.2}", journal / again);

    let segment = full_segment();
    let speeds = in_turns(
        15,
        [
            &mut || assert_ne!(scan(&segment), 0),
            &mut || assert_ne!(black_box(crc32fast::hash(black_box(&segment))), 0),
            &mut || assert_ne!(black_box(read(&segment)), 0),
        ],
    );
    let [scan, crc, read] = speeds.map(|time| segment.len() as f64 / time.as_secs_f64() / 1e9);
    println!("scan with checksums      {scan:>8.2} GB/s wanted: at least 1.00");
    println!("crc32fast alone          {crc:>8.2} GB/s");
    println!("plain read               {read:>8.2} GB/s");

    for age in AGES {
        let scratch = aged(age);
        let [time] = medians_in_turns(51, [&mut || drop(open(&scratch.0))]);
        println!("open after {age:>9} appends {:>8.2} ms", time.as_secs_f64() * 1e3);
    }
}

fn main() {
    group();
    Criterion::default().configure_from_args().final_summary();
    summary();
}
