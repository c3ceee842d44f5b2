//! What survives a loss of power is what was synced, in the right order; and where none is promised, none is paid for.

use journal::{Durability, Log, MemoryStorage, Operation, Options};

use crate::common::options;

/// What a short life does to the directory, a word for each operation.
fn life(durability: Durability) -> Vec<&'static str> {
    let disk = MemoryStorage::new();
    disk.start_trace();
    let (mut log, _) = Log::open(disk.clone(), Options { durability, ..options() }).unwrap();
    log.append(b"one").unwrap();
    log.checkpoint(b"state").unwrap();
    log.append(b"two").unwrap();
    let words = disk.trace().into_iter().map(|operation| match operation {
        Operation::Create { .. } => "create",
        Operation::Write { .. } => "write",
        Operation::Sync => "sync",
        Operation::Rename { .. } => "rename",
        Operation::Remove { .. } => "remove",
    });
    words.collect()
}

#[test]
fn a_file_is_synced_before_it_has_its_name_and_its_name_before_it_counts() {
    let segment = ["create", "write", "sync", "rename", "sync"];
    let append = ["write", "sync"];
    let checkpoint = ["create", "write", "write", "sync", "rename", "sync"];
    assert_eq!(life(Durability::Fsync), [&segment[..], &append, &checkpoint, &append].concat());
}

#[test]
fn without_the_promise_nothing_is_synced() {
    let segment = ["create", "write", "rename"];
    let checkpoint = ["create", "write", "write", "rename"];
    assert_eq!(life(Durability::None), [&segment[..], &["write"], &checkpoint, &["write"]].concat());
}
