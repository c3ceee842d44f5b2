//! The oracles of the fuzz targets, fed by a plain generator, so that they are asked at every `cargo test`.

#[path = "../../fuzz/oracles/journal.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets import the same file")]
mod shared;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frame(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        shared::frame(&data);
    }

    #[test]
    fn segment_scan(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        shared::segment_scan(&data);
    }
}
