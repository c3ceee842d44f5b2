//! A shell at the other end of a serial line, and commands for it.

use crate::console::Console;
use crate::error::VmError;
use std::time::{Duration, Instant};

/// How long a command may take on an emulated machine, unless it is known to take longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How long a shell may take to read a line, until it counts as not there yet.
pub(crate) const TYPE_AGAIN: Duration = Duration::from_secs(5);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) out: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shell {
    console: Console,
    count: u32,
}

impl Shell {
    /// On a line where a shell waits for commands.
    pub(crate) fn on(console: Console, patience: Duration) -> Result<Self, VmError> {
        let mut shell = Self { console, count: 0 };
        shell.restart(patience)?;
        Ok(shell)
    }

    /// The same after the machine has restarted.
    pub(crate) fn restart(&mut self, patience: Duration) -> Result<(), VmError> {
        // Neither prompt nor echo nor an editor of lines: only what commands print. Words in quotes are not what they print.
        let limit = Instant::now() + patience;
        loop {
            // What is typed before a shell reads the line is lost.
            self.console.send("exec sh")?;
            self.console.send("stty -echo; PS1= PS2=; echo sh''ell")?;
            match self.console.wait_for("shell", TYPE_AGAIN) {
                Err(VmError::Never { .. }) if Instant::now() < limit => {}
                Err(error) => return Err(error),
                // What was typed twice is answered twice, and now it is.
                Ok(_) => return self.run_for("true", patience).map(drop),
            }
        }
    }

    /// Logs in first. The password is the name.
    pub(crate) fn log_in(mut console: Console, name: &str, patience: Duration) -> Result<Self, VmError> {
        // The prompt may have gone by before anybody listened.
        console.send("")?;
        console.wait_for("login: ", patience)?;
        console.send(name)?;
        console.wait_for("Password: ", patience)?;
        console.send(name)?;
        console.wait_for("$ ", patience)?;
        Self::on(console, patience)
    }

    /// Runs a command, whatever its exit status is.
    pub(crate) fn run(&mut self, command: &str) -> Result<Answer, VmError> {
        self.run_for(command, PATIENCE)
    }

    /// The same with another patience.
    pub(crate) fn run_for(&mut self, command: &str, patience: Duration) -> Result<Answer, VmError> {
        self.count += 1;
        let mark = format!("@{}@", self.count);
        self.console.send(&format!("{command}\ncode=$?; echo; echo {mark}$code@"))?;
        let out = self.console.wait_for(&format!("\n{mark}"), patience).map_err(|error| during(command, error))?;
        let status = self.console.wait_for("@", patience)?;
        Ok(Answer { status: status.parse().unwrap_or(-1), out: out.trim().to_owned() })
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(crate) fn must(&mut self, command: &str) -> Result<String, VmError> {
        let answer = self.run(command)?;
        if answer.status == 0 {
            return Ok(answer.out);
        }
        Err(VmError::Wrong(format!("{command}: exit status {}: {}", answer.status, answer.out)))
    }

    /// Runs it again and again until it succeeds.
    pub(crate) fn until(&mut self, what: &str, command: &str) -> Result<String, VmError> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let answer = self.run(command)?;
            if answer.status == 0 {
                return Ok(answer.out);
            }
            if Instant::now() >= limit {
                return Err(VmError::Never { what: what.to_owned(), seen: answer.out });
            }
        }
    }

    /// Types a command that gives no answer.
    pub(crate) fn send(&mut self, command: &str) -> Result<(), VmError> {
        self.console.send(command)
    }
}

fn during(command: &str, error: VmError) -> VmError {
    match error {
        VmError::Never { seen, .. } => VmError::Never { what: format!("the end of {command:?}"), seen },
        other => other,
    }
}
