//! A session inside of a chroot: who works there finds jobs, events and names of its own, and init loses none of them.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use testkit::{Answer, PROGRAMS, Setup, World, until, wait_for};

/// Where the other root is.
const JAIL: &str = "/run/jail";

/// A machine with a system in a directory, with `initctl` and a job of the same name as one outside.
fn machine() -> Option<World> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: to have the whole system in a directory a second time takes root");
        return None;
    }
    let inside = |path: &str| format!("{JAIL}{path}");
    let world = Setup::new()
        .argument("--chroot-sessions")
        .job("web", "start on up\nexec sleep infinity\n")
        .directory(JAIL)
        .bind("/", JAIL)
        .tmpfs(&inside("/run"), "8m")
        .directory(&inside(PROGRAMS))
        .bind(PROGRAMS, &inside(PROGRAMS))
        .directory(&inside("/run/init"))
        .file(
            &inside("/run/init/web.conf"),
            "start on up\nstop on down\nscript\n echo $UPSTART_JOB >/run/who\n exec sleep infinity\nend script\n",
        )
        .start_or_skip()?;
    world.await_init();
    Some(world)
}

/// `initctl` inside of the other root.
fn within(world: &World, line: &str) -> Answer {
    let initctl = format!("{PROGRAMS}/initctl");
    let words: Vec<&str> = [JAIL, &initctl].into_iter().chain(line.split(' ')).collect();
    world.run("/usr/sbin/chroot", &words)
}

fn outside(world: &World, line: &str) -> Answer {
    world.initctl(&line.split(' ').collect::<Vec<_>>())
}

/// The pid of `web` inside of the other root, as it is there.
fn pid(world: &World) -> i32 {
    let told = within(world, "status web").out;
    let pid = told.trim_end().strip_prefix("web start/running, process ").unwrap_or_else(|| panic!("{told}"));
    pid.parse().unwrap()
}

#[test]
fn names_of_a_chroot_mean_what_is_inside() {
    let Some(world) = machine() else { return };
    assert_eq!(within(&world, "list").out, "web stop/waiting");
    assert_eq!(within(&world, "emit up").status, 0);
    let process = world.process(pid(&world)).unwrap();
    assert_eq!(fs::read_link(format!("/proc/{}/root", process.outside)).unwrap(), Path::new(JAIL));
    until("the job has written its name", || world.read("/run/jail/run/who") == "web\n");
    // What happens inside is of no interest outside; what happens outside is of interest to all.
    assert_eq!(outside(&world, "status web").out, "web stop/waiting");
    assert_eq!(outside(&world, "list").out, "web stop/waiting");
    assert_eq!(outside(&world, "stop web").err, "initctl: Unknown instance:");
    assert_eq!(within(&world, "start web").err, "initctl: Job is already running: web");
    assert_eq!(within(&world, "status wibble").err, "initctl: Unknown job: wibble");
    assert_eq!(outside(&world, "emit down").status, 0);
    assert_eq!(within(&world, "status web").out, "web stop/waiting");
    // Root of the whole machine can name both.
    assert_eq!(outside(&world, "start /run/jail//web").status, 0);
    assert!(within(&world, "status web").out.starts_with("web start/running"));

    world.write("/run/jail/run/init/late.conf", "task\nexec true\n");
    until("a file that comes later is a job inside", || within(&world, "status late").status == 0);
    assert_eq!(outside(&world, "status late").err, "initctl: Unknown job: late");
}

#[test]
fn jobs_of_a_chroot_outlive_the_manager() {
    let Some(world) = machine() else { return };
    assert_eq!(within(&world, "start web").status, 0);
    let before = pid(&world);
    for signal in [Signal::SIGKILL, Signal::SIGABRT] {
        let manager = world.manager().outside;
        world.kill(manager, signal);
        let after = wait_for("the next manager", || {
            world.manager_of(world.init()).map(|found| found.outside).filter(|found| *found != manager)
        });
        assert_ne!(after, manager);
        assert_eq!(pid(&world), before);
    }
    assert_eq!(outside(&world, "status web").out, "web stop/waiting");
    assert_eq!(within(&world, "stop web").status, 0);
    assert_eq!(within(&world, "status web").out, "web stop/waiting");
    // Their files are still watched, although nobody from there has been heard meanwhile.
    fs::remove_file(world.path("/run/jail/run/init/web.conf")).unwrap();
    until("the job has gone with its file", || within(&world, "status web").err == "initctl: Unknown job: web");
}
