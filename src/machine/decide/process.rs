//! Processes: what the keeper says of them.

use alloc::format;
use alloc::string::{String, ToString};

use super::Turn;
use crate::change::Change;
use crate::class::{Class, ExitCause, Expect};
use crate::effect::{Effect, Priority};
use crate::job::{Cause, Goal, JobState, ProcessKind};
use crate::signals;

/// SIGKILL, SIGCONT (signal(7)).
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;

/// How long `expect` is waited for before the log says what is missing, in milliseconds.
const EXPECT_PATIENCE_MS: u64 = 10_000;

/// How long a process that has forked once may take for its second fork (`expect daemon`), in milliseconds. Daemons fork
/// twice within a few milliseconds; one that does not was described wrongly.
const SECOND_FORK_PATIENCE_MS: u64 = 2_000;

impl Turn<'_> {
    /// The keeper knows better which process it is, or since when.
    pub(super) fn correct_process(&mut self, ticket: u64, pid: i32, start_time_ticks: u64) {
        let is_another = |known: (i32, u64)| known.0 != 0 && known != (pid, start_time_ticks);
        if self.state.process(ticket).is_some_and(|(.., process)| is_another((process.pid, process.start_time_ticks))) {
            self.commit(Change::ProcessSpawned { ticket, pid, start_time_ticks });
        }
    }

    pub(super) fn process_spawned(&mut self, ticket: u64, pid: i32, start_time_ticks: u64) {
        let Some((number, instance, process)) = self.state.process(ticket) else {
            // It was being started while the keeper called the roll, and the journal that knew it is lost.
            let label = self.state.strays.get(&ticket).map(|stray| stray.label.clone()).unwrap_or_default();
            self.commit(Change::StrayNoted { ticket, pid, label });
            return;
        };
        if process.pid == 0 {
            let (title, is_main) = (instance.title(), process.kind == ProcessKind::Main);
            let is_stopped = is_main && self.state.class(&instance.class).is_some_and(|found| found.definition.debug);
            self.commit(Change::ProcessSpawned { ticket, pid, start_time_ticks });
            if is_stopped {
                self.log(Priority::Message, || {
                    format!(
                        "{title} main process ({pid}) has stopped before its program, as `debug' says; send it SIGCONT"
                    )
                });
            }
            self.advance(number);
        }
    }

    pub(super) fn process_failed_to_spawn(&mut self, ticket: u64, reason: &str) {
        let Some((number, instance, process)) = self.state.process(ticket) else {
            self.commit(Change::StrayEnded { ticket });
            return;
        };
        let (title, kind) = (instance.title(), process.kind);
        self.commit(Change::ProcessEnded { ticket });
        self.log(Priority::Warn, || format!("Failed to spawn {title} {} process: {reason}", kind.name()));
        if !matches!(kind, ProcessKind::PostStart | ProcessKind::PreStop) {
            self.fail(number, Some(kind), None);
            self.change_goal(number, Goal::Stop);
        }
        self.advance(number);
    }

    /// In `spawned`: how long `expect` may take before something is said or done about it.
    pub(super) fn await_readiness(&mut self, number: u64) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        if instance.goal == Goal::Start && instance.process(ProcessKind::Main).is_some_and(|main| main.awaits > 0) {
            let deadline_ms = Some(self.now_ms.saturating_add(EXPECT_PATIENCE_MS));
            self.commit(Change::DeadlineSet { instance: number, deadline_ms });
        }
    }

    pub(super) fn process_forked(&mut self, ticket: u64, pid: i32, start_time_ticks: u64, awaits: u8) {
        let Some((number, instance, process)) = self.state.process(ticket) else { return };
        if process.pid == pid && process.awaits == awaits {
            return;
        }
        let is_waited_for = instance.state == JobState::Spawned && awaits > 0;
        self.commit(Change::ProcessForked { ticket, pid, start_time_ticks, awaits });
        if is_waited_for {
            let deadline_ms = Some(self.now_ms.saturating_add(SECOND_FORK_PATIENCE_MS));
            self.commit(Change::DeadlineSet { instance: number, deadline_ms });
        }
        self.advance(number);
    }

    /// `expect stop`: it is ready, and may go on.
    pub(super) fn process_stopped(&mut self, ticket: u64) {
        if self.expected(ticket) == Some(Expect::Stop) {
            self.become_ready(ticket);
            if self.state.process(ticket).is_some() {
                self.signal(ticket, SIGCONT, false);
            }
        }
    }

    /// `expect notify`: it is ready.
    pub(super) fn process_ready(&mut self, ticket: u64) {
        if self.expected(ticket) == Some(Expect::Notify) {
            self.become_ready(ticket);
        }
    }

    /// What is still expected of a main process.
    pub(super) fn expected(&self, ticket: u64) -> Option<Expect> {
        let (_, instance, process) = self.state.process(ticket)?;
        let class = &self.state.classes.get(&*instance.class)?.definition;
        (process.kind == ProcessKind::Main && process.awaits > 0).then_some(class.expect)
    }

    fn become_ready(&mut self, ticket: u64) {
        let Some((number, _, process)) = self.state.process(ticket) else { return };
        let (pid, start_time_ticks) = (process.pid, process.start_time_ticks);
        self.commit(Change::ProcessForked { ticket, pid, start_time_ticks, awaits: 0 });
        self.advance(number);
    }

    pub(super) fn process_ended(&mut self, ticket: u64, cause: Cause) {
        let Some((number, instance, process)) = self.state.process(ticket) else {
            self.commit(Change::StrayEnded { ticket });
            return;
        };
        let (title, kind, pid) = (instance.title(), process.kind, process.pid);
        let is_bad = cause != Cause::Status(0);
        self.commit(Change::ProcessEnded { ticket });
        let priority = if is_bad { Priority::Warn } else { Priority::Info };
        self.log(priority, || format!("{title} {} process ({pid}) {}", kind.name(), ending(cause)));
        match kind {
            ProcessKind::Main => self.main_ended(number, cause),
            ProcessKind::PostStart | ProcessKind::PreStop => {}
            ProcessKind::PreStart | ProcessKind::PostStop | ProcessKind::Security => {
                if is_bad {
                    self.fail(number, Some(kind), Some(cause));
                    self.change_goal(number, Goal::Stop);
                }
            }
        }
        self.advance(number);
    }

    /// Main is gone. Was it meant to, is it a failure, is there to be another?
    fn main_ended(&mut self, number: u64, cause: Cause) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let is_on_its_way_down = matches!(instance.state, JobState::Stopping | JobState::Killed);
        if instance.goal != Goal::Start || is_on_its_way_down {
            return;
        }
        let class = &record.definition;
        let is_normal = is_normal(class, cause);
        let is_finished = if class.task { is_normal } else { is_listed(class, cause) };
        if class.respawn && !is_finished {
            self.respawn(number);
        } else {
            if !is_normal {
                self.fail(number, Some(ProcessKind::Main), Some(cause));
            }
            self.change_goal(number, Goal::Stop);
        }
    }

    /// Another main process, if there were not too many of late.
    fn respawn(&mut self, number: u64) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let title = instance.title();
        let (since_ms, count) = instance.respawns;
        let limit = record.definition.respawn_limit;
        let window_ms = limit.map_or(0, |limit| u64::from(limit.interval_s).saturating_mul(1000));
        let (since_ms, count) = if count == 0 || self.now_ms.saturating_sub(since_ms) >= window_ms {
            (self.now_ms, 1)
        } else {
            (since_ms, count.saturating_add(1))
        };
        if limit.is_some_and(|limit| count > limit.count) {
            self.log(Priority::Warn, || format!("{title} respawning too fast, stopped"));
            self.fail(number, None, None);
            self.change_goal(number, Goal::Stop);
        } else {
            self.log(Priority::Warn, || format!("{title} main process ended, respawning"));
            self.commit(Change::Respawned { instance: number, since_ms, count });
            self.change_goal(number, Goal::Respawn);
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        while let Some((_, number)) = self.state.index.deadlines.first().filter(|(at, _)| *at <= self.now_ms).copied() {
            self.commit(Change::DeadlineSet { instance: number, deadline_ms: None });
            self.deadline_passed(number);
        }
        self.end_overdue_session();
    }

    fn deadline_passed(&mut self, number: u64) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(main) = instance.process(ProcessKind::Main) else { return };
        let (ticket, pid, awaits, title) = (main.ticket, main.pid, main.awaits, instance.title());
        match (instance.state, self.expected(ticket)) {
            (JobState::Killed, _) => self.signal(ticket, SIGKILL, true),
            (JobState::Spawned, Some(Expect::Daemon)) if awaits == 1 => {
                self.log(Priority::Warn, || {
                    format!("{title} main process forked once, not twice as `expect daemon' says; following process {pid} (use `expect fork')")
                });
                self.again(Effect::Settle(ticket));
                self.become_ready(ticket);
            }
            (JobState::Spawned, Some(expect)) => self.log(Priority::Warn, || {
                format!(
                    "{title} main process ({pid}) has not {} yet, as `expect {}' says; still waiting",
                    deed(expect),
                    expect.name()
                )
            }),
            _ => {}
        }
    }
}

/// What a process does that is expected to.
fn deed(expect: Expect) -> &'static str {
    match expect {
        Expect::None | Expect::Fork | Expect::Daemon => "forked",
        Expect::Stop => "stopped itself",
        Expect::Notify => "said READY=1",
    }
}

/// How a process ended, in the words of the log.
fn ending(cause: Cause) -> String {
    match cause {
        Cause::Status(0) => "exited normally".into(),
        Cause::Status(status) => format!("terminated with status {status}"),
        Cause::Signal(signal) => {
            let name = signals::name(signal).map_or_else(|| signal.to_string(), ToString::to_string);
            format!("killed by {name} signal")
        }
        Cause::Unknown => "is gone, nobody knows how".into(),
    }
}

/// Whether this end is no failure.
fn is_normal(class: &Class, cause: Cause) -> bool {
    cause == Cause::Status(0) || is_listed(class, cause)
}

/// Whether `normal exit` names this end.
fn is_listed(class: &Class, cause: Cause) -> bool {
    class.normal_exit.iter().any(|listed| match (*listed, cause) {
        (ExitCause::Status(status), Cause::Status(seen)) => status == seen,
        (ExitCause::Signal(signal), Cause::Signal(seen)) => signal == seen,
        _ => false,
    })
}
