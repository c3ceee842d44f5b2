//! Every rung of the ladder of recovery, on a real init: each is announced, says what it has kept and what it has set aside, and
//! harms no job.

use nix::sys::signal::Signal;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use testkit::{PROGRAMS, Setup, World, until};

pub(crate) const JOURNAL: &str = "/run/stayup/journal";

/// The installed manager of these machines, which tests replace.
const MANAGER: &str = "/run/test/init-manager";

/// The property LastRecovery. None where there is no program to ask with.
pub(crate) struct Recovery(Option<String>);

impl Recovery {
    pub(crate) fn of(world: &World) -> Self {
        const DBUS_SEND: &str = "/usr/bin/dbus-send";
        if !Path::new(DBUS_SEND).exists() {
            let _ = writeln!(std::io::stderr(), "LastRecovery is not looked at: there is no {DBUS_SEND}");
            return Self(None);
        }
        let get = "org.freedesktop.DBus.Properties.Get";
        let words = ["--peer=unix:abstract=/com/ubuntu/upstart", "--print-reply", "/stayup", get];
        let answer = world.run(DBUS_SEND, &[&words[..], &["string:stayup.Init1", "string:LastRecovery"]].concat());
        assert_eq!(answer.status, 0, "{answer:?}");
        Self(Some(answer.out))
    }

    /// Whether a detail contains this.
    pub(crate) fn says(&self, key: &str, expected: &str) {
        let Some(text) = &self.0 else { return };
        let after = text.split_once(&format!("string \"{key}\"\n")).unwrap_or_else(|| panic!("no {key} in {text}")).1;
        let value = after.split("dict entry(").next().unwrap();
        assert!(value.contains(expected), "{key} is {value}, not {expected}");
    }
}

/// A script as the manager, so that what is installed can be changed under init.
fn setup() -> Setup {
    (0..5).fold(Setup::new().argument("--manager").argument(MANAGER), |setup, number| {
        setup.job(&format!("job{number}"), "start on startup\nrespawn\nexec sleep infinity\n")
    })
}

fn install(path: &Path, script: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, format!("#!/bin/sh\n{script}\nexec {PROGRAMS}/init-manager \"$@\"\n")).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&aside, path).unwrap();
}

fn machine() -> Option<World> {
    // There before init looks for it; made executable when it is.
    let world = setup().file(MANAGER, "").start_or_skip()?;
    install(&world.path(MANAGER), "");
    world.await_init();
    until("the jobs run", || running(&world).len() == 5);
    Some(world)
}

fn running(world: &World) -> Vec<String> {
    let list = world.initctl(&["list"]).out;
    let mut lines: Vec<String> =
        list.lines().filter(|line| line.contains("start/running, process")).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn strike(world: &World, spoil: impl FnOnce()) {
    let manager = world.manager().outside;
    world.signal(manager, Signal::SIGSTOP);
    spoil();
    world.signal(manager, Signal::SIGKILL);
    until("another manager", || world.manager_of(world.init()).is_some_and(|found| found.outside != manager));
    world.await_init();
}

fn newest_segment(world: &World) -> PathBuf {
    let entries = fs::read_dir(world.path(JOURNAL)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment-")).max().unwrap()
}

#[test]
fn rung_1_a_torn_tail_is_cut() {
    let Some(world) = machine() else { return };
    let jobs = running(&world);
    strike(&world, || {
        // What a write that was cut leaves: the beginning of a frame behind the last one.
        let segment = newest_segment(&world);
        let bytes = fs::read(&segment).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(8) + 8;
        fs::File::options().write(true).open(&segment).unwrap().write_all_at(b"SuF\x01\x12\x34", end as u64).unwrap();
    });
    assert_eq!(running(&world), jobs);
    let recovery = Recovery::of(&world);
    recovery.says("Rung", "uint64 1");
    recovery.says("RungName", "\"replay\"");
    recovery.says("Findings", "torn-tail");
    recovery.says("Kept", "5 processes");
    recovery.says("Reason", "the death of the manager by SIGKILL");
    assert!(world.printed().contains("init: torn-tail: "), "{}", world.printed());
}

#[test]
fn rung_2_a_damaged_middle_is_set_aside() {
    let Some(world) = machine() else { return };
    let jobs = running(&world);
    let middle = world.verify(JOURNAL).frame_bytes / 2;
    strike(&world, || {
        let file = fs::File::options().read(true).write(true).open(newest_segment(&world)).unwrap();
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, middle).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        file.write_all_at(&bytes, middle).unwrap();
    });
    assert_eq!(running(&world), jobs);
    let recovery = Recovery::of(&world);
    recovery.says("Rung", "uint64 2");
    recovery.says("SetAside", "/run/stayup/journal/quarantine");
    recovery.says("Findings", "damaged-middle");
    assert!(world.printed().contains("init: recovery by rung 2 of the ladder (damage): kept "), "{}", world.printed());
}

#[test]
fn rung_3_frames_on_which_managers_keep_ending_are_set_aside() {
    let Some(world) = machine() else { return };
    let jobs = running(&world);
    strike(&world, || {
        install(
            &world.path(MANAGER),
            "n=$(cat /run/test/starts 2>/dev/null || echo 0)\necho $((n+1)) > /run/test/starts\n[ $n -ge 3 ] || exit 1",
        );
    });
    assert_eq!(running(&world), jobs);
    let recovery = Recovery::of(&world);
    recovery.says("Rung", "uint64 3");
    recovery.says("Findings", "3 managers have failed on this journal; the newest 1 frames are not believed");
    recovery.says("SetAside", "/run/stayup/journal/quarantine/");
    let aside = fs::read_dir(world.path(&format!("{JOURNAL}/quarantine"))).unwrap().count();
    assert!(aside > 0);
    assert!(world.printed().contains("rung 3 of the ladder (suspicion)"), "{}", world.printed());
    assert!(world.verify(JOURNAL).is_clean());
}

/// The manager that works is kept by the keeper some time after it has begun.
fn await_copy(world: &World) {
    until("a copy of the manager is kept", || {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", world.init())).unwrap().flatten();
        let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| target.to_string_lossy().starts_with("/memfd:manager"))
    });
}

fn went_back(world: &World, jobs: &[String]) {
    assert_eq!(running(world), jobs);
    let recovery = Recovery::of(world);
    recovery.says("Rung", "uint64 4");
    recovery.says("RungName", "\"old-program\"");
    recovery.says("OldProgram", "/memfd:manager");
    let printed = world.printed();
    assert!(printed.contains("init: managers keep ending: going back to the last one that worked"), "{printed}");
    assert!(printed.contains("the installed manager does not work; this is the one that worked last"), "{printed}");
}

#[test]
fn rung_4_a_manager_that_cannot_start_is_replaced_by_the_last_one() {
    let Some(world) = machine() else { return };
    let jobs = running(&world);
    await_copy(&world);
    strike(&world, || install(&world.path(MANAGER), "exit 1"));
    went_back(&world, &jobs);
    // Once there is a sound one again it is used.
    install(&world.path(MANAGER), "");
    assert_eq!(world.run("telinit", &["u"]).status, 0);
    until("the sound one runs", || {
        let name = fs::read_link(format!("/proc/{}/exe", world.manager().outside));
        name.is_ok_and(|name| !name.to_string_lossy().starts_with("/memfd"))
    });
    world.await_init();
    assert_eq!(running(&world), jobs);
    Recovery::of(&world).says("OldProgram", "\"\"");
}

#[test]
fn rung_4_a_manager_that_starts_and_keeps_crashing_is_replaced_too() {
    let Some(world) = machine() else { return };
    let jobs = running(&world);
    await_copy(&world);
    // It works for a moment each time. The shell that ends it must not keep the link open.
    let script = "m=$$\n(exec 3>&-; sleep 0.1; kill -ABRT $m) &";
    strike(&world, || install(&world.path(MANAGER), script));
    until("init has gone back", || world.printed().contains("going back to the last one that worked"));
    until("and stays", || {
        let manager = world.manager();
        let name = fs::read_link(format!("/proc/{}/exe", manager.outside));
        name.is_ok_and(|name| name.to_string_lossy().starts_with("/memfd"))
    });
    world.await_init();
    went_back(&world, &jobs);
}

#[test]
fn rung_5_where_nothing_replays_the_past_is_what_runs() {
    let Some(world) = machine() else { return };
    let jobs = running(&world);
    strike(&world, || {
        for entry in fs::read_dir(world.path(JOURNAL)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let length = fs::metadata(&path).unwrap().len();
                fs::write(&path, vec![0xa5; length as usize]).unwrap();
            }
        }
    });
    assert_eq!(running(&world), jobs);
    let recovery = Recovery::of(&world);
    recovery.says("Rung", "uint64 5");
    recovery.says("Kept", "nothing of the journal, 5 processes");
    recovery.says("Rebuilt", "true");
    assert!(world.printed().contains("rung 5 of the ladder (rebuilt)"), "{}", world.printed());
}
