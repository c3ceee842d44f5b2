//! The last thing left when no manager can be started at all: a shell for the machine's owner, on the console.
//!
//! Only as process 1, only while managers keep failing, and never in their way: they are tried again all the time. Knows a
//! program and its pid, which is in the table: a keeper that comes back from a fault finds the shell that is there. Must never
//! know why managers fail.

use crate::child;
use crate::launch::Launch;
use crate::processes;
use crate::raw::Stack;
use crate::report::say;
use crate::supervise::Keeper;
use keeper::protocol::Environment;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The first one that is there: it asks for root's password where the machine has that program.
const SHELLS: [&str; 3] = ["/sbin/sulogin", "/usr/sbin/sulogin", "/bin/sh"];

/// Between the end of one shell and the next.
const PAUSE: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Emergency {
    not_before: Option<Instant>,
}

impl Keeper {
    /// Pid of the shell; 0 for none.
    pub(crate) fn shell_pid(&self) -> i32 {
        self.table.head().shell_pid.load(Ordering::Relaxed)
    }

    /// Starts the shell if it is needed and not there. To be called when a manager has failed.
    pub(crate) fn offer_shell(&mut self, now: Instant) {
        let is_early = self.emergency.not_before.is_some_and(|time| now < time);
        if !self.is_system || !self.watch.is_hopeless(&self.table) || self.shell_pid() > 0 || is_early {
            return;
        }
        self.emergency.not_before = Some(now + PAUSE);
        let Some(program) = SHELLS.into_iter().find(|path| Path::new(path).exists()) else {
            return say!("no manager can be started, and there is no shell either");
        };
        say!("no manager can be started: {program} on the console; the manager is tried again meanwhile");
        if let Err(problem) = self.start_shell(program) {
            self.table.head().shell_pid.store(0, Ordering::Relaxed);
            say!("cannot start {program}: {problem}");
        }
    }

    fn start_shell(&mut self, program: &str) -> Result<(), String> {
        let mut environment = Environment::default();
        for entry in ["PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin", "TERM=linux", "HOME=/root"] {
            environment.push(entry.as_bytes()).map_err(|errno| errno.desc().to_owned())?;
        }
        let describe = |(stage, errno): crate::launch::Failure| format!("{stage:?}: {}", errno.desc());
        let launch = Launch::of_shell(program, environment, self.open_files(), self.ignored_signals);
        // Nobody reads it: a shell that cannot be executed ends, which is all there is to know.
        let (_, write_end) = self.status_pipe().map_err(|errno| errno.desc().to_owned())?;
        let launch = Box::new(launch.map_err(describe)?);
        let started = child::start(launch, &write_end, &self.table.head().shell_pid, Stack::new);
        started.map(drop).map_err(|(failure, _)| describe(failure))
    }

    /// Whether it was the shell that has ended; it is forgotten then, and to be reaped only after that.
    pub(crate) fn was_shell(&self, pid: i32) -> bool {
        self.table.head().shell_pid.compare_exchange(pid, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// A manager works again: the console is the jobs'.
    pub(crate) fn end_shell(&mut self) {
        let pid = self.shell_pid();
        if pid > 0 {
            say!("a manager is there again: ending the shell on the console");
            let _ = processes::kill(-pid, libc::SIGHUP);
            let _ = processes::kill(-pid, libc::SIGKILL);
        }
    }
}
