//! From the keeper's words to the machine's.

use keeper::protocol::{Condition, Entry, ExitStatus, ToManager};
use machine::input::{InitSignal, Input, RollCallCondition, RollCallEntry};
use machine::job::Cause;
use nix::sys::signal::Signal;

use crate::spawner;

/// The input that a message is; none for those that concern the link alone.
#[must_use]
pub fn input(message: ToManager) -> Option<Input> {
    Some(match message {
        ToManager::Spawned { ticket, pid, start_time_ticks } => Input::Spawned { ticket, pid, start_time_ticks },
        ToManager::SpawnFailed { ticket, stage, errno } => {
            Input::SpawnFailed { ticket, reason: spawner::reason(stage, errno) }
        }
        ToManager::Signalled { ticket, request, .. } => Input::Signalled { ticket, request },
        ToManager::Forked { ticket, pid, start_time_ticks, forks_left } => {
            Input::Forked { ticket, pid, start_time_ticks, forks_left }
        }
        ToManager::Stopped { ticket } => Input::Stopped(ticket),
        ToManager::Exited { ticket, status, .. } => Input::Exited { ticket, cause: cause(status) },
        _ => return None,
    })
}

/// What a signal to init means, as process 1 of a container or not; none for SIGUSR1, which concerns the bus alone.
#[must_use]
pub fn signal(number: i32, in_container: bool) -> Option<InitSignal> {
    if in_container && (number == Signal::SIGTERM as i32 || number == keeper::container::shutdown_signal()) {
        return Some(InitSignal::End);
    }
    match Signal::try_from(number) {
        Ok(Signal::SIGINT) => Some(InitSignal::ControlAltDelete),
        Ok(Signal::SIGWINCH) => Some(InitSignal::KeyboardRequest),
        Ok(Signal::SIGPWR) => Some(InitSignal::PowerStatusChanged),
        Ok(Signal::SIGHUP) => Some(InitSignal::Reload),
        Ok(Signal::SIGTERM) => Some(InitSignal::Terminate),
        _ => None,
    }
}

/// How a process ended.
#[must_use]
pub fn cause(status: ExitStatus) -> Cause {
    match status {
        ExitStatus::Code(code) => Cause::Status(code),
        ExitStatus::Signal { signal, .. } => Cause::Signal(signal),
        ExitStatus::Unknown => Cause::Unknown,
    }
}

/// One line of the roll call.
#[must_use]
pub fn entry(entry: Entry) -> RollCallEntry {
    RollCallEntry {
        ticket: entry.ticket,
        label: entry.label,
        pid: entry.pid,
        start_time_ticks: entry.start_time_ticks,
        last_signal_request: entry.last_signal_request,
        condition: match entry.condition {
            Condition::Running { forks_left, has_stopped } => RollCallCondition::Running { forks_left, has_stopped },
            Condition::Exited(status) => RollCallCondition::Exited(cause(status)),
            Condition::Starting => RollCallCondition::Starting,
            Condition::Failed { stage, errno } => RollCallCondition::Failed(spawner::reason(stage, errno)),
        },
    }
}
