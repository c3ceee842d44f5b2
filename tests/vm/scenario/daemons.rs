//! What runs after a boot, and serves.

use super::{Vm, ensure};
use crate::error::VmError;

/// What the kernel, the manager and the stock jobs have made of the machine.
pub(super) fn is_complete(vm: &mut Vm) -> Result<(), VmError> {
    for (what, command) in [
        ("the root file system is writable", "touch /var/tmp/here"),
        ("/run is memory", "grep -q ' /run tmpfs ' /proc/mounts"),
        ("/sys is mounted", "test -d /sys/kernel"),
        ("pseudo-terminals can be had", "test -c /dev/pts/ptmx"),
        ("control groups are mounted", "test -e /sys/fs/cgroup/cgroup.procs"),
        ("the hostname is set", "test $(hostname) = vm"),
        ("the runlevel is 2", "test \"$(runlevel)\" = 'N 2'"),
        ("the journal is in /run", "test -e /run/stayup/journal/lock"),
        ("the loopback interface is up", "ip link show lo | grep -q LOWER_UP"),
    ] {
        vm.root.until(what, command)?;
    }
    let failed = vm.root.run("initctl list | grep -E 'start/(starting|pre-start|spawned)|stop/(stopping|killed)'")?;
    ensure(failed.status != 0, || format!("jobs hang: {}", failed.out))
}

/// The scenario's own daemons, each ready in its way.
pub(super) fn all_expectations(vm: &mut Vm) -> Result<(), VmError> {
    for way in ["fork", "daemon", "stop", "notify"] {
        let command = format!("initctl status vm-{way} | grep 'start/running, process'");
        let status = vm.root.until(&format!("vm-{way} runs"), &command)?;
        let pid = status.rsplit(' ').next().unwrap_or_default().to_owned();
        // Not one of those that went before it became a daemon.
        let line = vm.root.must(&format!("tr '\\0' ' ' < /proc/{pid}/cmdline"))?;
        ensure(line.ends_with(way), || format!("vm-{way} is process {pid}, which is {line:?}"))?;
    }
    Ok(())
}

/// Daemons of the distribution.
pub(super) fn real_ones(vm: &mut Vm) -> Result<(), VmError> {
    let get = "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q nginx <&3";
    vm.root.until("nginx serves", &format!("bash -c \"{}\"", get.replace('"', "\\\"")))?;
    vm.root.until("sshd greets", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && head -n 1 <&3 | grep -q SSH-'")?;
    vm.root.until("cron runs", "pidof cron")?;
    let own = "dbus-send --system --print-reply --dest=com.ubuntu.Upstart /com/ubuntu/Upstart \
               org.freedesktop.DBus.Properties.Get string:com.ubuntu.Upstart0_6 string:version";
    let answer = vm.root.until("init answers on the bus", own)?;
    ensure(answer.contains("init (upstart 1.13.2)"), || format!("on the bus: {answer}"))?;
    // The bus's policy: others may look, and must not touch.
    let other = |method: &str| {
        format!(
            "setpriv --reuid=bob --clear-groups --regid=bob dbus-send --system --print-reply --dest=com.ubuntu.Upstart \
             /com/ubuntu/Upstart com.ubuntu.Upstart0_6.{method}"
        )
    };
    vm.root.must(&other("GetAllJobs"))?;
    let refused = vm.root.run(&other("Restart"))?;
    ensure(refused.status != 0, || "a user may restart init over the bus".into())
}
