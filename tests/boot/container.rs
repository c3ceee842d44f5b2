//! Fear: a container does not end when it is told to, ends with the wrong status, or needs what it must not have.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Setup, World, programs, until, wait_for};

use crate::place::Place;

/// A service that says when it is told to stop, and then waits until it is let go.
const APP: &str = "start on startup\nkill timeout 30\nscript\n  \
                   trap 'echo term >> /run/test/log; while [ ! -e /run/test/go ]; do sleep 0.02; done; exit 0' TERM\n  \
                   echo up >> /run/test/log\n  while :; do sleep 0.02; done\nend script\n\
                   post-stop exec echo post-stop >> /run/test/log\n";

fn container(place: &Place) -> Option<World> {
    let setup = Setup::new().bind(&place.directory("out"), "/run/test").variable("container", "test").job("app", APP);
    let world = setup.start_or_skip()?;
    world.await_init();
    until("the service is up", || place.notes("log") == ["up"]);
    Some(world)
}

fn send(pid: i32, signal: i32) {
    let sent = Command::new("/bin/sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_container_that_is_told_to_end_stops_its_jobs_and_exits() {
    // SIGTERM, as docker stop sends it, and SIGRTMIN+3, as systemd-nspawn and Podman do.
    for signal in [libc::SIGTERM, libc::SIGRTMIN() + 3] {
        let place = Place::new();
        let Some(mut world) = container(&place) else { return };
        place.file("out/go", "");
        send(world.init(), signal);
        let status = wait_for("the container ends", || world.ended());
        assert_eq!(status.code(), Some(0), "{status}");
        assert_eq!(place.notes("log"), ["up", "term", "post-stop"]);
    }
}

#[test]
fn the_status_of_a_container_is_the_one_that_was_told_even_if_managers_die() {
    let place = Place::new();
    let Some(mut world) = container(&place) else { return };
    assert_eq!(world.initctl(&["exit", "43"]).status, 0);
    until("the service is told to stop", || place.notes("log").len() == 2);
    let manager = world.manager();
    world.kill(manager.outside, Signal::SIGKILL);
    until("another manager is there", || {
        world.manager_of(world.init()).is_some_and(|now| now.inside != manager.inside)
    });
    place.file("out/go", "");
    let status = wait_for("the container ends", || world.ended());
    assert_eq!(status.code(), Some(43), "{status}");
    assert_eq!(place.notes("log"), ["up", "term", "post-stop"]);
}

#[test]
fn process_1_of_a_machine_does_not_exit() {
    let Some(mut world) = Setup::new().start_or_skip() else { return };
    world.await_init();
    let answer = world.initctl(&["exit"]);
    assert_eq!((answer.status, answer.out.as_str()), (1, ""), "{answer:?}");
    assert!(answer.err.contains("Not permissible to exit"), "{answer:?}");
    send(world.init(), libc::SIGRTMIN() + 3);
    world.await_init();
    assert!(world.is_alive());
    let wrong = world.initctl(&["exit", "256"]);
    assert_eq!((wrong.status, wrong.err.lines().next()), (1, Some("initctl: illegal status: 256")), "{wrong:?}");
}

/// A file system with what the kernel needs to execute these programs, and no more.
fn minimal_root(place: &Place) -> bool {
    let own = ["init", "init-manager", "initctl"].map(|name| (programs().join(name), format!("root/sbin/{name}")));
    let others = ["/bin/sh", "/bin/sleep", "/usr/bin/setpriv"].map(|path| (path.into(), format!("root{path}")));
    for directory in ["proc", "dev", "run", "tmp", "var/log/upstart", "etc/init", "out", "bin", "sbin", "usr/bin"] {
        place.directory(&format!("root/{directory}"));
    }
    for (from, to) in own.into_iter().chain(others) {
        if !from.exists() {
            return false;
        }
        copy(&from, &place.path(&to));
        let listed = Command::new("ldd").arg(&from).output().unwrap();
        for word in String::from_utf8_lossy(&listed.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            let to = place.path(&format!("root{word}"));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            copy(Path::new(word), &to);
        }
    }
    true
}

fn copy(from: &Path, to: &Path) {
    if !to.exists() && fs::hard_link(fs::canonicalize(from).unwrap(), to).is_err() {
        fs::copy(from, to).unwrap();
    }
}

/// As in docs/CONTAINERS.md, and without a single capability: nothing can be mounted, and there are no devices.
fn unshare(place: &Place) -> Container {
    let arguments =
        ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net"];
    let mut command = Command::new("unshare");
    command.args(arguments).arg("--root").arg(place.path("root"));
    command.args(["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all", "/sbin/init"]);
    command.env_clear().env("container", "unshare").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let printed = fs::File::create(place.path("printed")).unwrap();
    command.stdin(Stdio::null()).stdout(printed.try_clone().unwrap()).stderr(printed);
    Container(command.spawn().expect("unshare of util-linux"))
}

/// Ends with the test.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        // With it goes its process 1, and with that everything inside.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Process 1 of the container, as seen from here.
fn first_process(Container(child): &Container) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn may_unshare() -> bool {
    let tried = Command::new("unshare").args(["--user", "--map-root-user", "--pid", "--fork", "true"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        let _ =
            writeln!(std::io::stderr(), "skipped: this kernel does not let this user make namespaces with unshare(1)");
    }
    may
}

#[test]
fn a_minimal_container_without_mounts_console_or_capabilities_runs_its_jobs_and_ends() {
    let place = Place::new();
    if !may_unshare() || !minimal_root(&place) {
        return;
    }
    let app = "start on startup\nrespawn\nscript\n  trap 'echo term >> /out/log; exit 0' TERM\n  echo up >> /out/log\n  \
               while :; do sleep 0.02; done\nend script\n";
    place.file("root/etc/init/app.conf", app);
    place.file("root/etc/init/told.conf", "start on startup\nconsole output\ntask\nscript\n  echo told\nend script\n");
    let log = || fs::read_to_string(place.path("root/out/log")).unwrap_or_default();
    let told = || fs::read_to_string(place.path("printed")).unwrap_or_default().lines().any(|line| line == "told");
    let mut child = unshare(&place);
    until("the service is up", || log() == "up\n");
    // A container that is told to end ends its tasks as well: one that has not yet spoken would never do.
    until("what is for the console goes where process 1 prints", told);
    let first = first_process(&child).unwrap();
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    let status = wait_for("the container ends", || child.0.try_wait().unwrap());
    let printed = fs::read_to_string(place.path("printed")).unwrap();
    assert_eq!(status.code(), Some(0), "{status}: {printed}");
    assert_eq!(log(), "up\nterm\n", "{printed}");
    // It was given none, and that is no trouble to tell people of.
    assert!(!printed.contains("cannot mount"), "{printed}");
}

#[test]
fn a_container_can_end_with_the_status_of_its_main_job() {
    let place = Place::new();
    if !may_unshare() || !minimal_root(&place) {
        return;
    }
    let app = "start on startup\nconsole output\nscript\n  echo told\n  sleep 0.1\n  exit 7\nend script\n";
    place.file("root/etc/init/app.conf", app);
    // As with most runtimes: there is somewhere to throw things, but no console.
    place.file("root/dev/null", "");
    place.file("root/etc/init/end.conf", "start on stopped app\ntask\nexec initctl exit ${EXIT_STATUS:-0}\n");
    let mut child = unshare(&place);
    let status = wait_for("the container ends", || child.0.try_wait().unwrap());
    let printed = fs::read_to_string(place.path("printed")).unwrap();
    assert_eq!(status.code(), Some(7), "{status}: {printed}");
    assert!(printed.lines().any(|line| line == "told"), "what is for the console can be read outside: {printed}");
}
