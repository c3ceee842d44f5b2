//! The rig itself must work, or no other test means anything; and the programs must be what they are meant to be.

use std::path::Path;
use std::process::Command;
use testkit::{Machine, Setup, programs, resident_bytes, until};

#[test]
fn init_is_process_1_and_answers() {
    let Some(world) = Setup::new().start_or_skip() else { return };
    world.await_init();
    let processes = world.processes();
    let init = processes.iter().find(|process| process.inside == 1).unwrap();
    assert_eq!((init.outside, init.name.as_str()), (world.init(), "init"));
    assert_eq!(world.initctl(&["version"]).out, "init (upstart 1.13.2)");
}

#[test]
fn nothing_is_left_of_a_machine() {
    let Some(mut machine) = Machine::start_or_skip(Machine::setup()) else { return };
    let processes = machine.world.processes();
    assert!(processes.len() >= 10, "{processes:?}");
    machine.world.end();
    for process in processes {
        assert!(!Path::new(&format!("/proc/{}", process.outside)).exists(), "{process:?} is left");
    }
}

/// The test of a test that is killed: nobody is there to clean up but the kernel.
#[test]
fn nothing_is_left_of_a_machine_whose_owner_is_gone() {
    let owner = std::thread::spawn(|| {
        let world = Setup::new().start_or_skip()?;
        world.await_init();
        let processes = world.processes();
        std::mem::forget(world);
        Some(processes)
    });
    let Some(processes) = owner.join().unwrap() else { return };
    until("the machine has ended with its owner", || {
        processes
            .iter()
            .all(|process| testkit::Process::at(process.outside).is_none_or(|found| found.inside != process.inside))
    });
}

#[test]
fn no_library_upgrade_can_stop_init() {
    let init = programs().join("init");
    let image = std::fs::read(&init).unwrap();
    assert_eq!(&image[..4], b"\x7fELF");
    // Program headers (elf(5), 64 bit): a dynamic program has one of type PT_INTERP, 3.
    let number =
        |at: usize, bytes: usize| image[at..at + bytes].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let has_interpreter = (0..count).any(|index| number(offset + index * size, 4) == 3);
    assert!(!has_interpreter, "{} asks for a dynamic linker", init.display());
}

#[test]
fn an_idle_keeper_is_small() {
    const LIMIT_BYTES: u64 = 1_536 * 1024;
    let Some(machine) = Machine::start_or_skip(Machine::setup()) else { return };
    let resident = resident_bytes(machine.world.init()).unwrap();
    println!("the keeper has {} KiB", resident / 1024);
    if !cfg!(debug_assertions) {
        assert!(resident <= LIMIT_BYTES, "the keeper has {resident} bytes");
    }
}

#[test]
fn the_demo_refuses_what_it_does_not_know() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--wibble").output().unwrap();
    assert_eq!(demo.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(demo.stderr).unwrap(),
        "demo: invalid option: --wibble\nUsage: cargo demo [--kill] [--xclock] [--keep-journal DIR]; see `cargo demo --help'.\n"
    );
}
