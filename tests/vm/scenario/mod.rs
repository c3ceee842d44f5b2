//! What a machine on Stayup must live through, in order. Each step says what it has seen; the first that sees something else
//! ends it all, and so does a kernel that panics.

mod daemons;
mod end;
mod harm;
mod sessions;
mod trouble;
mod upgrade;

use crate::console::Console;
use crate::error::VmError;
use crate::image::{self, Image};
use crate::machine::{self, Machine, Setup};
use crate::options::{Init, Options};
use crate::shell::Shell;
use crate::tools::Scratch;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a boot may take: an emulated machine is slow, and so is one that shares its processors.
pub(crate) const BOOT: Duration = Duration::from_secs(400);

/// The kernel starts this instead of /sbin/init: it kills the manager during the boot.
const KILLER: &str = "init=/usr/lib/stayup-vm/killer";

/// Where the machine is, as the steps see it.
pub(crate) struct Vm {
    pub(crate) machine: Machine,
    /// Root's, on ttyS1.
    pub(crate) root: Shell,
    /// Of users, on ttyS2 and the console.
    pub(crate) users: Vec<Shell>,
}

type Step = (&'static str, fn(&mut Vm) -> Result<(), VmError>);

/// After the boot, in this order.
const STEPS: [Step; 16] = [
    ("the manager was killed 20 times during the boot", harm::was_killed_during_boot),
    ("mounts, hostname, runlevel and stock jobs are as they should be", daemons::is_complete),
    ("daemons of each way to say that they are ready run", daemons::all_expectations),
    ("nginx, sshd, cron and the bus serve", daemons::real_ones),
    ("two users log in, and each has a session with a job", sessions::log_in),
    ("telinit u: every pid stays, both sessions follow", upgrade::telinit_u),
    ("dpkg -i of newer packages: the same", upgrade::newer_packages),
    ("the manager is killed 20 times: nobody notices", harm::kill_managers),
    ("process 1 faults: no panic, nobody notices", harm::fault_process_one),
    ("the manager is stopped: it is replaced", harm::stop_manager),
    ("/run is full: jobs start and stop all the same", harm::fill_run),
    ("the kernel runs out of memory in a session", harm::out_of_memory),
    ("a session's init is killed: its jobs live, and it comes back", sessions::kill_keeper),
    ("a user logs out: the session ends", sessions::log_out),
    ("reboot: jobs stop in order, and the machine comes back", end::reboot),
    ("poweroff: the same, and the machine is off", end::power_off),
];

/// Plays all of it.
pub(crate) fn play(options: &Options) -> Result<(), VmError> {
    machine::need()?;
    let scratch = Scratch::new()?;
    let begin = Instant::now();
    let image = image::build(&scratch, Init::Stayup, options)?;
    tell(begin, "the disk is made");
    let outcome = play_on(&image, &scratch, options, begin).and_then(|()| trouble::play(&image, &scratch, begin));
    if let Some(directory) = &options.keep {
        keep(&scratch, directory)?;
    }
    outcome
}

fn play_on(image: &Image, scratch: &Scratch, options: &Options, begin: Instant) -> Result<(), VmError> {
    let words = format!("{KILLER} {}", options.kernel_words);
    let setup = Setup::of(image, "scenario", &words, scratch);
    let mut machine = Machine::start(&setup)?;
    boot(&mut machine).and_then(|root| {
        tell(begin, "it boots to a login prompt");
        let mut vm = Vm { machine, root, users: Vec::new() };
        for (name, step) in STEPS {
            let result = step(&mut vm).and_then(|()| vm.machine.check());
            result.map_err(|error| VmError::Wrong(format!("{name}: {error}\n{}", tail(&vm.machine.console))))?;
            tell(begin, name);
        }
        Ok(())
    })?;
    end::check_disk(&image.disk)?;
    tell(begin, "fsck finds nothing to repair");
    Ok(())
}

/// Waits for a boot to end; gives root's shell.
fn boot(machine: &mut Machine) -> Result<Shell, VmError> {
    let (which, before) = machine.console.wait_for_any(&["vm login: ", "Kernel panic"], BOOT)?;
    if which == 1 {
        return Err(VmError::Wrong(format!("the kernel has panicked:\n{before}")));
    }
    let mut root = Shell::on(machine.take_line(), BOOT)?;
    leave_session(&mut root)?;
    Ok(root)
}

/// Root has a session, too, and so initctl would speak to its init.
fn leave_session(root: &mut Shell) -> Result<(), VmError> {
    root.must("unset UPSTART_SESSION").map(drop)
}

fn tell(begin: Instant, what: &str) {
    println!("{:6.1} s  {what}", begin.elapsed().as_secs_f64());
}

/// The last that the console said.
fn tail(console: &Console) -> String {
    let all = console.all();
    let lines: Vec<&str> = all.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Copies what was said, and the disk, to where they outlive this.
fn keep(scratch: &Scratch, directory: &Path) -> Result<(), VmError> {
    std::fs::create_dir_all(directory).map_err(VmError::at("make", directory))?;
    for entry in std::fs::read_dir(scratch.path()).map_err(VmError::at("read", scratch.path()))?.flatten() {
        let name = entry.file_name();
        let is_wanted = [".log", ".img"].iter().any(|end| name.to_string_lossy().ends_with(end));
        if is_wanted {
            std::fs::copy(entry.path(), directory.join(&name)).map_err(VmError::at("copy", &entry.path()))?;
        }
    }
    Ok(())
}

/// Boots a machine for the person at this terminal.
pub(crate) fn interactive(options: &Options) -> Result<(), VmError> {
    machine::need()?;
    let scratch = Scratch::new()?;
    let image = image::build(&scratch, options.init.unwrap_or(Init::Stayup), options)?;
    let setup = Setup::of(&image, "interactive", &options.kernel_words, &scratch);
    println!("log in as root without password; Control-A X ends the machine");
    machine::on_this_terminal(&setup)
}

/// Fails with this text unless it holds.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), VmError> {
    if holds { Ok(()) } else { Err(VmError::Wrong(otherwise())) }
}

impl Vm {
    /// Who runs, with pids; see the script.
    pub(crate) fn census(&mut self) -> Result<String, VmError> {
        self.root.must("/usr/lib/stayup-vm/census")
    }

    /// Waits until exactly these run again; sessions may still be on their way.
    pub(crate) fn await_census(&mut self, before: &str) -> Result<(), VmError> {
        let limit = Instant::now() + crate::shell::PATIENCE;
        loop {
            let now = self.census()?;
            if now == before {
                return Ok(());
            }
            if Instant::now() >= limit {
                return Err(VmError::Wrong(format!("before:\n{before}\nnow:\n{now}")));
            }
        }
    }

    /// Root's shell of the next boot, on the line of the one before.
    pub(crate) fn reconnect(&mut self) -> Result<(), VmError> {
        self.root.restart(BOOT)?;
        leave_session(&mut self.root)
    }

    /// Waits until init answers.
    pub(crate) fn await_init(&mut self) -> Result<(), VmError> {
        self.root.until("init answers", "initctl --system version").map(drop)
    }
}
