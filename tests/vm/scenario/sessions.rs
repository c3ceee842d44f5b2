//! Users who log in and out, and the sessions they have meanwhile.

use super::{BOOT, Vm, ensure};
use crate::error::VmError;
use crate::shell::Shell;

/// Alice on a line of her own, Bob over the network.
pub(super) fn log_in(vm: &mut Vm) -> Result<(), VmError> {
    let line = vm.machine.take_line();
    let mut alice = Shell::log_in(line, "alice", BOOT)?;
    let status = alice.until("alice's job runs", "initctl --user status mine | grep 'start/running, process'")?;
    ensure(status.starts_with("mine start/running"), || status.clone())?;
    vm.users.push(alice);
    // Through a daemon of the distribution and its PAM, without a terminal.
    vm.root.must(
        "mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 && \
         install -d -o bob -g bob -m 700 /home/bob/.ssh && \
         install -o bob -g bob -m 600 /root/.ssh/id_ed25519.pub /home/bob/.ssh/authorized_keys",
    )?;
    vm.root.must(
        "ssh -o StrictHostKeyChecking=no -o BatchMode=yes bob@127.0.0.1 'sleep infinity' </dev/null >/dev/null 2>&1 &",
    )?;
    vm.root.until("bob's job runs", "/usr/lib/stayup-vm/census | grep -q \"user-$(id -u bob) mine\"")?;
    let sessions = vm.root.must("initctl list | grep '^user-session'")?;
    let has = |name: &str| sessions.contains(&format!("user-session ({name}) start/running"));
    ensure(has("alice") && has("bob"), || format!("sessions: {sessions}"))
}

/// The keeper of a session is killed as nobody should kill it.
pub(super) fn kill_keeper(vm: &mut Vm) -> Result<(), VmError> {
    let before = vm.census()?;
    let mine = before.lines().find(|line| line.starts_with("user-1000 mine")).unwrap_or_default().to_owned();
    let pid = mine.rsplit(' ').next().unwrap_or_default().to_owned();
    ensure(!pid.is_empty(), || format!("alice's job is not among:\n{before}"))?;
    let keeper = vm.root.must("initctl status user-session NAME=alice | sed 's/.* process //'")?;
    vm.root.must(&format!("kill -KILL {keeper}"))?;
    let another = format!(
        "s=$(initctl status user-session NAME=alice); echo \"$s\"; \
         case \"$s\" in *start/running*' {keeper}') false ;; *start/running*) true ;; *) false ;; esac"
    );
    vm.root.until("the session's init comes back", &another)?;
    vm.root.must(&format!("kill -0 {pid}"))?;
    // The job is supervised by the new one, as the process it was.
    vm.root.until("it has taken its job over", &format!("/usr/lib/stayup-vm/census | grep -q '^{mine}$'")).map(drop)
}

/// Alice leaves.
pub(super) fn log_out(vm: &mut Vm) -> Result<(), VmError> {
    let Some(mut alice) = vm.users.pop() else { return Err(VmError::Wrong("nobody is logged in".into())) };
    alice.send("exit")?;
    vm.root.until("alice's session ends", "initctl list | grep -c '^user-session .alice.' | grep -q '^0'")?;
    vm.root.until("and her job with it", "! pgrep -u alice >/dev/null").map(drop)
}
