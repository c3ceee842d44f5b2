//! reboot, halt and poweroff, up to the end of process 1.

use std::fs;
use std::mem::size_of;
use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal;
use testkit::{Setup, World, wait_for};

use crate::shell::{Shell, machine, path_stanza};

/// The signal by which process 1 has ended, as pid_namespaces(7) says how the machine was to end.
pub(crate) fn end_of(mut world: World) -> Signal {
    let status = wait_for("the machine ends", || world.ended());
    Signal::try_from(status.signal().unwrap()).unwrap()
}

/// What distributions have for the end of a shutdown: a job of runlevels 0 and 6 that ends the machine.
fn setup(program: &str) -> Setup {
    let end = format!("start on runlevel [06]\ntask\n{}exec {program}\n", path_stanza());
    Setup::new().job("end", &end).file("/run/utmp", "").file("/var/log/wtmp", "")
}

#[test]
fn a_record_is_all_that_wtmp_only_writes() {
    let Some(world) = machine(setup("true")) else { return };
    let shell = Shell::root(&world);
    let record = size_of::<libc::utmpx>();
    for (index, line) in ["reboot -w", "halt --wtmp-only", "poweroff -w -f"].iter().enumerate() {
        assert_eq!(shell.says(line), "", "$ {line}");
        assert_eq!(fs::read(world.path("/var/log/wtmp")).unwrap().len(), (index + 1) * record, "$ {line}");
    }
    let hint = "! Try `reboot --help' for more information.\n[exit 1]";
    shell.expect(&[("reboot --wibble", &format!("! reboot: invalid option: --wibble\n{hint}"))]);
}

#[test]
fn force_ends_the_machine_at_once() {
    for (line, expected) in [
        ("reboot -f", Signal::SIGHUP),
        ("reboot --force recovery", Signal::SIGHUP),
        // As scripts written for sysvinit call it.
        ("reboot -d -f -i", Signal::SIGHUP),
        ("halt -f", Signal::SIGINT),
        ("poweroff -f", Signal::SIGINT),
    ] {
        let Some(world) = machine(setup("true")) else { return };
        let _ = Shell::root(&world).command(line).output();
        assert_eq!(end_of(world), expected, "$ {line}");
    }
}

#[test]
fn a_shutdown_ends_the_machine_through_the_jobs_of_its_runlevel() {
    for (line, program, expected) in [
        ("reboot", "reboot", Signal::SIGHUP),
        ("shutdown -r now", "reboot -f", Signal::SIGHUP),
        ("halt -p", "poweroff", Signal::SIGINT),
        ("telinit 0", "halt -f", Signal::SIGINT),
    ] {
        let Some(world) = machine(setup(program)) else { return };
        let _ = Shell::root(&world).command(line).output();
        assert_eq!(end_of(world), expected, "$ {line}");
    }
}
