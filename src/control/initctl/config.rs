//! `show-config` and `check-config`, which look at the conditions of all jobs from outside.

use super::{Failure, Invocation};
use crate::condition::{Condition, Event};
use crate::remote::{ClassEvents, Remote};

/// Events that come from init itself and from the programs that belong to it (upstart-events(7)).
const OWN_EVENTS: &[&str] = &[
    "startup",
    "starting",
    "started",
    "stopping",
    "stopped",
    "runlevel",
    "session-end",
    "control-alt-delete",
    "keyboard-request",
    "power-status-changed",
    ":sys:*",
];

async fn classes(remote: &mut Remote, names: &[String]) -> Result<Vec<ClassEvents>, Failure> {
    let paths = if names.is_empty() {
        remote.all_jobs().await?
    } else {
        let mut paths = Vec::with_capacity(names.len());
        for name in names {
            paths.push(remote.job(name).await?);
        }
        paths
    };
    let classes = remote.class_events(&paths).await?;
    Ok(classes.into_iter().flatten().collect())
}

/// The two conditions of a class, with what introduces them.
fn conditions(class: &ClassEvents) -> Result<[(&'static str, Option<Condition>); 2], Failure> {
    let parse = |notation: &[Vec<String>]| {
        Condition::parse(notation).map_err(|error| Failure::Condition(class.name.clone(), error))
    };
    Ok([("start on", parse(&class.start_on)?), ("stop on", parse(&class.stop_on)?)])
}

pub(super) async fn show(remote: &mut Remote, invocation: &Invocation, output: &mut String) -> Result<(), Failure> {
    let enumerate = invocation.line.has("enumerate");
    for class in classes(remote, &invocation.words).await? {
        output.push_str(&class.name);
        output.push('\n');
        output.push_str(&show_class(&class, enumerate)?);
    }
    Ok(())
}

/// The indented lines about a class.
fn show_class(class: &ClassEvents, enumerate: bool) -> Result<String, Failure> {
    let mut text = String::new();
    for (what, condition) in conditions(class)? {
        let Some(condition) = condition else { continue };
        if enumerate {
            for event in condition.events() {
                text.push_str(&format!("  {what} {}\n", event.enumerate()));
            }
        } else {
            text.push_str(&format!("  {what} {condition}\n"));
        }
    }
    for event in &class.emits {
        text.push_str(&format!("  emits {event}\n"));
    }
    Ok(text)
}

pub(super) async fn check(remote: &mut Remote, invocation: &Invocation, output: &mut String) -> Result<(), Failure> {
    let all = classes(remote, &[]).await?;
    let ignored = invocation.line.values("ignore-events");
    let known = Known {
        jobs: all.iter().map(|class| class.name.as_str()).collect(),
        events: all
            .iter()
            .flat_map(|class| &class.emits)
            .map(String::as_str)
            .chain(OWN_EVENTS.iter().copied())
            .chain(ignored.flat_map(|list| list.split(',')))
            .collect(),
    };
    let chosen = if invocation.words.is_empty() { all.clone() } else { classes(remote, &invocation.words).await? };
    let mut sound = true;
    for class in &chosen {
        let complaints = check_class(class, &known, invocation.line.has("warn"))?;
        if !complaints.is_empty() {
            sound = false;
            output.push_str(&format!("{}\n{complaints}", class.name));
        }
    }
    if sound { Ok(()) } else { Err(Failure::Unsound) }
}

fn check_class(class: &ClassEvents, known: &Known<'_>, warn: bool) -> Result<String, Failure> {
    let mut text = String::new();
    for (what, condition) in conditions(class)? {
        let Some(condition) = condition else { continue };
        let mut unknown = Vec::new();
        if warn {
            let events = condition.events().into_iter();
            unknown.extend(events.filter(|event| !known.has(event)));
        } else {
            blame(&condition, known, &mut unknown);
        }
        for event in unknown {
            let complaint = known.complaint(event);
            text.push_str(&format!("  {what}: {complaint}\n"));
        }
    }
    Ok(text)
}

/// The unknown events that keep a condition from ever coming true.
fn blame<'a>(condition: &'a Condition, known: &Known<'_>, unknown: &mut Vec<&'a Event>) {
    if condition.reachable(&|event| known.has(event)) {
        return;
    }
    match condition {
        Condition::Event(event) => unknown.push(event),
        Condition::And(left, right) | Condition::Or(left, right) => {
            blame(left, known, unknown);
            blame(right, known, unknown);
        }
    }
}

/// What can happen, as far as the jobs say.
struct Known<'a> {
    jobs: Vec<&'a str>,
    events: Vec<&'a str>,
}

impl Known<'_> {
    fn has(&self, event: &Event) -> bool {
        self.has_event(event) && event.job().is_none_or(|job| self.has_job(job))
    }

    fn has_event(&self, event: &Event) -> bool {
        let name = event.name();
        self.events.iter().any(|known| fits(known, name))
    }

    /// A name with a variable in it is known only when the job runs, so it may be any.
    fn has_job(&self, job: &str) -> bool {
        job.contains('$') || self.jobs.iter().any(|known| fits(job, known))
    }

    fn complaint(&self, event: &Event) -> String {
        match event.job() {
            Some(job) if self.has_event(event) => format!("unknown job {job}"),
            _ => format!("unknown event {}", event.name()),
        }
    }
}

/// Whether a name fits a pattern of the shell, as fnmatch(3) sees it.
fn fits(pattern: &str, name: &str) -> bool {
    pattern == name || crate::glob::matches(pattern, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        text.split(" | ")
            .filter(|entry| !entry.is_empty())
            .map(|entry| entry.split(' ').map(str::to_owned).collect())
            .collect()
    }

    fn class(start_on: &str, stop_on: &str, emits: &[&str]) -> ClassEvents {
        ClassEvents {
            name: "job".to_owned(),
            start_on: words(start_on),
            stop_on: words(stop_on),
            emits: emits.iter().map(|event| (*event).to_owned()).collect(),
        }
    }

    #[test]
    fn a_class_is_shown_both_ways() {
        let class = class("a X=1 | started b | /AND", "c", &["d", "e-*"]);
        assert_eq!(
            show_class(&class, false).unwrap(),
            "  start on (a X=1 and started b)\n  stop on c\n  emits d\n  emits e-*\n"
        );
        assert_eq!(
            show_class(&class, true).unwrap(),
            "  start on a (job:, env: X=1)\n  start on started (job: b, env:)\n  \
             stop on c (job:, env:)\n  emits d\n  emits e-*\n"
        );
    }

    #[test]
    fn only_what_bars_the_way_is_blamed() {
        let known = Known { jobs: vec!["b"], events: vec!["startup", "started", "net-*"] };
        let check = |start, warn| check_class(&class(start, "", &[]), &known, warn).unwrap();
        assert_eq!(check("startup | A | /OR", false), "");
        assert_eq!(check("startup | A | /OR", true), "  start on: unknown event A\n");
        assert_eq!(check("startup | A | /OR | B | /AND", false), "  start on: unknown event B\n");
        assert_eq!(check("net-up | started b | /AND", true), "");
        assert_eq!(check("started nobody", false), "  start on: unknown job nobody\n");
        assert_eq!(check("started $JOB", true), "");
    }
}
