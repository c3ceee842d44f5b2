//! Job files: those of the user, or some that are made up from the seed, as text, so that a finding can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use machine::class::Class;
use machine::parse::parse_class;

use crate::chance::Chance;

/// Events that made-up jobs wait for, besides those of each other.
const EVENTS: [&str; 5] = ["go", "halt", "go X=1", "go X!=1", "halt X=$X"];

/// What can be said to the jobs.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Names of jobs.
    pub jobs: Vec<String>,
    /// Events with their environment.
    pub events: Vec<(String, Vec<String>)>,
    /// Variables.
    pub variables: Vec<String>,
}

impl Vocabulary {
    /// What these jobs listen to.
    #[must_use]
    pub fn of(jobs: &BTreeMap<String, Class>) -> Self {
        let mut events = BTreeSet::from([("startup".to_owned(), Vec::new())]);
        for condition in jobs.values().flat_map(|class| class.start_on.iter().chain(&class.stop_on)) {
            for (_, pattern) in condition.patterns() {
                let value = |text: &str| if text.contains(['*', '?', '[', '$']) { "1".into() } else { text.to_owned() };
                let entries = pattern.matches.iter().enumerate().map(|(at, one)| match &one.key {
                    Some(key) => format!("{key}={}", value(&one.value)),
                    None => format!("ARG{at}={}", value(&one.value)),
                });
                events.insert((pattern.event.clone(), entries.collect()));
            }
        }
        let mut variables: Vec<String> = ["", "X=1", "X=2"].map(ToOwned::to_owned).to_vec();
        for class in jobs.values().filter(|class| !class.instance.is_empty()) {
            let names = class.instance.split('$').skip(1).map(|rest| rest.trim_start_matches('{'));
            let name =
                |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
            variables.extend(names.map(|rest| format!("{}=1", name(rest))).filter(|entry| entry.len() > 2));
        }
        Self { jobs: jobs.keys().cloned().collect(), events: events.into_iter().collect(), variables }
    }
}

/// Some jobs, by name, with the text of their files.
#[must_use]
pub fn made_up(chance: &mut Chance) -> BTreeMap<String, String> {
    let names = ["a", "b", "c", "d", "e", "f"];
    let count = chance.between(2, names.len() as u64) as usize;
    names[..count].iter().map(|name| ((*name).to_owned(), job(&names[..count], chance))).collect()
}

/// One job file.
#[must_use]
pub fn job(names: &[&str], chance: &mut Chance) -> String {
    let mut text = String::new();
    if chance.one_in(4) {
        text.push_str("start on startup\n");
    } else if !chance.one_in(4) {
        let _ = writeln!(text, "start on {}", condition(names, 2, chance));
    }
    if chance.one_in(2) {
        let _ = writeln!(text, "stop on {}", condition(names, 2, chance));
    }
    let has_main = !chance.one_in(5);
    if has_main && chance.one_in(3) {
        let _ = writeln!(text, "expect {}", chance.pick(&["stop", "fork", "daemon", "notify"]));
    }
    if chance.one_in(4) {
        text.push_str("task\n");
    }
    if has_main && chance.one_in(3) {
        text.push_str("respawn\nrespawn limit 3 10\n");
    }
    if chance.one_in(4) {
        text.push_str("instance ${X:-0}\nexport X\n");
    }
    if chance.one_in(4) {
        text.push_str("normal exit 0 1 TERM\n");
    }
    if has_main {
        text.push_str("exec main\n");
    }
    for kind in ["pre-start", "post-start", "pre-stop", "post-stop"] {
        if chance.one_in(4) {
            let _ = writeln!(text, "{kind} exec {kind}");
        }
    }
    text
}

fn condition(names: &[&str], depth: u32, chance: &mut Chance) -> String {
    if depth > 0 && chance.one_in(3) {
        let (left, right) = (condition(names, depth - 1, chance), condition(names, depth - 1, chance));
        return format!("({left} {} {right})", chance.pick(&["and", "or"]));
    }
    if chance.one_in(2) {
        return (*chance.pick(&EVENTS)).to_owned();
    }
    let name = chance.pick(&["starting", "started", "stopping", "stopped"]);
    format!("{name} {}", chance.pick(names))
}

/// The machine's own reading of job files.
///
/// # Errors
/// What is wrong with which file.
pub fn parse(texts: &BTreeMap<String, String>) -> Result<BTreeMap<String, Class>, String> {
    let read = |(name, text): (&String, &String)| {
        let class = parse_class(name, text.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
        Ok((name.clone(), class))
    };
    texts.iter().map(read).collect()
}
