//! The seed of it all: init restarts, or becomes another version, and nobody notices but those who want to.

use super::{Vm, ensure};
use crate::error::VmError;
use crate::image::{NEWER, NEWER_PACKAGES};

/// How often the system's init has announced a restart.
const GENERATION: &str = "dbus-send --system --print-reply --dest=com.ubuntu.Upstart /stayup \
     org.freedesktop.DBus.Properties.Get string:stayup.Init1 string:RestartGeneration | sed -n 's/.*uint64 //p'";

/// How often both users' jobs have noticed.
const NOTICED: &str = "cat /home/alice/restarted /home/bob/restarted 2>/dev/null | wc -l";

pub(super) fn telinit_u(vm: &mut Vm) -> Result<(), VmError> {
    followed(vm, "telinit u")
}

pub(super) fn newer_packages(vm: &mut Vm) -> Result<(), VmError> {
    followed(vm, &format!("dpkg --force-unsafe-io -i {NEWER_PACKAGES}/*.deb"))?;
    let version = vm.root.must("dpkg-query -W -f '${Version} ' stayup stayup-sysv")?;
    ensure(version == format!("{NEWER} {NEWER}"), || format!("installed: {version}"))?;
    // The running programs are the installed ones.
    vm.root.must("test \"$(readlink /proc/1/exe)\" = /usr/lib/stayup/init")?;
    vm.root.must("test \"$(readlink /proc/$(pgrep -o -x init-manager)/exe)\" = /usr/lib/stayup/init-manager")?;
    Ok(())
}

/// Does something that restarts init, and sees that every job runs on and every session follows once.
fn followed(vm: &mut Vm, command: &str) -> Result<(), VmError> {
    let before = vm.census()?;
    let number = |text: String| text.trim().parse::<u64>().unwrap_or(0);
    let generation = number(vm.root.must(GENERATION)?);
    let noticed = number(vm.root.must(NOTICED)?);
    vm.root.must(command)?;
    vm.await_init()?;
    vm.root.until("init announces it", &format!("test $({GENERATION}) -gt {generation}"))?;
    vm.root.until("both sessions follow", &format!("test $({NOTICED}) -ge {}", noticed + 2))?;
    vm.await_census(&before)
}
