//! Sessions of one user, side by side: each init has its own jobs, its own variables and its own file.

use std::fs;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use testkit::{Setup, USER_HOME, USER_RUNTIME, World, until, wait_for};

use crate::shell::{Shell, machine, path_stanza};

/// Two sessions, `one` and `two`, as two logins of the same user would start them.
struct Sessions {
    world: World,
    /// Pids (inside) and addresses.
    found: Vec<(i32, String)>,
}

impl Sessions {
    fn start(setup: Setup) -> Option<Self> {
        let identity = if nix::unistd::geteuid().is_root() { "setuid nobody\n" } else { "" };
        let session = format!(
            "instance $N\n{identity}env HOME={USER_HOME}\nenv XDG_RUNTIME_DIR={USER_RUNTIME}\n{}\
             exec init --user --confdir /run/sessions\n",
            path_stanza()
        );
        let setup = setup.directory("/run/sessions").user_directory(USER_HOME).user_directory(USER_RUNTIME);
        let world = machine(setup.job("session", &session))?;
        let mut found = Vec::new();
        for name in ["one", "two"] {
            let told = Shell::root(&world).command(&format!("start session N={name}")).output().unwrap().stdout;
            let told = String::from_utf8(told).unwrap();
            let pid = told.trim_end().rsplit_once("process ").unwrap().1.parse().unwrap();
            let file = file_of(pid);
            let text = wait_for("the session's file", || Some(world.read(&file)).filter(|text| !text.is_empty()));
            found.push((pid, text.trim_end().strip_prefix("UPSTART_SESSION=").unwrap().to_owned()));
        }
        found.sort_unstable();
        Some(Self { world, found })
    }

    /// The user, within a session.
    fn shell(&self, index: usize) -> Shell<'_> {
        self.outside().with("UPSTART_SESSION", &self.found[index].1)
    }

    /// The user, within none.
    fn outside(&self) -> Shell<'_> {
        Shell::user(&self.world).with("XDG_RUNTIME_DIR", USER_RUNTIME).with("HOME", USER_HOME)
    }
}

fn file_of(pid: i32) -> String {
    format!("{USER_RUNTIME}/upstart/sessions/{pid}.session")
}

#[test]
fn sessions_are_listed_and_do_not_mix() {
    let setup = Setup::new().directory("/run/sessions").file("/run/sessions/service.conf", "exec sleep infinity\n");
    let Some(sessions) = Sessions::start(setup) else { return };
    let (world, outside, one, two) = (&sessions.world, sessions.outside(), sessions.shell(0), sessions.shell(1));
    let lines: Vec<_> = sessions.found.iter().map(|(pid, address)| format!("{pid} {address}")).collect();
    outside.expect(&[("initctl list-sessions", &lines.join("\n"))]);
    one.expect(&[("start service", "service start/running, process P"), ("initctl set-env MINE=1", "")]);
    two.expect(&[
        ("initctl --user list", "service stop/waiting"),
        ("initctl get-env MINE", "! initctl: No such variable: MINE\n[exit 1]"),
    ]);

    let stale = file_of(99_999);
    fs::write(world.path(&stale), "UPSTART_SESSION=unix:abstract=/nobody\n").unwrap();
    fs::write(world.path(&format!("{USER_RUNTIME}/upstart/sessions/notes.txt")), "").unwrap();
    let expected = format!("{}\n! initctl: ignoring stale session file: {stale}", lines.join("\n"));
    outside.expect(&[("initctl list-sessions", &expected)]);
    fs::remove_file(world.path(&stale)).unwrap();
    Shell::user(world).expect(&[(
        "initctl list-sessions",
        "! initctl: XDG_RUNTIME_DIR isn't set in the environment. Unable to locate sessions.\n[exit 1]",
    )]);
    let gone = outside.with("UPSTART_SESSION", "unix:abstract=/nobody/listens");
    let said = gone.says("initctl list");
    assert!(
        said.starts_with("! initctl: Unable to connect to ") && said.ends_with("Connection refused\n[exit 1]"),
        "{said}"
    );

    // A session that ends takes its file along, and not its neighbour.
    let keeper = world.process(sessions.found[1].0).unwrap();
    world.signal(keeper.outside, Signal::SIGTERM);
    until("the session has ended", || world.process(sessions.found[1].0).is_none());
    sessions.outside().expect(&[("initctl list-sessions", &lines[0])]);
    one.expect(&[("status service", "service start/running, process P"), ("initctl get-env MINE", "1")]);
}

#[test]
fn variables_of_all_jobs_and_of_one() {
    let job = "instance $N\nscript\n  initctl set-env OWN=$N\n  initctl set-env -g SHARED=$N\n  initctl set-env -r OWN=other\n  \
               initctl get-env OWN > said-$N\n  initctl get-env --global OWN >> said-$N 2>&1 || true\n  \
               initctl unset-env OWN\n  initctl get-env OWN >> said-$N 2>&1 || true\n  initctl set-env OWN=again\n  \
               initctl reset-env\n  initctl get-env OWN >> said-$N 2>&1 || true\n  \
               echo ready >> said-$N\n  \
               exec sleep infinity\nend script\nchdir /run/home\n";
    let setup = Setup::new()
        .directory("/run/sessions")
        .file("/run/sessions/many.conf", job)
        .file("/run/sessions/shows.conf", "task\nexec env > /run/home/shown\n");
    let Some(sessions) = Sessions::start(setup) else { return };
    let (world, shell) = (&sessions.world, sessions.shell(0));
    let before = shell.says("initctl list-env");
    assert!(before.contains("HOME=/run/home\n") && !before.contains("UPSTART_SESSION"), "{before}");
    let hint = "! Try `initctl --help' for more information.\n[exit 1]";
    shell.expect(&[
        ("initctl set-env A=1 B=two=2", ""),
        ("initctl get-env B", "two=2"),
        ("initctl set-env --retain A=9", ""),
        ("initctl set-env -r C=3 A=9", ""),
        ("initctl get-env A", "1"),
        ("initctl set-env -g A=4", ""),
        ("initctl unset-env B C", ""),
        ("initctl get-env B", "! initctl: No such variable: B\n[exit 1]"),
        ("initctl set-env", &format!("! initctl: missing variable name\n{hint}")),
        ("initctl unset-env", &format!("! initctl: missing variable name\n{hint}")),
        ("initctl unset-env HOME", ""),
        ("start shows", "shows stop/waiting"),
    ]);
    let shown = world.read("/run/home/shown");
    assert!(shown.contains("\nA=4\n") || shown.starts_with("A=4\n"), "{shown}");
    assert!(!shown.contains("HOME=") && shown.contains(&sessions.found[0].1), "{shown}");
    shell.expect(&[("initctl reset-env", ""), ("initctl list-env", &before)]);

    shell.expect(&[("start many N=1", "many (1) start/running, process P")]);
    let said = wait_for("the job has spoken", || {
        Some(world.read("/run/home/said-1")).filter(|said| said.ends_with("ready\n"))
    });
    let none = "initctl: No such variable: OWN\n";
    assert_eq!(said, format!("1\n{none}{none}{none}ready\n"));
    shell.expect(&[("initctl get-env SHARED", "1")]);
}

#[test]
fn telinit_and_the_bus_of_a_session() {
    let setup = Setup::new().directory("/run/sessions").file("/run/sessions/service.conf", "exec sleep infinity\n");
    let Some(sessions) = Sessions::start(setup) else { return };
    let (world, shell) = (&sessions.world, sessions.shell(0));
    shell.expect(&[("start service", "service start/running, process P"), ("initctl set-env KEPT=1", "")]);
    let keeper = world.process(sessions.found[0].0).unwrap().outside;
    let before = wait_for("a manager", || world.manager_of(keeper)).inside;
    shell.expect(&[("telinit --user u", "")]);
    until("there is another manager", || world.manager_of(keeper).is_some_and(|now| now.inside != before));
    fs::write(world.path("/run/sessions/new.conf"), "task\n").unwrap();
    shell.expect(&[
        ("telinit --user Q", ""),
        ("initctl list", "new stop/waiting\nservice start/running, process P"),
        ("initctl get-env KEPT", "1"),
        (
            "telinit --user 3",
            "! telinit: illegal request of a session: 3\n! Try `telinit --help' for more information.\n[exit 1]",
        ),
        (
            "initctl notify-dbus-address unix:path=/nonexistent",
            "! initctl: Failed to connect to socket /nonexistent: No such file or directory\n[exit 1]",
        ),
        ("initctl notify-disk-writeable", ""),
        ("initctl notify-cgroup-manager-address unix:path=/nonexistent", ""),
    ]);
    let Some(mut bus) = session_bus(world) else { return };
    let address = "unix:path=/run/user/bus";
    shell.expect(&[(&format!("initctl notify-dbus-address {address}"), "")]);
    let over_the_bus = sessions.outside().with("DBUS_SESSION_BUS_ADDRESS", address);
    over_the_bus.expect(&[
        ("initctl --session status service", "service start/running, process P"),
        ("initctl --session --dest=com.ubuntu.Upstart stop service", "service stop/waiting"),
    ]);
    let said = over_the_bus.says("initctl --session --dest com.example.Nobody list");
    assert!(said.starts_with("! initctl: ") && said.ends_with("[exit 1]"), "{said}");
    bus.kill().unwrap();
    bus.wait().unwrap();
    shell.expect(&[("status service", "service stop/waiting")]);
}

/// A D-Bus daemon of the user's, where there is one to be started.
fn session_bus(world: &World) -> Option<Child> {
    let program = "/usr/bin/dbus-daemon";
    if !std::path::Path::new(program).exists() {
        return None;
    }
    let mut command = world.user_command(program);
    let bus = command.args(["--session", "--nofork", "--nopidfile", "--address=unix:path=/run/user/bus"]);
    // It warns of limits that it cannot raise here.
    let bus = bus.env("HOME", USER_HOME).stderr(Stdio::null()).spawn();
    until("the bus listens", || world.path("/run/user/bus").exists());
    bus.ok()
}
