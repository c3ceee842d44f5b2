//! Fear: the stock jobs start in the wrong order, wait for each other for ever, or leave something running at the end.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;

use nix::sys::signal::Signal;
use testkit::{World, until, wait_for};

use crate::place::{Place, debian};

/// A script of /etc/init.d with links of the number that update-rc.d gives where insserv is not installed.
fn script(place: &Place, name: &str, needs: &str, levels: &[(&str, char)]) {
    let header = format!("### BEGIN INIT INFO\n# Provides: {name}\n# Required-Start: {needs}\n### END INIT INFO\n");
    place.program(&format!("etc/init.d/{name}"), &format!("{header}echo \"script {name} $1\" >> /run/test/calls\n"));
    for (level, letter) in levels {
        place.link(format!("../init.d/{name}"), &format!("etc/rc{level}.d/{letter}01{name}"));
    }
}

/// That these calls are there, in this order.
#[track_caller]
fn assert_order(calls: &[String], expected: &[&str]) {
    let mut rest = calls.iter();
    for wanted in expected {
        assert!(
            rest.any(|call| call.starts_with(wanted)),
            "{wanted} is not there, or too early:\n{}",
            calls.join("\n")
        );
    }
}

fn boot(place: &Place) -> Option<World> {
    script(place, "early", "$local_fs", &[("S", 'S')]);
    // Each number is 01: only the headers say that beta comes first.
    script(place, "alpha", "$remote_fs beta", &[("2", 'S'), ("6", 'K')]);
    script(place, "beta", "$syslog", &[("2", 'S'), ("6", 'K')]);
    // Its job is what starts it.
    script(place, "dbus", "", &[("2", 'S')]);
    let world = debian(place).start_or_skip()?;
    world.await_init();
    until("the runlevel's scripts have run", || place.notes("calls").iter().any(|call| call == "script alpha start"));
    until("the runlevel has come", || world.initctl(&["status", "rc"]).out == "rc stop/waiting");
    Some(world)
}

#[test]
fn a_boot_goes_from_devices_to_logins_and_a_reboot_back() {
    let place = Place::new();
    let Some(mut world) = boot(&place) else { return };
    assert_eq!(world.run("runlevel", &[]).out, "N 2");
    let calls = place.notes("calls");
    let expected = [
        "systemd-udevd",
        "udevadm trigger --type=devices",
        "udevadm settle",
        "mount -a -t nonfs",
        "systemd-tmpfiles --create --remove --boot",
        "swapon -a",
        "ifup -a",
        "mount -a -t nfs",
        "script early start",
        "script beta start",
        "script alpha start",
    ];
    assert_order(&calls, &expected);
    for once in ["hostname -F /etc/hostname", "sysctl --quiet --system", "script dbus start"] {
        let expected = usize::from(!once.starts_with("script"));
        assert_eq!(calls.iter().filter(|call| *call == once).count(), expected, "{once}: {}", calls.join("\n"));
    }
    for job in ["dbus", "rsyslog", "udev", "networking", "random-seed"] {
        assert!(world.initctl(&["status", job]).out.starts_with(&format!("{job} start/running")), "{job}");
    }
    tells_the_boot(&world);
    // A network that comes again does not boot again.
    assert_eq!(world.initctl(&["restart", "networking"]).status, 0);
    until("the network is up again", || world.initctl(&["status", "mountall-net"]).out == "mountall-net stop/waiting");
    assert_eq!(place.notes("calls").iter().filter(|call| *call == "script early start").count(), 1);

    let mut shell = at_a_terminal(&world);
    until("somebody is at a terminal", || place.notes("calls").iter().any(|call| call == "at a terminal"));
    assert_eq!(world.run("shutdown", &["-r", "now"]).status, 0);
    let status = wait_for("the machine ends", || world.ended());
    assert_eq!(status.signal(), Some(Signal::SIGHUP as i32), "{status}");
    let _ = shell.wait();
    let calls = place.notes("calls");
    assert!(calls.iter().any(|call| call == "hung up"), "{}", calls.join("\n"));
    assert_order(
        &calls,
        &["script alpha stop", "script beta stop", "ifdown -a", "swapoff -a", "mount -o remount,ro /"],
    );
}

/// A shell that does with signals as interactive ones do.
fn at_a_terminal(world: &World) -> Child {
    let shell = "trap '' TERM; trap 'echo hung up >> /run/test/calls; exit' HUP; echo at a terminal >> /run/test/calls; \
                 while :; do sleep 0.05; done";
    // A shell cannot trap what is ignored where it is started, as below nohup(1).
    world.begin("/usr/bin/env", &["--default-signal=HUP", "/usr/bin/script", "-q", "-c", shell, "/dev/null"])
}

/// `initctl boot` has what happened, in the order in which it did.
fn tells_the_boot(world: &World) {
    let told = world.initctl(&["boot", "--json"]);
    assert_eq!(told.status, 0, "{told:?}");
    let at = |job: &str| {
        let place = told.out.lines().position(|line| line.contains(&format!("\"job\":\"{job}\"")));
        place.unwrap_or_else(|| panic!("{job} is not there: {}", told.out))
    };
    assert!(at("mountall") < at("networking") && at("networking") < at("rc-sysinit") && at("rc-sysinit") < at("rc"));
    let line = |job: &str| told.out.lines().nth(at(job)).unwrap();
    let number = |job: &str, key: &str| -> u64 {
        let rest = line(job).split_once(&format!("\"{key}\":")).unwrap().1;
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    };
    assert!(number("mountall", "began_us") < number("mountall", "stopped_us"));
    assert!(number("udev", "running_us") < number("networking", "began_us"), "devices come before networks");
    assert!(line("udev").contains("\"stopped_us\":null"), "{}", line("udev"));
    let table = world.initctl(&["boot"]).out;
    assert!(table.lines().nth(1).unwrap().ends_with("STARTING    RUNNING    STOPPED  JOB"), "{table}");
    assert!(table.lines().any(|line| line.ends_with("  mountall")), "{table}");
}
