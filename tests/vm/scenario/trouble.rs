//! Another boot, as one who is in trouble has it: `emergency` and `single` on the kernel's command line, no /run, no source of
//! randomness, and Control-Alt-Delete at its end.

use super::{BOOT, end, ensure, tell};
use crate::error::VmError;
use crate::image::Image;
use crate::machine::{Machine, Setup};
use crate::shell::{PATIENCE, TYPE_AGAIN};
use crate::tools::{self, Scratch, text};
use std::path::Path;
use std::time::Instant;

/// The kernel has to find its randomness itself.
const WORDS: &str = "emergency single random.trust_cpu=off random.trust_bootloader=off";

/// What sulogin(8) says where root has no password.
const PROMPT: &str = "Press Enter for maintenance";

pub(super) fn play(image: &Image, scratch: &Scratch, begin: Instant) -> Result<(), VmError> {
    remove_run(&image.disk)?;
    let mut machine = Machine::start(&Setup::of(image, "trouble", WORDS, scratch))?;
    let told = |name: &str, machine: &Machine, error: VmError| {
        VmError::Wrong(format!("{name}: {error}\n{}", super::tail(&machine.console)))
    };
    for (name, step) in STEPS {
        step(&mut machine).and_then(|()| machine.check()).map_err(|error| told(name, &machine, error))?;
        tell(begin, name);
    }
    drop(machine);
    end::check_disk(&image.disk)
}

type Step = (&'static str, fn(&mut Machine) -> Result<(), VmError>);

const STEPS: [Step; 4] = [
    ("a shell before anything has been started, without /run", emergency),
    ("single-user mode, and the journal is in /run", single),
    ("from there to the login prompt", login),
    ("Control-Alt-Delete: the machine restarts", keys),
];

fn emergency(machine: &mut Machine) -> Result<(), VmError> {
    shell(machine, "Nothing has been started yet.")?;
    check(machine, "! test -e /run")?;
    check(machine, "test -e /dev/.stayup/journal/lock")?;
    check(machine, "test $(initctl list | grep -c running) = 1")?;
    machine.console.send("exit")
}

fn single(machine: &mut Machine) -> Result<(), VmError> {
    shell(machine, "Single-user mode.")?;
    check(machine, "test \"$(runlevel)\" = 'N S'")?;
    check(machine, "grep -q ' /run tmpfs ' /proc/mounts")?;
    check(machine, "test -e /run/stayup/journal/lock && ! test -e /dev/.stayup/journal")?;
    check(machine, "touch /var/tmp/here")?;
    machine.console.send("exit")
}

fn login(machine: &mut Machine) -> Result<(), VmError> {
    machine.console.wait_for("vm login: ", BOOT).map(drop)
}

fn keys(machine: &mut Machine) -> Result<(), VmError> {
    machine.press("ctrl-alt-delete")?;
    machine.console.wait_for("reboot: Restarting system", BOOT).map(drop)
}

/// Waits for a shell on the console with this greeting.
fn shell(machine: &mut Machine, greeting: &str) -> Result<(), VmError> {
    for wanted in [greeting, PROMPT] {
        let (which, before) = machine.console.wait_for_any(&[wanted, "Kernel panic"], BOOT)?;
        ensure(which == 0, || format!("the kernel has panicked:\n{before}"))?;
    }
    let limit = Instant::now() + PATIENCE;
    loop {
        // What is typed before it reads is lost.
        machine.console.send("")?;
        match machine.console.wait_for("# ", TYPE_AGAIN) {
            Err(VmError::Never { .. }) if Instant::now() < limit => {}
            other => return other.map(drop),
        }
    }
}

/// Has that shell run a command until it succeeds: what it looks at may still be on its way.
fn check(machine: &mut Machine, command: &str) -> Result<(), VmError> {
    // In pieces, so that the echo is no answer.
    machine.console.send(&format!("until {command}; do sleep 1; done; echo it ho''lds"))?;
    let held = machine.console.wait_for("it holds", PATIENCE);
    held.map(drop).map_err(|error| VmError::Wrong(format!("it never held that {command}: {error}")))
}

/// The directory itself, which gets another name: what is usually mounted there has nowhere to go.
fn remove_run(disk: &Path) -> Result<(), VmError> {
    for request in ["ln /run /run-aside", "unlink /run"] {
        tools::run("debugfs", &["-w", "-R", request, text(disk)])?;
    }
    let left = tools::run("debugfs", &["-R", "stat /run", text(disk)])?;
    ensure(left.contains("File not found"), || format!("/run is still there: {left}"))
}
