//! The oracles of the fuzz targets, asked on stable Rust: of every checked-in seed, and of what a plain generator makes.

use std::fs;
use std::path::{Path, PathBuf};

use oracles::TARGETS;
use proptest::prelude::*;

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../seeds")).join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a seed").path()).collect();
    paths.sort();
    paths
}

#[test]
fn no_seed_breaks_a_promise() {
    for (target, oracle) in TARGETS {
        let paths = seeds(target);
        assert!(!paths.is_empty(), "there are no seeds for {target}");
        for path in paths {
            // Named before it is played: a stack overflow has no message of its own.
            println!("{}", path.display());
            oracle(&fs::read(&path).expect("a seed"));
        }
    }
}

#[test]
fn the_seeds_are_small() {
    for (target, _) in TARGETS {
        let bytes: u64 = seeds(target).iter().map(|path| fs::metadata(path).expect("a seed").len()).sum();
        assert!(bytes <= 64 * 1024, "{target}: {bytes} bytes; minimize them, see fuzz/README.md");
    }
}

/// Few, as a matter of course; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_a_promise(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        for (_, oracle) in TARGETS {
            oracle(&data);
        }
    }
}
