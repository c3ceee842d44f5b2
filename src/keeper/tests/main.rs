//! Tests of the keeper, against the real program. This program plays three parts: it runs the tests, it is the manager
//! that the keeper starts, and it is the processes that the tests have started.
//!
//! One test after the other: each has all children of this program to itself, and must leave none behind.

mod acts;
mod command_line;
mod following;
mod limits;
mod machine;
mod orphans;
mod spawning;
mod survival;
mod world;

use std::panic::catch_unwind;
use std::time::Instant;

/// A test and its name.
type Test = (&'static str, fn());

/// Names a module's tests once.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
pub(crate) use tests;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "act") {
        acts::play(&words[1..]);
    }
    if let Some(place) = std::env::var_os(world::MEETING_PLACE) {
        world::be_the_manager(&place);
    }
    // SAFETY: touches no memory.
    #[allow(unsafe_code)]
    unsafe {
        nix::libc::prctl(nix::libc::PR_SET_CHILD_SUBREAPER, 1);
    }
    let mut failed = Vec::new();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_list = words.iter().any(|word| word == "--list");
    let all = [
        command_line::TESTS,
        spawning::TESTS,
        survival::TESTS,
        following::TESTS,
        limits::TESTS,
        orphans::TESTS,
        machine::TESTS,
    ]
    .concat();
    for (name, test) in all {
        let name = name.split_once("::").map_or(name, |(_, name)| name);
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        if is_list {
            println!("{name}: test");
            continue;
        }
        let before = Instant::now();
        let is_ok = catch_unwind(test).is_ok();
        println!("test {name} ... {} ({} ms)", if is_ok { "ok" } else { "FAILED" }, before.elapsed().as_millis());
        if !is_ok {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        println!("failed: {failed:?}");
        std::process::exit(101);
    }
}
