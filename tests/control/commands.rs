//! initctl and its short names, at the system's init.

use std::fs;

use testkit::{Setup, until};

use crate::shell::{LINKS, Shell, machine, path_stanza};

/// Does not end before it may, nor stop.
const LATER: &str = "task\nscript\n  while [ ! -e /run/test/go ]; do sleep 0.01; done\nend script\n\
                     post-stop script\n  while [ ! -e /run/test/go ]; do sleep 0.01; done\nend script\n";

fn setup() -> Setup {
    let hears = "script\n  trap 'echo HUP >> /run/test/heard' HUP\n  trap 'echo USR1 >> /run/test/heard' USR1\n  \
                 echo > /run/test/hears\n  while :; do sleep 0.01; done\nend script\n";
    Setup::new()
        .job("bad", "start on break\npre-start exec false\nexec sleep infinity\n")
        .job("dir-job", "description \"x\"\ntask\nexec true\n")
        .job("hears", hears)
        .job("later", &format!("start on slow\n{LATER}"))
        .job("many", "instance $N\nusage \"N=NUMBER\"\nexec sleep infinity\n")
        .job("news", "start on go A=1\ntask\nexec echo \"$A $B $UPSTART_EVENTS\" >> /run/test/news\n")
        .job("service", "start on (never or started hears)\nstop on stopped nobody\nemits gone\nexec sleep infinity\n")
}

#[test]
fn jobs_do_as_they_are_told() {
    let Some(world) = machine(setup()) else { return };
    let shell = Shell::root(&world);
    shell.expect(&[
        ("initctl start service", "service start/running, process P"),
        ("initctl start service", "! initctl: Job is already running: service\n[exit 1]"),
        ("initctl status service", "service start/running, process P"),
        ("initctl stop service", "service stop/waiting"),
        ("initctl stop service", "! initctl: Unknown instance:\n[exit 1]"),
        ("start service", "service start/running, process P"),
        ("restart service", "service start/running, process P"),
        ("stop service", "service stop/waiting"),
        ("restart service", "! restart: Unknown instance:\n[exit 1]"),
        ("start dir-job", "dir-job stop/waiting"),
        ("start bad", "! start: Job failed to start\n[exit 1]"),
        ("start nobody", "! start: Unknown job: nobody\n[exit 1]"),
        ("start", "! start: missing job name\n! Try `start --help' for more information.\n[exit 1]"),
        ("start many", "! start: Unknown parameter: N\n[exit 1]"),
        ("start many N=1", "many (1) start/running, process P"),
        ("start many N=2 OTHER=x", "many (2) start/running, process P"),
        ("status many N=3", "! status: Unknown instance: 3\n[exit 1]"),
        (
            "initctl list",
            "bad stop/waiting\ndir-job stop/waiting\nhears stop/waiting\nlater stop/waiting\n\
             many (1) start/running, process P\nmany (2) start/running, process P\nnews stop/waiting\nservice stop/waiting",
        ),
        ("stop many N=1", "many stop/waiting"),
        ("initctl --quiet stop many N=2", ""),
        ("reload many N=2", "! reload: Unknown instance: 2\n[exit 1]"),
    ]);
    for (line, said) in [
        ("start --no-wait later", "later start/"),
        ("restart -n later", "later respawn/"),
        ("stop -n later", "later stop/"),
    ] {
        let told = shell.says(line);
        assert!(told.starts_with(said), "$ {line}\n{told}");
    }
    world.write("/run/test/go", "");
    until("it has stopped", || shell.says("status later") == "later stop/waiting");
    shell.expect(&[("start -q hears", "")]);
    until("what it starts runs", || shell.says("status service") == "service start/running, process P");
    until("it listens", || world.path("/run/test/hears").exists());
    shell.expect(&[("reload hears", "")]);
    until("the signal is heard", || world.read("/run/test/heard") == "HUP\n");
    world.add_job("hears", "reload signal USR1\nexec sleep infinity\n");
    shell.expect(&[("reload hears", "")]);
    until("of the file it was started with", || world.read("/run/test/heard") == "HUP\nHUP\n");
}

#[test]
fn emit_waits_unless_told_otherwise() {
    let Some(world) = machine(setup()) else { return };
    let shell = Shell::root(&world);
    shell.expect(&[("initctl emit go A=2", ""), ("initctl emit go A=1 B=x", "")]);
    assert_eq!(world.read("/run/test/news"), "1 x go\n");
    shell.expect(&[
        ("initctl emit nobody-cares", ""),
        ("initctl emit break", "! initctl: Event failed\n[exit 1]"),
        ("initctl emit -n break", ""),
        ("initctl emit", "! initctl: missing event name\n! Try `initctl --help' for more information.\n[exit 1]"),
        ("initctl emit go =", "! initctl: Env must be KEY=VALUE pairs\n[exit 1]"),
        ("initctl emit go A", "! initctl: Env must be KEY=VALUE pairs\n[exit 1]"),
        ("initctl emit --no-wait slow", ""),
        ("status later", "later start/running, process P"),
    ]);
    world.write("/run/test/go", "");
    until("the task is over", || shell.says("status later") == "later stop/waiting");
    fs::remove_file(world.path("/run/test/go")).unwrap();
    let mut waits = world.begin("initctl", &["emit", "slow"]);
    let mut is_over = || waits.try_wait().unwrap();
    until("the task runs", || shell.says("status later") == "later start/running, process P");
    assert_eq!(is_over(), None);
    world.write("/run/test/go", "");
    until("the event is over", || is_over().is_some());
    assert!(is_over().unwrap().success());
    shell.expect(&[("status later", "later stop/waiting")]);
}

#[test]
fn init_itself_is_told_and_asked() {
    let Some(world) = machine(setup()) else { return };
    let shell = Shell::root(&world);
    let refused = "! initctl: Not permissible to modify PID 1 job environment\n[exit 1]";
    let hint = "! Try `initctl --help' for more information.\n[exit 1]";
    shell.expect(&[
        ("initctl version", "init (upstart 1.13.2)"),
        ("initctl --version", "initctl (upstart 1.13.2)\nStayup 0.1.0"),
        ("initctl log-priority", "message"),
        ("initctl log-priority debug", ""),
        ("initctl log-priority", "debug"),
        ("initctl log-priority loud", "! initctl: The log priority given was not recognised\n[exit 1]"),
        ("initctl notify-disk-writeable", ""),
        (
            "initctl notify-dbus-address unix:path=/nonexistent",
            "! initctl: Not permissible to notify D-Bus address for PID 1\n[exit 1]",
        ),
        ("initctl notify-cgroup-manager-address unix:path=/nonexistent", ""),
        ("initctl notify-dbus-address", &format!("! initctl: missing address\n{hint}")),
        ("initctl notify-cgroup-manager-address", &format!("! initctl: missing address\n{hint}")),
        ("initctl set-env A=1", refused),
        ("initctl unset-env A", refused),
        ("initctl reset-env", refused),
        ("initctl list-env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin\nTERM=linux"),
        ("initctl get-env TERM", "linux"),
        ("initctl get-env NOTHING", "! initctl: No such variable: NOTHING\n[exit 1]"),
        ("initctl wibble", &format!("! initctl: invalid command: wibble\n{hint}")),
        ("initctl --wibble", &format!("! initctl: invalid option: --wibble\n{hint}")),
        ("initctl version -r", &format!("! initctl: invalid option: -r\n{hint}")),
        ("initctl", &format!("! initctl: missing command\n{hint}")),
        (
            "initctl --user list",
            "! initctl: UPSTART_SESSION isn't set in the environment. Unable to locate the Upstart instance.\n[exit 1]",
        ),
    ]);
    // The files are watched, too; only the command returns when they have been read.
    fs::write(world.path("/run/init/new.conf"), "task\n").unwrap();
    shell.expect(&[("initctl reload-configuration", ""), ("status new", "new stop/waiting")]);
    fs::remove_file(world.path("/run/init/new.conf")).unwrap();
    shell.expect(&[("initctl reload-configuration", ""), ("status new", "! status: Unknown job: new\n[exit 1]")]);
    shell.expect(&[(
        "initctl --session list",
        "! initctl: Unable to connect to session bus: Failed to connect to socket /run/user/0/bus: No such file or directory\n\
         [exit 1]",
    )]);
    let outside = Shell::root(&world).with("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/no-bus");
    outside.expect(&[(
        "initctl --system list",
        "! initctl: Unable to connect to system bus: Failed to connect to socket /run/no-bus: No such file or directory\n\
         [exit 1]",
    )]);
}

#[test]
fn job_files_are_shown_and_checked() {
    let Some(world) = machine(setup()) else { return };
    let shell = Shell::root(&world);
    shell.expect(&[
        (
            "initctl show-config service",
            "service\n  start on (never or started hears)\n  stop on stopped nobody\n  emits gone",
        ),
        (
            "initctl show-config -e service",
            "service\n  start on never (job:, env:)\n  start on started (job: hears, env:)\n  \
             stop on stopped (job: nobody, env:)\n  emits gone",
        ),
        ("initctl show-config nobody", "! initctl: Unknown job: nobody\n[exit 1]"),
        ("initctl usage many", "Usage: N=NUMBER"),
        ("initctl usage nobody", "! initctl: Unknown job: nobody\n[exit 1]"),
        ("initctl check-config service", "service\n  stop on: unknown job nobody\n[exit 1]"),
        (
            "initctl check-config -w service",
            "service\n  start on: unknown event never\n  stop on: unknown job nobody\n[exit 1]",
        ),
        ("initctl check-config --ignore-events=go news", ""),
        ("initctl check-config -i slow,never,break,go later bad news", ""),
        ("init-checkconf /run/init/service.conf", "File /run/init/service.conf: syntax ok"),
    ]);
    let all = shell.says("initctl show-config");
    assert!(all.starts_with("bad\n  start on break\ndir-job\nhears\n"), "{all}");
    let all = shell.says("initctl check-config");
    assert!(all.starts_with("bad\n  start on: unknown event break\nlater\n") && all.ends_with("[exit 1]"), "{all}");
}

/// A process of a job names neither the job nor the instance, nor waits for itself.
#[test]
fn inside_a_job_the_job_itself_is_meant() {
    let inside = format!(
        "instance $N\n{}script\n  exec > /run/test/said-$N 2>&1\n  status\n  initctl status\n  status inside N=other || true\n  \
         initctl list-env\n  start || true\n  echo ready >> /run/test/ready-$N\n  case $N in\n  stop) stop; sleep infinity;;\n  \
         *) sleep infinity;;\n  esac\nend script\n",
        path_stanza()
    );
    let Some(world) = machine(Setup::new().job("inside", &inside)) else { return };
    let shell = Shell::root(&world);
    shell.expect(&[("start inside N=1", "inside (1) start/running, process P")]);
    until("it has spoken", || world.path("/run/test/ready-1").exists());
    let said = world.read("/run/test/said-1");
    let pid = shell.command("status inside N=1").output().unwrap().stdout;
    let own = String::from_utf8(pid).unwrap();
    assert!(said.starts_with(&format!("{own}{own}status: Unknown instance: other\n")), "{said}");
    assert!(said.contains(&format!("N=1\nPATH={LINKS}:")), "the table is that of the instance: {said}");
    assert!(said.ends_with("start: Job is already running: inside (1)\n"), "{said}");
    assert!(shell.says("start inside N=stop").starts_with("inside (stop) start/running"));
    until("it has stopped itself", || shell.says("initctl list") == "inside (1) start/running, process P");
}
