//! An append in steady state must not allocate: it has to work when memory is short.
#![allow(unsafe_code, reason = "counting allocations needs a GlobalAlloc, which is an unsafe trait")]
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use journal::{Durability, FileStorage, Identity, Log, Options};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_append_in_steady_state_allocates_nothing() {
    let directory = std::env::temp_dir().join(format!("stayup-journal-allocation-{}", std::process::id()));
    let options = Options {
        segment_bytes: 1 << 20,
        checkpoint_bytes: 1 << 20,
        durability: Durability::None,
        identity: Identity::default(),
    };
    let (mut log, _) = Log::open(FileStorage::at(&directory).unwrap(), options).unwrap();
    log.append(&[1; 8000]).unwrap();
    let before = COUNT.with(Cell::get);
    for _ in 0..2000 {
        log.append(&[2; 300]).unwrap();
    }
    let after = COUNT.with(Cell::get);
    drop(log);
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(after - before, 0);
}
