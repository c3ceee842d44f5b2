//! The file bridge as a program, between a real directory and an init that is a D-Bus server in this process.

use std::fs;
use std::process::{Child, Command};

use zbus::ObjectPath;

use crate::fake_init::{FakeInit, Job, Place, ROOT, World};

struct Stage {
    place: Place,
    init: FakeInit,
    bridge: Child,
}

impl Stage {
    /// Starts the bridge with jobs that wait for these files of the place (and changes), and waits until it watches.
    fn new(files: &[&str], prepare: impl FnOnce(&Place)) -> Self {
        let place = Place::new();
        let init = FakeInit::new(place.path("socket"));
        fs::write(place.path("ready"), "").unwrap();
        prepare(&place);
        for (number, file) in ["ready EVENT=create"].iter().chain(files).enumerate() {
            init.world().jobs.insert(format!("job{number}"), waiting_for(&place, file));
        }
        let bridge = Command::new(env!("CARGO_BIN_EXE_upstart-file-bridge"))
            .args(["--user"])
            .env("UPSTART_SESSION", init.address())
            .spawn()
            .unwrap();
        let stage = Self { place, init, bridge };
        stage.init.wait("the bridge", |world| has(world, "ready create"));
        stage
    }

    fn write(&self, name: &str) {
        fs::write(self.place.path(name), "text\n").unwrap();
    }

    fn wait_for(&self, event: &str, count: usize) {
        let found = |world: &World| names(world).iter().filter(|name| *name == event).count();
        self.init.wait(event, |world| found(world) >= count);
    }

    /// Waits for an event, and returns all events so far, as `FILE EVENT MATCH` with names instead of paths.
    fn events(&self, last: &str) -> Vec<String> {
        self.init.wait(last, |world| has(world, last));
        let events = names(&self.init.world());
        events.into_iter().filter(|event| event != "ready create").collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.bridge.kill();
        let _ = self.bridge.wait();
    }
}

fn waiting_for(place: &Place, file: &str) -> Job {
    let (name, change) = file.split_once(' ').unwrap_or((file, ""));
    let mut event = vec!["file".to_owned(), format!("FILE={}", place.path(name).display())];
    event.extend(Some(change.to_owned()).filter(|text| !text.is_empty()));
    Job { start_on: vec![event], ..Job::default() }
}

/// The last part of each value.
fn names(world: &World) -> Vec<String> {
    let last = |variable: &String| variable.rsplit(['/', '=']).next().unwrap().to_owned();
    let words = |env: &Vec<String>| env.iter().map(last).collect::<Vec<_>>().join(" ");
    world.events.iter().map(|(_, env)| words(env)).collect()
}

fn has(world: &World, event: &str) -> bool {
    names(world).iter().any(|found| found == event)
}

#[test]
fn a_file_that_is_there_already_counts_as_created() {
    let stage = Stage::new(&["file EVENT=create", "other EVENT=delete"], |place| {
        fs::write(place.path("file"), "").unwrap();
        fs::write(place.path("other"), "").unwrap();
    });
    fs::remove_file(stage.place.path("other")).unwrap();
    assert_eq!(stage.events("other delete"), ["file create", "other delete"]);
}

#[test]
fn each_time_a_file_is_written_and_closed_is_one_change() {
    let stage = Stage::new(&["file EVENT=modify", "end"], |place| fs::write(place.path("file"), "").unwrap());
    let (file, aside) = (stage.place.path("file"), stage.place.path("aside"));
    // Each step waits for the one before: the kernel makes one notice of two equal ones that nobody has read.
    stage.write("file");
    stage.wait_for("file modify", 1);
    stage.write("file");
    stage.wait_for("file modify", 2);
    fs::rename(&file, &aside).unwrap();
    stage.write("file");
    stage.wait_for("file modify", 3);
    fs::rename(&aside, &file).unwrap();
    stage.wait_for("file modify", 4);
    stage.write("end");
    let events = stage.events("end create");
    assert_eq!(events.iter().filter(|event| *event == "file modify").count(), 4);
}

#[test]
fn a_pattern_tells_which_file_it_was() {
    let stage = Stage::new(&["*.txt EVENT=create"], |_| {});
    for name in ["a.txt", "b.dat", ".d.txt", "c.txt"] {
        stage.write(name);
    }
    assert_eq!(stage.events("*.txt create c.txt"), ["*.txt create a.txt", "*.txt create c.txt"]);
}

#[test]
fn jobs_that_come_later_and_go_are_followed() {
    let stage = Stage::new(&["end"], |_| {});
    let late = waiting_for(&stage.place, "late EVENT=create");
    stage.init.world().jobs.insert("late".to_owned(), late);
    let path = ObjectPath::try_from(format!("{ROOT}/jobs/late")).unwrap();
    stage.init.signal(ROOT, "JobAdded", &path);
    stage.write("late");
    assert_eq!(stage.events("late create"), ["late create"]);
    fs::remove_file(stage.place.path("late")).unwrap();
    stage.init.signal(ROOT, "JobRemoved", &path);
    // A job that is added after the removal shows that the removal has been heard.
    let other = waiting_for(&stage.place, "other EVENT=create");
    stage.init.world().jobs.insert("other".to_owned(), other);
    let path = ObjectPath::try_from(format!("{ROOT}/jobs/other")).unwrap();
    stage.init.signal(ROOT, "JobAdded", &path);
    stage.write("other");
    stage.events("other create");
    stage.write("late");
    stage.write("end");
    let events = stage.events("end create");
    assert_eq!(events.iter().filter(|event| *event == "late create").count(), 1);
}

#[test]
fn directories_that_come_later_are_watched_then() {
    let stage = Stage::new(&["one/two/file EVENT=create", "one/two/*.x"], |_| {});
    let directory = stage.place.path("one/two");
    for _ in 0..2 {
        stage.init.world().events.clear();
        fs::create_dir_all(&directory).unwrap();
        stage.write("one/two/file");
        stage.write("one/two/a.x");
        stage.events("file create");
        stage.events("*.x create a.x");
        fs::remove_dir_all(stage.place.path("one")).unwrap();
        stage.events("*.x delete a.x");
    }
}

#[test]
fn events_wait_for_an_init_that_is_away() {
    let mut stage = Stage::new(&["file EVENT=create"], |_| {});
    stage.init.stop();
    stage.write("file");
    stage.init.start();
    assert_eq!(stage.events("file create"), ["file create"]);
}
