//! Job files come, change and go in every way that editors, package managers and people have; init always ends up with what
//! is there.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use testkit::{PROGRAMS, Setup, World, until, wait_for};

/// What init says of how a job is used; nothing if it does not know the job.
fn usage(world: &World, job: &str) -> Option<String> {
    let state = world.initctl(&["usage", job]);
    (state.status == 0).then(|| state.out.trim_start_matches("Usage: ").to_owned())
}

/// A job that is known by its usage, which initctl tells.
fn told(usage: &str) -> String {
    format!("usage \"{usage}\"\nexec sleep 600\n")
}

/// Waits until init tells this usage of a job; none for a job that it does not know.
fn await_usage(world: &World, job: &str, wanted: Option<&str>) {
    until(&format!("{job} is {wanted:?}"), || usage(world, job).as_deref() == wanted);
}

fn start_with(setup: Setup) -> Option<World> {
    let world = setup.start_or_skip()?;
    world.await_init();
    Some(world)
}

#[test]
fn editors_have_their_ways() {
    let Some(world) = start_with(Setup::new().job("job", &told("1"))) else { return };
    let path = |name: &str| world.path(&format!("/run/init/{name}"));
    await_usage(&world, "job", Some("1"));
    // In place, cut and written.
    fs::write(path("job.conf"), told("2")).unwrap();
    await_usage(&world, "job", Some("2"));
    // Aside, then renamed over it.
    fs::write(path(".job.conf.swp"), told("3")).unwrap();
    fs::rename(path(".job.conf.swp"), path("job.conf")).unwrap();
    await_usage(&world, "job", Some("3"));
    // As vim: the old file becomes the backup, a new one is written, the backup goes.
    fs::rename(path("job.conf"), path("job.conf~")).unwrap();
    fs::write(path("job.conf"), told("4")).unwrap();
    fs::remove_file(path("job.conf~")).unwrap();
    await_usage(&world, "job", Some("4"));
    // As emacs: a lock that is a link to nowhere, and a hard link as backup.
    symlink("me@host.1:2", path(".#job.conf")).unwrap();
    fs::hard_link(path("job.conf"), path("job.conf~")).unwrap();
    fs::write(path("job.conf"), told("5")).unwrap();
    fs::remove_file(path(".#job.conf")).unwrap();
    await_usage(&world, "job", Some("5"));
    // A link that is swapped for another.
    fs::write(path("one"), told("6")).unwrap();
    fs::write(path("two"), told("7")).unwrap();
    fs::remove_file(path("job.conf")).unwrap();
    symlink("one", path("job.conf")).unwrap();
    await_usage(&world, "job", Some("6"));
    symlink("two", path("new")).unwrap();
    fs::rename(path("new"), path("job.conf")).unwrap();
    await_usage(&world, "job", Some("7"));
    // Moved away, and back.
    fs::rename(path("job.conf"), path("job.off")).unwrap();
    await_usage(&world, "job", None);
    fs::rename(path("job.off"), path("job.conf")).unwrap();
    await_usage(&world, "job", Some("7"));
    assert_eq!(world.printed(), "");
}

#[test]
fn a_broken_file_changes_nothing_but_is_told_of() {
    let Some(world) = start_with(Setup::new().job("job", &told("good"))) else { return };
    world.write("/run/init/job.conf", "usage \"bad\"\nexec sleep 600\nwibble\n");
    until("it is told of", || world.printed().contains("/run/init/job.conf:3: Unknown stanza"));
    await_usage(&world, "job", Some("good"));
    world.write("/run/init/other.conf", "expect wibble\n");
    until("it is told of", || world.printed().contains("/run/init/other.conf:1: "));
    await_usage(&world, "other", None);
    world.write("/run/init/job.conf", &told("better"));
    await_usage(&world, "job", Some("better"));
}

#[test]
fn overrides_come_and_go() {
    let setup = Setup::new().job("job", &told("base"));
    let Some(world) = start_with(setup) else { return };
    await_usage(&world, "job", Some("base"));
    world.write("/run/init/job.override", "usage \"over\"\n");
    await_usage(&world, "job", Some("over"));
    // A broken one is as if it were not there.
    world.write("/run/init/job.override", "wibble\n");
    until("it is told of", || world.printed().contains("/run/init/job.override:1: Unknown stanza"));
    await_usage(&world, "job", Some("base"));
    world.write("/run/init/job.override", "usage \"again\"\n");
    await_usage(&world, "job", Some("again"));
    fs::remove_file(world.path("/run/init/job.override")).unwrap();
    await_usage(&world, "job", Some("base"));
    // One without its job is no job.
    world.write("/run/init/lone.override", "usage \"lone\"\n");
    world.write("/run/init/last.conf", &told("last"));
    await_usage(&world, "last", Some("last"));
    await_usage(&world, "lone", None);
}

#[test]
fn directories_vanish_and_come_back() {
    let Some(world) = start_with(Setup::new().job("top", &told("top"))) else { return };
    let path = |name: &str| world.path(&format!("/run/{name}"));
    fs::create_dir_all(path("init/net/deep")).unwrap();
    fs::write(path("init/net/deep/job.conf"), told("1")).unwrap();
    await_usage(&world, "net/deep/job", Some("1"));
    // Replaced at a stroke.
    fs::create_dir_all(path("other/deep")).unwrap();
    fs::write(path("other/deep/job.conf"), told("2")).unwrap();
    fs::rename(path("init/net"), path("old")).unwrap();
    fs::rename(path("other"), path("init/net")).unwrap();
    await_usage(&world, "net/deep/job", Some("2"));
    // What happens in the one that was moved away is nobody's business any longer; in the new one it is.
    fs::write(path("old/deep/job.conf"), told("wrong")).unwrap();
    fs::write(path("init/net/deep/job.conf"), told("3")).unwrap();
    await_usage(&world, "net/deep/job", Some("3"));
    fs::remove_dir_all(path("init/net")).unwrap();
    await_usage(&world, "net/deep/job", None);
    // The whole of it.
    fs::rename(path("init"), path("away")).unwrap();
    await_usage(&world, "top", None);
    fs::create_dir(path("init")).unwrap();
    fs::write(path("init/new.conf"), told("new")).unwrap();
    await_usage(&world, "new", Some("new"));
    fs::remove_dir_all(path("init")).unwrap();
    fs::rename(path("away"), path("init")).unwrap();
    await_usage(&world, "top", Some("top"));
    await_usage(&world, "new", None);
}

#[test]
fn a_deleted_job_goes_with_its_last_process() {
    let Some(world) = start_with(Setup::new().job("job", &told("1"))) else { return };
    assert_eq!(world.initctl(&["start", "job"]).status, 0);
    fs::remove_file(world.path("/run/init/job.conf")).unwrap();
    world.write("/run/init/mark.conf", &told("mark"));
    await_usage(&world, "mark", Some("mark"));
    assert!(world.initctl(&["status", "job"]).out.starts_with("job start/running, process "));
    assert_eq!(world.initctl(&["stop", "job"]).status, 0);
    let answer = world.initctl(&["status", "job"]);
    assert_eq!((answer.status, answer.err.as_str()), (1, "initctl: Unknown job: job"));
    // A changed one is the new one from its next start on.
    world.write("/run/init/job.conf", &told("2"));
    await_usage(&world, "job", Some("2"));
}

#[test]
fn the_first_directory_that_has_a_name_wins() {
    let setup = Setup::new()
        .directory("/run/first")
        .directory("/run/last")
        .argument("--prepend-confdir")
        .argument("/run/first")
        .argument("--append-confdir=/run/last")
        .file("/run/first/job.conf", &told("first"))
        .job("job", &told("middle"))
        .file("/run/last/job.conf", &told("last"))
        .file("/run/last/only.conf", &told("only"));
    let Some(world) = start_with(setup) else { return };
    await_usage(&world, "job", Some("first"));
    await_usage(&world, "only", Some("only"));
    fs::remove_file(world.path("/run/first/job.conf")).unwrap();
    await_usage(&world, "job", Some("middle"));
    fs::remove_file(world.path("/run/init/job.conf")).unwrap();
    await_usage(&world, "job", Some("last"));
    world.write("/run/first/job.conf", &told("first again"));
    await_usage(&world, "job", Some("first again"));
}

/// More than inotify can queue (fs.inotify.max_queued_events, 16,384 by default), while the thread that reads it sleeps.
#[test]
fn a_flood_of_changes_drowns_none() {
    const JOBS: usize = 3_000;
    let Some(world) = start_with(Setup::new().job("job", &told("before"))) else { return };
    let manager = world.manager().outside;
    world.signal(manager, nix::sys::signal::Signal::SIGSTOP);
    let directory = world.path("/run/init");
    for round in 0..3 {
        for number in 0..JOBS {
            let aside = directory.join("aside");
            fs::write(&aside, told(&format!("{number} {round}"))).unwrap();
            fs::rename(&aside, directory.join(format!("flood-{number}.conf"))).unwrap();
        }
    }
    fs::write(directory.join("job.conf"), told("after")).unwrap();
    world.signal(manager, nix::sys::signal::Signal::SIGCONT);
    await_usage(&world, "job", Some("after"));
    for number in [0, JOBS / 2, JOBS - 1] {
        await_usage(&world, &format!("flood-{number}"), Some(&format!("{number} 2")));
    }
    let answer = world.initctl(&["list"]);
    assert_eq!(answer.out.lines().count(), JOBS + 1);
    for number in 0..JOBS {
        fs::remove_file(directory.join(format!("flood-{number}.conf"))).unwrap();
    }
    until("all are gone", || world.initctl(&["list"]).out.lines().count() == 1);
}

/// What an ordinary user may have of inotify is shared by all programs of the user, and can be used up.
#[test]
fn without_inotify_changes_are_noticed_late_and_with_it_again_as_ever() {
    const LIMIT: &str = "/proc/sys/user/max_inotify_instances";
    // A user namespace has a limit of its own (namespaces(7)), and so the session in it.
    let session = format!(
        "start on startup\nconsole log\nenv XDG_RUNTIME_DIR=/run/test/runtime\nexec unshare --user --map-root-user sh -c 'echo 0 > {LIMIT}; \
         exec {PROGRAMS}/init --user --no-dbus --confdir /run/test/conf'\n"
    );
    let setup = Setup::new().directory("/run/test/runtime").directory("/run/test/conf");
    let setup = setup.file("/run/test/conf/first.conf", &told("1")).job("session", &session);
    let Some(world) = start_with(setup) else { return };
    let may = world.run("/usr/bin/unshare", &["--user", "--map-root-user", "sh", "-c", &format!("echo 0 > {LIMIT}")]);
    if may.status != 0 {
        let _ = writeln!(io::stderr(), "skipped: no user namespace with limits of its own: {}", may.err);
        return;
    }
    let pid = || world.initctl(&["status", "session"]).out.rsplit_once("process ").map(|(_, pid)| pid.to_owned());
    let pid = wait_for("the session runs", pid);
    let address = || world.read(&format!("/run/test/runtime/upstart/sessions/{pid}.session")).trim().to_owned();
    until("the session can be talked to", || !address().is_empty());
    let usage = |job: &str| {
        world
            .run("/usr/bin/env", &[&address(), &format!("{PROGRAMS}/initctl"), "usage", job])
            .out
            .replace("Usage: ", "")
    };
    let says = |what: &str| world.read("/var/log/upstart/session.log").matches(what).count();
    until("there is the job of the beginning", || usage("first") == "1");
    assert_eq!(says("cannot be watched"), 1, "it is told of");
    world.write("/run/test/conf/second.conf", &told("2"));
    until("a new job is noticed", || usage("second") == "2");
    assert_eq!((says("cannot be watched"), says("are watched again")), (1, 0), "it is told of once");

    let allow = format!("echo 100 > {LIMIT}");
    let allowed =
        world.run("/usr/bin/nsenter", &["--user", "--preserve-credentials", "--target", &pid, "sh", "-c", &allow]);
    assert_eq!(allowed.status, 0, "{allowed:?}");
    until("it is watched again", || says("are watched again") == 1);
    world.write("/run/test/conf/first.conf", &told("3"));
    until("a change is noticed", || usage("first") == "3");
    assert_eq!((says("cannot be watched"), says("are watched again")), (1, 1));
}
