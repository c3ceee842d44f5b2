//! The clock on the wall is set back and forth by years, all the time: nothing waits by it, and what happened is in order.

use crate::ladder::JOURNAL;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::{Setup, World, until};

/// What the manager finds in place of the C library's clocks. Time namespaces have clocks since boot of their own, and none for
/// the wall.
const CLOCKS: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t which, struct timespec *now)
{
    static unsigned looks;
    int result = syscall(SYS_clock_gettime, which, now);
    if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += (__sync_fetch_and_add(&looks, 1) % 7 - 3L) * 315576000L;
    return result;
}
";

/// The library of it; none, with a line, where there is no compiler.
fn clocks() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, library) = (folder.join("clocks.c"), folder.join("clocks.so"));
    std::fs::write(&source, CLOCKS).unwrap();
    let Ok(output) = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output()
    else {
        eprintln!("skipped: there is no C compiler");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

fn machine() -> Option<World> {
    let library = clocks()?;
    let folder = library.parent().unwrap().to_str().unwrap();
    let stubborn = "kill timeout 1\nscript\n  trap '' TERM\n  while :; do sleep 0.05; done\nend script\n";
    let setup = Setup::new()
        .directory("/run/clocks")
        .bind(folder, "/run/clocks")
        .variable("LD_PRELOAD", "/run/clocks/clocks.so")
        .argument("--heartbeat")
        .argument("1")
        .job("stubborn", stubborn)
        .job("falling", "respawn\nrespawn limit 5 60\nexec false\n")
        .job("steady", "start on startup\nexec sleep infinity\n");
    let world = setup.start_or_skip()?;
    world.await_init();
    until("steady runs", || world.initctl(&["status", "steady"]).out.starts_with("steady start/running, process"));
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", world.manager().outside)).unwrap();
    assert!(maps.contains("clocks.so"), "the manager has the clocks of the system");
    Some(world)
}

/// It ignores SIGTERM, and is killed when its time is over.
fn is_killed_in_time(world: &World) {
    assert_eq!(world.initctl(&["start", "stubborn"]).status, 0, "{}", world.printed());
    let begin = Instant::now();
    assert_eq!(world.initctl(&["stop", "stubborn"]).status, 0, "{}", world.printed());
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(950), "killed after {took:?}, before its kill timeout of 1 s");
    assert!(took < Duration::from_secs(30), "killed after {took:?}");
}

/// Times since boot, of all turns in their order, and times of the wall.
fn recorded(world: &World) -> (Vec<u64>, Vec<u64>) {
    let dump = world.run("/run/programs/initjournal", &["dump", "--json", "--journal", JOURNAL]);
    assert_eq!((dump.status, dump.err.as_str()), (0, ""));
    let number = |line: &str, key: &str| -> Option<u64> {
        let rest = line.split_once(&format!("\"{key}\":"))?.1;
        rest[..rest.find(|letter: char| !letter.is_ascii_digit())?].parse().ok()
    };
    let of = |key: &str| dump.out.lines().filter_map(|line| number(line, key)).collect();
    (of("boot_us"), of("time_us"))
}

#[test]
fn a_clock_that_jumps_moves_nothing() {
    let Some(world) = machine() else { return };
    let steady = world.initctl(&["status", "steady"]).out;
    is_killed_in_time(&world);
    // Six ends within its 60 seconds, whatever the wall says.
    let _ = world.initctl(&["start", "--no-wait", "falling"]);
    until("it has respawned too fast", || world.initctl(&["status", "falling"]).out == "falling stop/waiting");
    assert!(world.printed().contains("falling respawning too fast, stopped"), "{}", world.printed());
    let manager = world.manager().outside;
    world.signal(manager, Signal::SIGKILL);
    until("another manager", || world.manager_of(world.init()).is_some_and(|found| found.outside != manager));
    world.await_init();
    is_killed_in_time(&world);
    assert_eq!(world.initctl(&["status", "steady"]).out, steady);
    assert!(!world.printed().contains("did not answer"), "no manager was taken for hung: {}", world.printed());
    let (boot, wall) = recorded(&world);
    assert!(boot.len() > 20 && boot.is_sorted(), "{boot:?}");
    assert!(!wall.is_sorted(), "the clock on the wall has jumped: {wall:?}");
    assert!(world.verify(JOURNAL).is_clean());
}
