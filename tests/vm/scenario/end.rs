//! The end of the machine, in an orderly way.

use super::{BOOT, Vm, ensure};
use crate::error::VmError;
use crate::tools::{self, text};
use std::path::Path;

/// Jobs that leave a note when they end; all of them must have had the time for it.
const ENDED: [&str; 5] = ["daemon", "fork", "notify", "plain", "stop"];

pub(super) fn reboot(vm: &mut Vm) -> Result<(), VmError> {
    vm.root.must("rm -f /var/tmp/ended; sync; test ! -e /var/tmp/ended")?;
    vm.root.send("reboot")?;
    vm.machine.console.wait_for("reboot: Restarting system", BOOT)?;
    let (which, before) = vm.machine.console.wait_for_any(&["vm login: ", "Kernel panic"], BOOT)?;
    ensure(which == 0, || format!("the kernel has panicked:\n{before}"))?;
    // What a file system says that was not unmounted.
    ensure(!before.contains("recovering journal") && !before.contains("EXT4-fs (nvme0n1): recovery complete"), || {
        "the root file system was not left clean".into()
    })?;
    vm.reconnect()?;
    jobs_were_stopped(vm)
}

pub(super) fn power_off(vm: &mut Vm) -> Result<(), VmError> {
    vm.root.must("rm -f /var/tmp/ended; sync; test ! -e /var/tmp/ended")?;
    vm.root.send("poweroff")?;
    vm.machine.console.wait_for("reboot: Power down", BOOT)?;
    vm.machine.wait_for_end(BOOT)
}

fn jobs_were_stopped(vm: &mut Vm) -> Result<(), VmError> {
    let mut ended: Vec<String> = vm.root.must("cat /var/tmp/ended")?.lines().map(str::to_owned).collect();
    ended.sort();
    ensure(ended == ENDED, || format!("jobs that were stopped in order: {ended:?}"))
}

/// A file system that was left clean has nothing to repair, and no journal to play back.
pub(super) fn check_disk(disk: &Path) -> Result<(), VmError> {
    let state = tools::run("dumpe2fs", &["-h", text(disk)])?;
    ensure(state.contains("Filesystem state:         clean") && !state.contains("needs_recovery"), || {
        format!("the file system was not left clean:\n{state}")
    })?;
    tools::run("e2fsck", &["-f", "-n", text(disk)]).map(drop)
}
