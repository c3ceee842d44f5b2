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

fn log(name: &str, work: impl FnOnce(&mut Log<FileStorage>)) {
    let directory = std::env::temp_dir().join(format!("stayup-journal-{name}-{}", std::process::id()));
    let options = Options {
        segment_bytes: 1 << 20,
        checkpoint_bytes: 1 << 20,
        durability: Durability::None,
        identity: Identity::default(),
    };
    let (mut log, _) = Log::open(FileStorage::at(&directory).unwrap(), options).unwrap();
    work(&mut log);
    drop(log);
    std::fs::remove_dir_all(directory).unwrap();
}

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

#[test]
fn an_append_in_steady_state_allocates_nothing() {
    log("steady", |log| {
        log.append(&[1; 8000]).unwrap();
        let count = allocations(|| {
            for _ in 0..2000 {
                log.append(&[2; 300]).unwrap();
            }
        });
        assert_eq!(count, 0);
    });
}

#[test]
fn room_for_a_frame_is_kept_unless_it_was_a_large_one() {
    for (bytes, allocates) in [(100 << 10, false), (300 << 10, true)] {
        log("room", |log| {
            log.append(&vec![1; bytes]).unwrap();
            let count = allocations(|| _ = log.append(&[2; 300]).unwrap());
            assert_eq!(count > 0, allocates, "after {bytes} bytes");
        });
    }
}
