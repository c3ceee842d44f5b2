//! What should not happen to an init, and happens.

use super::{Vm, ensure};
use crate::error::VmError;

/// The system's manager: the child of process 1 of that name, unless it is a zombie.
const MANAGER: &str = "pgrep -P 1 -x -r R,S,D,T init-manager";

/// What was begun before process 1 was, see the script `killer`.
pub(super) fn was_killed_during_boot(vm: &mut Vm) -> Result<(), VmError> {
    // A fast machine is up before that many seconds have gone by, and the rest hits it then.
    vm.root.until("the killer is through", "test \"$(cat /run/vm-killed)\" = 20")?;
    vm.await_init()
}

pub(super) fn kill_managers(vm: &mut Vm) -> Result<(), VmError> {
    let before = vm.census()?;
    for round in 1..=20 {
        let pid = vm.root.until("there is a manager", MANAGER)?;
        vm.root.must(&format!("kill -KILL {pid}"))?;
        // By turns while it is busy coming back, and when it is back.
        if round % 2 == 0 {
            vm.await_init()?;
        }
    }
    vm.await_init()?;
    vm.await_census(&before)
}

pub(super) fn fault_process_one(vm: &mut Vm) -> Result<(), VmError> {
    let before = vm.census()?;
    for signal in ["SEGV", "ABRT", "SEGV"] {
        let pid = vm.root.until("there is a manager", MANAGER)?;
        vm.root.must(&format!("kill -{signal} 1"))?;
        vm.root.until("its manager is another one", &format!("{MANAGER} | grep -v '^{pid}$'"))?;
        vm.await_init()?;
    }
    vm.await_census(&before)
}

pub(super) fn stop_manager(vm: &mut Vm) -> Result<(), VmError> {
    let before = vm.census()?;
    let pid = vm.root.must(MANAGER)?;
    vm.root.must(&format!("kill -STOP {pid}"))?;
    vm.root.until("another manager is there", &format!("{MANAGER} | grep -v '^{pid}$'"))?;
    vm.await_init()?;
    vm.await_census(&before)
}

pub(super) fn fill_run(vm: &mut Vm) -> Result<(), VmError> {
    let before = vm.census()?;
    vm.root.must(
        "dd if=/dev/zero of=/run/filler bs=64k 2>/dev/null; dd if=/dev/zero bs=1 >>/run/filler 2>/dev/null; true",
    )?;
    ensure(vm.root.run("echo x > /run/another")?.status != 0, || "/run is not full".into())?;
    for way in ["stop", "start", "stop", "start"] {
        vm.root.must(&format!("initctl {way} vm-plain"))?;
    }
    vm.root.must("rm -f /run/filler /run/another")?;
    let pid = vm.root.must(MANAGER)?;
    vm.root.must(&format!("kill -KILL {pid}"))?;
    vm.await_init()?;
    let without = |census: &str| {
        let lines = census.lines().filter(|line| !line.starts_with("system vm-plain "));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let now = vm.census()?;
    ensure(without(&now) == without(&before), || format!("before:\n{before}\nnow:\n{now}"))?;
    ensure(now.contains("system vm-plain "), || format!("vm-plain does not run:\n{now}"))
}

/// The kernel chooses a job that asks for it; init and all others stay.
pub(super) fn out_of_memory(vm: &mut Vm) -> Result<(), VmError> {
    let before = vm.census()?;
    let Some(alice) = vm.users.first_mut() else { return Err(VmError::Wrong("nobody is logged in".into())) };
    alice.must(
        "printf 'oom score 1000\\nnormal exit KILL\\nexec sleep 1000000\\n' > ~/.config/upstart/victim.conf; \
         initctl --user reload-configuration; initctl --user start victim",
    )?;
    vm.root.must("echo f > /proc/sysrq-trigger")?;
    let Some(alice) = vm.users.first_mut() else { return Err(VmError::Wrong("nobody is logged in".into())) };
    alice.until("its init sees the end of the victim", "initctl --user status victim | grep stop/waiting")?;
    let killed = vm.root.run("dmesg | grep -c 'Out of memory: Killed process'")?;
    ensure(killed.out == "1", || format!("the kernel has killed {} processes", killed.out))?;
    vm.await_census(&before)
}
