//! How long the parser takes for all recorded job files: about what a large system's boot reads, many times over.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use machine::parse::parse_class;

#[path = "../tests/recordings/mod.rs"]
mod recordings;

fn parse(criterion: &mut Criterion) {
    let Some(folder) = recordings::folder() else { return };
    let files = recordings::job_files(&folder);
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(format!("{} job files", files.len()), |bencher| {
        bencher.iter(|| files.iter().filter(|file| parse_class("job", black_box(&file.text)).is_ok()).count());
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
