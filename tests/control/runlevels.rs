//! telinit, runlevel and shutdown: events, records, warnings and the machine's way down.

#![allow(unsafe_code)] // a pseudo-terminal of the machine, made from outside.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::mem::{offset_of, size_of};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Stdio};

use testkit::{Answer, Setup, World, until, wait_for};

use nix::sys::signal::Signal;

use crate::ending::end_of;
use crate::shell::{Shell, machine, transcript};

/// Levels are told by a job that starts on each.
fn setup() -> Setup {
    Setup::new()
        .job(
            "told",
            "start on runlevel\ntask\nexec echo \"$RUNLEVEL $PREVLEVEL $INIT_HALT $MORE\" >> /run/test/levels\n",
        )
        .file("/run/utmp", "")
        .file("/var/log/wtmp", "")
}

/// What was told, when it is so much.
fn await_told(world: &World, count: usize) -> Vec<String> {
    let lines =
        wait_for("the level is told", || Some(world.lines("/run/test/levels")).filter(|lines| lines.len() == count));
    // A job that has not stopped yet does not start for the next event.
    until("the job has stopped", || world.initctl(&["status", "told"]).out == "told stop/waiting");
    lines
}

#[test]
fn runlevels_are_events_and_records() {
    let Some(world) = machine(setup()) else { return };
    let shell = Shell::root(&world);
    let told = |count: usize| await_told(&world, count);
    shell.expect(&[("runlevel /run/utmp", "unknown\n[exit 1]"), ("telinit 2", "")]);
    told(1);
    shell.expect(&[("runlevel /run/utmp", "N 2"), ("telinit -e MORE=x 3", "")]);
    told(2);
    shell.expect(&[("runlevel -q /run/utmp", "2 3"), ("init 4", "")]);
    told(3);
    shell.expect(&[("telinit s", "")]);
    told(4);
    Shell::root(&world).with("RUNLEVEL", "5").expect(&[("telinit 1", "")]);
    assert_eq!(told(5), ["2 N  ", "3 2  x", "4 3  ", "S 4  ", "1 5  "]);
    shell.expect(&[("runlevel /run/utmp", "5 1")]);
    // One record of the boot and one of the level; the past is kept in wtmp.
    let record = size_of::<libc::utmpx>();
    assert_eq!(fs::read(world.path("/run/utmp")).unwrap().len(), 2 * record);
    assert_eq!(fs::read(world.path("/var/log/wtmp")).unwrap().len(), 6 * record);
    let hint = "! Try `telinit --help' for more information.\n[exit 1]";
    shell.expect(&[
        ("telinit", &format!("! telinit: missing runlevel\n{hint}")),
        ("telinit 7", &format!("! telinit: illegal runlevel: 7\n{hint}")),
        ("telinit --wibble", &format!("! telinit: invalid option: --wibble\n{hint}")),
    ]);
    fs::write(world.path("/run/init/new.conf"), "task\n").unwrap();
    shell.expect(&[("telinit q", ""), ("status new", "new stop/waiting")]);
    let before = world.manager();
    shell.expect(&[("telinit u", "")]);
    until("there is another manager", || world.manager_of(world.init()).is_some_and(|now| now.inside != before.inside));
    world.await_init();
    shell.expect(&[("status new", "new stop/waiting"), ("runlevel /run/utmp", "5 1")]);
}

/// A terminal in the machine at which somebody is logged in, as utmp says.
fn log_in(world: &World) -> File {
    let mut options = File::options();
    let options = options.read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    let terminal = options.open(world.path("/dev/pts/ptmx")).unwrap();
    let mut number: libc::c_uint = 0;
    let unlocked: libc::c_int = 0;
    // SAFETY: both ioctls take a pointer to an integer that is there.
    unsafe {
        assert_eq!(libc::ioctl(terminal.as_raw_fd(), libc::TIOCGPTN, &raw mut number), 0);
        assert_eq!(libc::ioctl(terminal.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked), 0);
    }
    let mut record = vec![0; size_of::<libc::utmpx>()];
    let kind = offset_of!(libc::utmpx, ut_type);
    record[kind..kind + 2].copy_from_slice(&libc::USER_PROCESS.to_ne_bytes());
    let (line, at) = (format!("pts/{number}"), offset_of!(libc::utmpx, ut_line));
    record[at..at + line.len()].copy_from_slice(line.as_bytes());
    fs::write(world.path("/run/utmp"), record).unwrap();
    terminal
}

/// What the terminal shows, once this is in it.
fn shown(terminal: &mut File, wanted: &str) -> String {
    let mut text = Vec::new();
    wait_for(wanted, || {
        let mut part = [0; 1024];
        match terminal.read(&mut part) {
            Ok(count) => text.extend_from_slice(&part[..count]),
            // Nothing there, or (EIO) nobody who has it open.
            Err(error) => assert!(error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EIO)),
        }
        // A carriage return from the program, and one from the terminal.
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        text.contains(wanted).then_some(text)
    })
}

fn begin(shell: &Shell<'_>, line: &str) -> Child {
    shell.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> String {
    transcript(&Answer::from(child.wait_with_output().unwrap()))
}

#[test]
fn a_shutdown_warns_waits_and_can_be_cancelled() {
    let Some(world) = machine(setup()) else { return };
    let shell = Shell::root(&world);
    let mut terminal = log_in(&world);
    shell.expect(&[("shutdown -c", "! shutdown: Shutdown is not running\n[exit 1]")]);
    let under_way = begin(&shell, "shutdown -h +2 disk  trouble");
    let warning = shown(&mut terminal, "disk  trouble\n");
    assert!(warning.starts_with("\x07\nBroadcast message from root@"), "{warning:?}");
    assert!(warning.contains(" ...\n\nThe system is going down for halt in 2 minutes!\n"), "{warning:?}");
    assert_eq!(world.read("/run/nologin"), "The system is going down for halt in 2 minutes!\ndisk  trouble\n");
    let refused = shell.says("shutdown -r now");
    assert!(refused.starts_with("! shutdown: already running, process "), "{refused}");
    shell.expect(&[("shutdown -c never mind", "")]);
    shown(&mut terminal, "never mind\n");
    assert_eq!(end(under_way), "! shutdown: Shutdown cancelled\n[exit 1]");
    assert!(!world.path("/run/nologin").exists());

    // At a time of the day; ended by SIGTERM.
    let under_way = begin(&shell, "shutdown -r 23:59");
    shown(&mut terminal, "going down for reboot");
    let process = wait_for("it waits", || world.processes().into_iter().find(|process| process.name == "shutdown"));
    world.signal(process.outside, Signal::SIGTERM);
    assert_eq!(end(under_way), "! shutdown: Shutdown cancelled\n[exit 1]");

    shell.expect(&[("shutdown -k now", "")]);
    shown(&mut terminal, "going down for maintenance NOW!");
    assert_eq!(world.read("/run/test/levels"), "", "only a warning");
    let hint = "! Try `shutdown --help' for more information.\n[exit 1]";
    shell.expect(&[
        ("shutdown", &format!("! shutdown: missing time\n{hint}")),
        ("shutdown later", &format!("! shutdown: illegal time: later\n{hint}")),
        ("shutdown -z", &format!("! shutdown: invalid option: -z\n{hint}")),
    ]);
}

#[test]
fn a_shutdown_changes_the_runlevel() {
    let Some(world) = machine(setup()) else { return };
    let shell = Shell::root(&world);
    let lines = [
        ("shutdown now", "1 2  "),
        ("shutdown -r now", "6 1  "),
        ("shutdown -h +0", "0 6  "),
        ("shutdown -P now", "0 0 POWEROFF "),
    ];
    shell.expect(&[("telinit -t 5 2", "")]);
    let mut count = 1;
    await_told(&world, count);
    for (line, expected) in lines {
        assert_eq!(shell.says(line), "", "$ {line}");
        count += 1;
        assert_eq!(await_told(&world, count)[count - 1], expected, "$ {line}");
    }
    let _ = shell.command("halt").output();
    // This is runlevel 0, where the last job of all calls halt: it does not ask again.
    assert!(end_of(world) == Signal::SIGINT);
}
