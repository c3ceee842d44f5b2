//! `live`: a real session init with real processes, whose manager and keeper are killed again and again.
//!
//! Witnesses are jobs: each errand writes down that it runs and ends with a status of its own; another job writes down
//! what init has told of that end. What was asked for, what has run and what was told must be the same in the end.

mod killer;
mod session;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ::manager::conf;
use control::bus::CallError;
use control::remote::{Remote, Request};
use nix::sys::signal::Signal;

use self::killer::{Victim, When, strike};
use self::session::{PATIENCE, STEADY, Session};
use crate::chance::Chance;
use crate::command::{READING, quoted};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Directories with job files of the user.
    pub directories: Vec<PathBuf>,
    /// How many kills.
    pub kills: u64,
    /// How long, at most.
    pub time: Duration,
    /// What the choice of victims follows from.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Signals that were sent: to the manager, to the keeper; and those of them that stopped the manager (a hang).
    pub kills: u64,
    /// See there.
    pub keeper_kills: u64,
    /// See there.
    pub hangs: u64,
    /// After how many of them init has answered.
    pub recovered: u64,
    /// Errands and events that were asked for and acknowledged.
    pub requests: u64,
    /// What has gone wrong, in words: jobs lost, started twice, statuses lost.
    pub lost: Vec<String>,
    /// See there.
    pub twice: Vec<String>,
    /// See there.
    pub statuses_lost: Vec<String>,
    /// From each kill of the manager to the first answer over D-Bus, without hangs; sorted.
    pub recoveries: Vec<Duration>,
    /// The whole time.
    pub took: Duration,
}

impl Outcome {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.twice.is_empty() && self.statuses_lost.is_empty() && self.recovered == self.kills
    }

    fn recovery_ms(&self, part: f64) -> f64 {
        let last = self.recoveries.len().saturating_sub(1);
        let at = (last as f64 * part) as usize;
        self.recoveries.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }

    /// The table.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = format!(
            "kills             {} ({} of the keeper, {} hangs)\nrecovered         {}\nrequests          {}\njobs lost         {}\nstarted twice     {}\nstatuses lost     {}\nrecovery, median  {:.1} ms\nrecovery, worst   {:.1} ms\ntime              {:.1} s\n",
            self.kills,
            self.keeper_kills,
            self.hangs,
            self.recovered,
            self.requests,
            self.lost.len(),
            self.twice.len(),
            self.statuses_lost.len(),
            self.recovery_ms(0.5),
            self.recovery_ms(1.0),
            self.took.as_secs_f64(),
        );
        for line in self.lost.iter().chain(&self.twice).chain(&self.statuses_lost).take(20) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The same as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let all = self.lost.iter().chain(&self.twice).chain(&self.statuses_lost);
        let problems: Vec<String> = all.take(20).map(|line| quoted(line)).collect();
        format!(
            "{{\"kills\":{},\"keeper_kills\":{},\"hangs\":{},\"recovered\":{},\"requests\":{},\"jobs_lost\":{},\"started_twice\":{},\"statuses_lost\":{},\"recovery_median_ms\":{:.3},\"recovery_worst_ms\":{:.3},\"seconds\":{:.3},\"problems\":[{}]}}\n",
            self.kills,
            self.keeper_kills,
            self.hangs,
            self.recovered,
            self.requests,
            self.lost.len(),
            self.twice.len(),
            self.statuses_lost.len(),
            self.recovery_ms(0.5),
            self.recovery_ms(1.0),
            self.took.as_secs_f64(),
            problems.join(",")
        )
    }
}

/// Does it.
///
/// # Errors
/// When no session can be started, or it does not answer any more.
pub fn run(plan: &Plan) -> Result<Outcome, String> {
    let names = conf::read_all(&plan.directories, None, READING).0.into_iter().map(|class| class.name).collect();
    let session = Session::start(&plan.directories)?;
    let raid = Raid {
        session,
        chance: Chance::of(plan.seed),
        outcome: Outcome::default(),
        names,
        errands: BTreeMap::new(),
        pings: BTreeMap::new(),
        next: 0,
    };
    control::block_on(raid.run(plan))
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Init has said yes: it must come about, once.
    Acknowledged,
    /// The connection ended before the answer: it may come about, once.
    Unknown,
}

struct Raid {
    session: Session,
    chance: Chance,
    outcome: Outcome,
    /// The user's jobs.
    names: Vec<String>,
    errands: BTreeMap<u64, Asked>,
    pings: BTreeMap<u64, Asked>,
    next: u64,
}

impl Raid {
    async fn run(mut self, plan: &Plan) -> Result<Outcome, String> {
        let begin = Instant::now();
        let mut remote = self.session.connect().await?;
        self.await_lines("steady", |raid| {
            (0..STEADY).all(|at| !raid.session.lines(&format!("steady-{at}")).is_empty())
        })
        .await?;
        let steady: Vec<Vec<String>> = (0..STEADY).map(|at| self.session.lines(&format!("steady-{at}"))).collect();
        while self.outcome.kills < plan.kills && begin.elapsed() < plan.time {
            remote = self.round(remote).await?;
            if stderr().is_terminal() {
                self.show_progress(plan, begin);
            }
        }
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        // Those that were asked for run to their end; then nothing more may come.
        let _ = self.await_lines("errands", |raid| raid.is_all_told()).await;
        self.judge(&steady);
        self.outcome.recoveries.sort_unstable();
        self.outcome.took = begin.elapsed();
        Ok(self.outcome)
    }

    fn show_progress(&self, plan: &Plan, begin: Instant) {
        const WIDTH: u64 = 30;
        let filled = (self.outcome.kills * WIDTH / plan.kills.max(1)) as usize;
        let bar: String = (0..WIDTH as usize).map(|at| if at < filled { '#' } else { '.' }).collect();
        eprint!("\r[{bar}] {}/{} kills, {:.0} s ", self.outcome.kills, plan.kills, begin.elapsed().as_secs_f64());
    }

    /// Some requests, a kill in the middle of them, and the first answer after it.
    async fn round(&mut self, mut remote: Remote) -> Result<Remote, String> {
        let Some(manager) = self.await_manager().await else {
            return Err(format!("there is no manager any more\n{}", self.session.last_words()));
        };
        let victim = self.choose(manager);
        let signal = victim.signal;
        let when = if self.chance.one_in(2) {
            When::After(Duration::from_micros(self.chance.below(4_000)))
        } else {
            When::Frames(self.chance.between(1, 12) as u32)
        };
        let hand = strike(&self.session.journal(), victim, when);
        for _ in 0..self.chance.between(1, 4) {
            remote = self.request(remote).await?;
        }
        let struck = hand.join().ok().flatten();
        let Some(at) = struck else { return Ok(remote) };
        self.outcome.kills += 1;
        self.outcome.keeper_kills += u64::from(victim.pid != manager);
        self.outcome.hangs += u64::from(signal == Signal::SIGSTOP);
        if !self.await_other_manager(manager).await {
            return Err(format!(
                "process {manager} is still the manager after {signal} to process {}\n{}",
                victim.pid,
                self.session.last_words()
            ));
        }
        loop {
            match remote.text_property("/com/ubuntu/Upstart", "com.ubuntu.Upstart0_6", "version").await {
                Ok(_) => break,
                Err(_) => remote = self.session.connect().await?,
            }
        }
        self.outcome.recovered += 1;
        if signal != Signal::SIGSTOP {
            self.outcome.recoveries.push(at.elapsed());
        }
        Ok(remote)
    }

    fn choose(&mut self, manager: i32) -> Victim {
        if self.chance.one_in(10) {
            let signal = *self.chance.pick(&[Signal::SIGSEGV, Signal::SIGABRT]);
            return Victim { pid: self.session.keeper(), signal, is_twice: false };
        }
        let signals = [Signal::SIGKILL, Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGABRT];
        let signal = if self.chance.one_in(40) { Signal::SIGSTOP } else { *self.chance.pick(&signals) };
        Victim { pid: manager, signal, is_twice: signal == Signal::SIGSEGV }
    }

    /// One wish of a client.
    async fn request(&mut self, mut remote: Remote) -> Result<Remote, String> {
        self.next += 1;
        let number = self.next;
        let env = [format!("N={number}")];
        let kind = self.chance.below(8);
        let result = match kind {
            0..=4 => remote.request("crashlab-errand", Request::Start, &env, false).await.map(drop),
            5..=6 => remote.emit("crashlab-ping", &env, false).await,
            _ => self.disturb(&mut remote).await,
        };
        let asked = match &result {
            Ok(()) => Asked::Acknowledged,
            Err(CallError::Refused(refusal)) if kind < 7 => {
                self.outcome.lost.push(format!("request {number} was refused: {}", refusal.text));
                return Ok(remote);
            }
            Err(CallError::Refused(_)) => return Ok(remote),
            Err(_) => Asked::Unknown,
        };
        match kind {
            0..=4 => drop(self.errands.insert(number, asked)),
            5..=6 => drop(self.pings.insert(number, asked)),
            _ => {}
        }
        self.outcome.requests += u64::from(asked == Asked::Acknowledged);
        if asked == Asked::Unknown { self.session.connect().await } else { Ok(remote) }
    }

    /// One of the user's jobs is started, stopped or restarted; whether it likes that is its own matter.
    async fn disturb(&mut self, remote: &mut Remote) -> Result<(), CallError> {
        let Some(name) = self.chance.choose(self.names.iter()).cloned() else {
            return remote.emit("crashlab-nothing", &[], false).await;
        };
        let request = *self.chance.pick(&[Request::Start, Request::Stop, Request::Restart]);
        remote.request(&name, request, &[], false).await.map(drop)
    }

    async fn await_manager(&mut self) -> Option<i32> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(pid) = self.session.manager() {
                return Some(pid);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        None
    }

    async fn await_other_manager(&mut self, before: i32) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if self.session.manager().is_some_and(|pid| pid != before) {
                return true;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        false
    }

    async fn await_lines(&mut self, what: &str, is_there: impl Fn(&Self) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !is_there(self) {
            if begin.elapsed() > PATIENCE {
                return Err(format!("waited in vain for {what}\n{}", self.session.last_words()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn is_all_told(&self) -> bool {
        let wanted = |asked: &BTreeMap<u64, Asked>| asked.values().filter(|one| **one == Asked::Acknowledged).count();
        self.session.lines("told").len() >= wanted(&self.errands)
            && self.session.lines("heard").len() >= wanted(&self.pings)
    }

    fn judge(&mut self, steady: &[Vec<String>]) {
        let (started, told, heard) =
            (count(&self.session, "started"), count(&self.session, "told"), count(&self.session, "heard"));
        for (number, asked) in &self.errands {
            let runs = started.get(number).map_or(0, Vec::len);
            if runs > 1 {
                self.outcome.twice.push(format!("errand {number} was started {runs} times"));
            }
            if runs == 0 && *asked == Asked::Acknowledged {
                self.outcome.lost.push(format!("errand {number} was acknowledged and never started"));
            }
            let status = number % 4;
            let is_failure = status != 0 && status != 3;
            let expected = format!("{} {status}", if is_failure { "failed" } else { "ok" });
            match told.get(number).map(Vec::as_slice) {
                Some([line]) if *line == expected || (!is_failure && line.starts_with("ok ")) => {}
                None | Some([]) if runs == 0 => {}
                other => self.outcome.statuses_lost.push(format!(
                    "errand {number} ended with {status} ({expected:?}), and init told {:?}",
                    other.unwrap_or_default()
                )),
            }
        }
        for (number, asked) in &self.pings {
            match heard.get(number).map_or(0, Vec::len) {
                0 if *asked == Asked::Acknowledged => {
                    self.outcome.lost.push(format!("event {number} was acknowledged and nobody heard it"));
                }
                0 | 1 => {}
                times => self.outcome.twice.push(format!("event {number} was heard {times} times")),
            }
        }
        for (at, before) in steady.iter().enumerate() {
            let now = self.session.lines(&format!("steady-{at}"));
            if now.len() > 1 {
                self.outcome.twice.push(format!("steady job {at} was started {} times", now.len()));
            }
            let is_alive = before.first().is_some_and(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists());
            if !is_alive {
                self.outcome.lost.push(format!("steady job {at} (process {before:?}) is gone"));
            }
        }
    }
}

/// The lines of a witness by their number, without it.
fn count(session: &Session, name: &str) -> BTreeMap<u64, Vec<String>> {
    let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for line in session.lines(name) {
        let (number, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if let Ok(number) = number.parse() {
            found.entry(number).or_default().push(rest.to_owned());
        }
    }
    found
}
