//! A journal that is damaged, full or gone: reported, and no job is harmed.

use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::FileExt as _;
use testkit::{Setup, World, until};

const JOURNAL: &str = "/run/stayup/journal";

fn busy_machine() -> Option<World> {
    let setup = (0..10).fold(Setup::new(), |setup, number| {
        setup.job(&format!("job{number}"), "start on startup\nrespawn\nexec sleep infinity\n")
    });
    let world = setup.start_or_skip()?;
    world.await_init();
    until("the jobs run", || running(&world).len() == 10);
    Some(world)
}

fn running(world: &World) -> Vec<String> {
    let list = world.initctl(&["list"]).out;
    let mut lines: Vec<String> =
        list.lines().filter(|line| line.contains("start/running, process")).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Has `spoil` at the journal while nobody writes it, then lets another manager find it.
fn finds_spoiled(world: &World, spoil: impl FnOnce()) -> Vec<String> {
    let jobs = running(world);
    let manager = world.manager().outside;
    world.signal(manager, Signal::SIGSTOP);
    spoil();
    world.signal(manager, Signal::SIGKILL);
    until("another manager", || world.manager().outside != manager);
    world.await_init();
    jobs
}

fn newest_segment(world: &World) -> std::path::PathBuf {
    let entries = fs::read_dir(world.path(JOURNAL)).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("segment-");
    entries.filter(is_segment).max().unwrap()
}

#[test]
fn damage_in_the_middle_is_reported_and_set_aside() {
    let Some(world) = busy_machine() else { return };
    let frame_bytes = world.verify(JOURNAL).frame_bytes;
    let segment = newest_segment(&world);
    let jobs = finds_spoiled(&world, || {
        let file = fs::File::options().read(true).write(true).open(&segment).unwrap();
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, frame_bytes / 2).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        file.write_all_at(&bytes, frame_bytes / 2).unwrap();
    });
    assert_eq!(running(&world), jobs, "{}", world.printed());
    let printed = world.printed();
    let number = segment.file_name().unwrap().to_str().unwrap().trim_start_matches("segment-").trim_start_matches('0');
    assert!(printed.contains(&format!("init: damaged-middle: segment {number}: damage at ")), "{printed}");
    assert!(printed.contains("bytes not replayed"), "{printed}");
    assert!(
        printed.contains("init: what could not be replayed is set aside in /run/stayup/journal/quarantine"),
        "{printed}"
    );
    assert!(fs::read_dir(world.path(&format!("{JOURNAL}/quarantine"))).unwrap().count() > 0);
    goes_on(&world);
}

#[test]
fn a_journal_that_is_gone_is_rebuilt_from_what_runs() {
    let Some(world) = busy_machine() else { return };
    let jobs = finds_spoiled(&world, || fs::remove_dir_all(world.path(JOURNAL)).unwrap());
    assert_eq!(running(&world), jobs, "{}", world.printed());
    goes_on(&world);
}

#[test]
fn a_journal_of_rubbish_is_rebuilt_from_what_runs() {
    let Some(world) = busy_machine() else { return };
    let jobs = finds_spoiled(&world, || {
        for entry in fs::read_dir(world.path(JOURNAL)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let length = fs::metadata(&path).unwrap().len();
                fs::write(&path, vec![0xa5; length as usize]).unwrap();
            }
        }
    });
    assert_eq!(running(&world), jobs, "{}", world.printed());
    goes_on(&world);
}

/// After the damage all works as before, the next crash included.
fn goes_on(world: &World) {
    let pid = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(world.initctl(&["stop", "job0"]).out, "job0 stop/waiting");
    assert_eq!(world.initctl(&["start", "job0"]).status, 0);
    let before = running(world);
    let manager = world.manager().outside;
    world.signal(manager, Signal::SIGKILL);
    until("another manager", || world.manager().outside != manager);
    assert_eq!(running(world), before);
    // A job that dies is respawned as ever.
    let victim: i32 = pid(before.last().unwrap()).parse().unwrap();
    world.signal(world.process(victim).unwrap().outside, Signal::SIGKILL);
    until("the job is respawned", || {
        let now = running(world);
        now.len() == 10 && now != before
    });
    assert!(world.verify(JOURNAL).is_clean());
}
