//! Processes: what the kernel would know of them, and what they have in mind.
//!
//! Knows that processes run, fork, stop themselves, ignore signals and end. Must never know why they were started.

use std::collections::VecDeque;

use keeper::protocol::{ExitStatus, SpawnRequest};

use crate::chance::Chance;

/// SIGKILL, SIGCONT (signal(7)).
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;

/// Something a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Its exec has succeeded, or failed.
    Execute(bool),
    /// It makes a child that goes on in its place, and ends.
    Fork,
    /// It stops itself.
    Stop,
    /// It says that it is ready.
    Notify,
    /// It ends.
    End(ExitStatus),
}

/// What a process does about a signal that would end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    /// It dies of it, so many milliseconds later.
    Dies(u64),
    /// It cleans up for so many milliseconds and exits with 0.
    Exits(u64),
    /// Nothing.
    Ignores,
}

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number; never used again.
    pub pid: i32,
    /// When it began, in clock ticks.
    pub start_time_ticks: u64,
    /// The process of whose ticket it is a descendant, itself at first.
    pub root_pid: i32,
    /// What it will do, and when (milliseconds since boot).
    pub deeds: VecDeque<(u64, Deed)>,
    /// It has ended like this and is not reaped.
    pub ended: Option<ExitStatus>,
    is_stopped: bool,
    manners: Manners,
}

impl Process {
    /// What is started by a request: with a mind of its own, or (once the faults have stopped) as its job file wants it.
    pub fn of(request: &SpawnRequest, pid: i32, now_ms: u64, is_good: bool, chance: &mut Chance) -> Self {
        let mut process = Self {
            pid,
            start_time_ticks: now_ms / 10,
            root_pid: pid,
            deeds: VecDeque::new(),
            ended: None,
            is_stopped: false,
            manners: manners(is_good, chance),
        };
        let mut at = now_ms + chance.below(4);
        let is_broken = !is_good && chance.one_in(24);
        process.deeds.push_back((at, Deed::Execute(!is_broken)));
        if is_broken {
            return process;
        }
        let is_stubborn = !is_good && chance.one_in(8);
        for deed in expected_deeds(request).filter(|_| !is_stubborn) {
            at += chance.below(if is_good { 5 } else { 1_500 });
            process.deeds.push_back((at, deed));
        }
        if let Some(life_ms) = life_ms(request, is_good, chance) {
            process.deeds.push_back((at + life_ms, Deed::End(status(is_good, chance))));
        }
        process
    }

    /// It was there before anybody looked: its program runs already.
    pub fn begun_before(&mut self, start_time_ticks: u64) {
        self.start_time_ticks = start_time_ticks;
        self.deeds.retain(|(_, deed)| !matches!(deed, Deed::Execute(_)));
    }

    /// When it does the next thing.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        if self.is_stopped || self.ended.is_some() {
            return None;
        }
        self.deeds.front().map(|(at, _)| *at)
    }

    /// The child that goes on in its place.
    #[must_use]
    pub fn child(&self, pid: i32, now_ms: u64) -> Self {
        Self { pid, start_time_ticks: now_ms / 10, ..self.clone() }
    }

    /// It has stopped itself.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// A signal comes.
    pub fn signal(&mut self, signal: i32, now_ms: u64) {
        let killed = ExitStatus::Signal { signal, core_dumped: false };
        let (delay_ms, status) = match (signal, self.manners) {
            (SIGCONT, _) => {
                self.is_stopped = false;
                return;
            }
            (SIGKILL, _) => {
                self.is_stopped = false;
                (0, killed)
            }
            (_, Manners::Dies(delay_ms)) => (delay_ms, killed),
            (_, Manners::Exits(delay_ms)) => (delay_ms, ExitStatus::Code(0)),
            (_, Manners::Ignores) => return,
        };
        // Until its exec it takes signals as anybody, and what it was about to do then does not happen.
        self.deeds.retain(|(at, deed)| *at <= now_ms || matches!(deed, Deed::Execute(_)));
        self.deeds.push_back((now_ms + delay_ms, Deed::End(status)));
    }

    /// From now on it behaves.
    pub fn reform(&mut self, now_ms: u64) {
        self.manners = Manners::Dies(0);
        for (at, _) in &mut self.deeds {
            *at = (*at).min(now_ms + 2_000);
        }
    }
}

fn manners(is_good: bool, chance: &mut Chance) -> Manners {
    match chance.below(if is_good { 4 } else { 10 }) {
        0..=2 => Manners::Dies(0),
        3 => Manners::Exits(chance.below(20)),
        4..=5 => Manners::Dies(chance.below(400)),
        6..=7 => Manners::Exits(chance.below(8_000)),
        8 => Manners::Dies(chance.below(8_000)),
        _ => Manners::Ignores,
    }
}

fn expected_deeds(request: &SpawnRequest) -> impl Iterator<Item = Deed> {
    let notifies = request.environment.iter().any(|entry| entry.starts_with(b"NOTIFY_SOCKET="));
    let forks = std::iter::repeat_n(Deed::Fork, usize::from(request.follow_forks));
    forks.chain(request.report_stop.then_some(Deed::Stop)).chain(notifies.then_some(Deed::Notify))
}

/// How long it runs, if it ends by itself. Main processes often do not; the label says which it is.
fn life_ms(request: &SpawnRequest, is_good: bool, chance: &mut Chance) -> Option<u64> {
    let is_main = request.label.starts_with("main\t");
    match (is_main, is_good) {
        (true, _) if is_errand(request) => Some(chance.below(if is_good { 20 } else { 2_000 })),
        (true, true) => None,
        (true, false) => (!chance.one_in(3)).then(|| chance.below(20_000)),
        (false, true) => Some(chance.below(20)),
        (false, false) => Some(if chance.one_in(6) { chance.below(10_000) } else { chance.below(200) }),
    }
}

/// Main processes of tasks end; their world says so by this word in their environment.
pub const ERRAND: &str = "STAYUP_SIM_ERRAND=1";

fn is_errand(request: &SpawnRequest) -> bool {
    request.environment.iter().any(|entry| entry == ERRAND.as_bytes())
}

fn status(is_good: bool, chance: &mut Chance) -> ExitStatus {
    match chance.below(10) {
        _ if is_good => ExitStatus::Code(0),
        0..=5 => ExitStatus::Code(0),
        6..=7 => ExitStatus::Code(chance.between(1, 4) as i32),
        8 => ExitStatus::Signal { signal: 11, core_dumped: true },
        _ => ExitStatus::Signal { signal: SIGKILL, core_dumped: false },
    }
}
