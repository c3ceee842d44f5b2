//! One restart after another: what is done, what follows, and what must be true after it.

use crate::timeline::Timeline;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use testkit::{CONDITIONS, Machine, Process, Scope, until, wait_for};

/// What happens to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Round {
    /// `telinit u`, as after an upgrade.
    Telinit,
    /// A signal to the managers of these.
    Managers(&'static [Scope], Signal),
    /// A signal to the keeper of this one.
    Keeper(Scope, Signal),
}

/// The rounds of `--kill`.
pub(crate) const KILLS: [Round; 8] = [
    Round::Managers(&[Scope::System], Signal::SIGKILL),
    Round::Managers(&[Scope::Session], Signal::SIGKILL),
    Round::Managers(&Scope::BOTH, Signal::SIGKILL),
    Round::Managers(&[Scope::System], Signal::SIGSEGV),
    Round::Managers(&[Scope::Session], Signal::SIGSEGV),
    Round::Managers(&Scope::BOTH, Signal::SIGSEGV),
    Round::Keeper(Scope::System, Signal::SIGSEGV),
    Round::Keeper(Scope::Session, Signal::SIGSEGV),
];

impl Round {
    fn title(self) -> String {
        match self {
            Self::Telinit => "telinit u: the system init executes itself anew".to_owned(),
            Self::Managers(&[scope], signal) => format!("{signal} for the {scope}'s manager"),
            Self::Managers(_, signal) => format!("{signal} for both managers at once"),
            Self::Keeper(Scope::System, signal) => format!("{signal} for process 1"),
            Self::Keeper(Scope::Session, signal) => format!("{signal} for the session's keeper"),
        }
    }

    /// Whether the system init comes back in this round: then every session must hear of it.
    fn restarts_system(self) -> bool {
        match self {
            Self::Telinit => true,
            Self::Managers(scopes, _) => scopes.contains(&Scope::System),
            Self::Keeper(scope, _) => scope == Scope::System,
        }
    }
}

/// What was true before.
struct Before {
    jobs: BTreeMap<Scope, BTreeMap<String, i32>>,
    managers: BTreeMap<Scope, Process>,
    fired: BTreeMap<&'static str, usize>,
    told: BTreeMap<Scope, usize>,
    counted: BTreeMap<Scope, usize>,
}

impl Before {
    fn look(machine: &Machine) -> Self {
        let each = |scope| (scope, machine.jobs(scope));
        Self {
            jobs: Scope::BOTH.map(each).into(),
            managers: Scope::BOTH.map(|scope| (scope, machine.manager(scope))).into(),
            fired: CONDITIONS.map(|(job, _)| (job, machine.fired(job))).into(),
            told: Scope::BOTH.map(|scope| (scope, machine.told(scope).len())).into(),
            counted: Scope::BOTH.map(|scope| (scope, machine.counted(scope).unwrap_or(0))).into(),
        }
    }
}

/// Plays one round; `notices` are the jobs that must notice it when the system init restarts.
pub(crate) fn play(machine: &Machine, round: Round, notices: &[(&'static str, &str)], timeline: &mut Timeline) {
    timeline.title(&round.title());
    let before = Before::look(machine);
    for scope in Scope::BOTH {
        machine.start_errand(scope);
    }
    strike(machine, round, timeline);
    await_restarts(machine, round, &before, timeline);
    if round.restarts_system() {
        for (job, condition) in notices {
            until(&format!("{job} runs (start on {condition})"), || machine.fired(job) > before.fired[job]);
        }
        until("re-exec has finished", || {
            machine.initctl(Scope::Session, &["status", "re-exec"]).out == "re-exec stop/waiting"
        });
    }
    for scope in Scope::BOTH {
        until("the end of the errand is told", || machine.told(scope).len() > before.told[&scope]);
        // Whatever was still under way has settled when this is answered.
        let answer = machine.initctl(scope, &["emit", "settled"]);
        timeline.check(format!("the {scope} init answers"), answer.status == 0);
    }
    check(machine, round, &before, notices, timeline);
}

/// Does it. A manager that is to die is stopped first, so that errands end while it is as good as dead.
fn strike(machine: &Machine, round: Round, timeline: &Timeline) {
    match round {
        Round::Telinit => {
            let answer = machine.world.run("telinit", &["u"]);
            timeline.tell("root", format_args!("telinit u (exit status {})", answer.status));
            Scope::BOTH.iter().for_each(|scope| machine.let_errand_end(*scope));
        }
        Round::Managers(scopes, signal) => {
            let victims: Vec<i32> = scopes.iter().map(|scope| machine.manager(*scope).outside).collect();
            let errands: Vec<_> = scopes.iter().map(|scope| machine.errand(*scope)).collect();
            victims.iter().for_each(|victim| machine.world.signal(*victim, Signal::SIGSTOP));
            Scope::BOTH.iter().for_each(|scope| machine.let_errand_end(*scope));
            for errand in errands.into_iter().flatten() {
                until("the errand ends", || Process::at(errand.outside).is_none_or(|errand| errand.state == 'Z'));
            }
            victims.iter().for_each(|victim| machine.world.kill(*victim, signal));
            timeline.tell("kernel", format_args!("{signal} delivered; the errands ended while nobody looked"));
        }
        Round::Keeper(scope, signal) => {
            machine.world.signal(machine.keeper(scope), signal);
            Scope::BOTH.iter().for_each(|scope| machine.let_errand_end(*scope));
            timeline.tell("kernel", format_args!("{signal} delivered to pid {}", machine.keeper_inside(scope)));
        }
    }
}

fn await_restarts(machine: &Machine, round: Round, before: &Before, timeline: &Timeline) {
    for scope in Scope::BOTH {
        let is_hit = match round {
            Round::Telinit => true,
            Round::Managers(scopes, _) => scopes.contains(&scope) || round.restarts_system(),
            Round::Keeper(hit, _) => hit == scope || round.restarts_system(),
        };
        if is_hit {
            let old = &before.managers[&scope];
            let new = wait_for("a new manager", || {
                machine.world.manager_of(machine.keeper(scope)).filter(|new| new.outside != old.outside)
            });
            let keeper = machine.keeper_inside(scope);
            timeline.tell(scope, format_args!("init is still {keeper}; manager {} -> {}", old.inside, new.inside));
        }
    }
}

fn check(machine: &Machine, round: Round, before: &Before, notices: &[(&str, &str)], timeline: &mut Timeline) {
    let expected = usize::from(round.restarts_system());
    for (job, condition) in notices {
        let times = machine.fired(job) - before.fired[job];
        let what = if expected == 1 { "ran once" } else { "did not run" };
        timeline.check(format!("{job}.conf (start on {condition}) {what}"), times == expected);
    }
    for scope in Scope::BOTH {
        let now = machine.jobs(scope);
        let list: Vec<String> = now.iter().map(|(job, pid)| format!("{job} {pid}")).collect();
        timeline.check(format!("the {scope}'s jobs kept their pids: {}", list.join(", ")), now == before.jobs[&scope]);
        let told = machine.told(scope).split_off(before.told[&scope]);
        timeline.check(format!("the {scope}'s errand ended with status 7, told once"), told == ["failed main 7"]);
        until("output goes on", || machine.counted(scope).map_or(true, |count| count > before.counted[&scope] + 10));
        let counted = machine.counted(scope);
        let lines = counted.as_ref().copied().unwrap_or(0);
        let text = format!("the {scope}'s counter has each of its {lines} lines in its log once");
        timeline.check(counted.as_ref().err().unwrap_or(&text), counted.is_ok());
        let report = machine.world.verify(&machine.journal(scope));
        let frames = report.frames;
        timeline.check(format!("the {scope}'s journal verifies ({frames} frames)"), report.is_clean());
    }
}
