//! Every recorded job file is read as Upstart 1.13.2 read it: the same verdict, the same conditions.

mod recordings;

use machine::class::Class;
use machine::condition::{Condition, Node};
use machine::parse::parse_class;

/// Stanzas of ChromeOS that Upstart refuses and Stayup takes.
fn is_refused_for_chromeos_stanza(text: &[u8], line: usize) -> bool {
    let text = String::from_utf8_lossy(text);
    let word = text.lines().nth(line - 1).and_then(|line| line.split_whitespace().next());
    matches!(word, Some("import" | "tmpfiles"))
}

#[test]
fn no_file_is_judged_otherwise_than_by_upstart() {
    let Some(folder) = recordings::folder() else { return };
    let mut wrong = Vec::new();
    let (mut accepted, mut refused, mut chromeos) = (0, 0, 0);
    let files = recordings::job_files(&folder);
    assert!(files.len() > 1000, "{} files", files.len());
    for file in &files {
        let ours = parse_class("job", &file.text).map_err(|error| (error.line, error.kind.to_string()));
        match (&file.refused, ours) {
            (None, Ok(_)) => accepted += 1,
            (Some((line, message)), Ok(class)) if message == "Unknown stanza" => {
                assert!(is_refused_for_chromeos_stanza(&file.text, *line), "{} accepted", file.path);
                assert!(!class.import.is_empty() || !class.tmpfiles.is_empty(), "{}", file.path);
                chromeos += 1;
            }
            (Some(theirs), Err(ours)) if *theirs == ours => refused += 1,
            (theirs, ours) => wrong.push(format!("{}: {theirs:?}, not {:?}", file.path, ours.err())),
        }
    }
    println!(
        "{accepted} accepted, {refused} refused, {chromeos} accepted for ChromeOS's stanzas, {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// As `initctl show-config` prints a class.
fn show_config(class: &Class) -> Vec<String> {
    let on = |name: &str, condition: &Option<Condition>| {
        condition.as_ref().map(|condition| format!("  {name} on {}", condition.expression()))
    };
    let emits = class.emits.iter().map(|event| format!("  emits {event}"));
    emits.chain(on("start", &class.start_on)).chain(on("stop", &class.stop_on)).collect()
}

/// As `initctl show-config -e` prints a class: event by event, with the job that a job event is about.
fn show_config_enumerated(class: &Class) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(class.emits.iter().map(|event| format!("  emits {event}")));
    for (name, condition) in [("start", &class.start_on), ("stop", &class.stop_on)] {
        for node in condition.iter().flat_map(|condition| &condition.nodes) {
            let Node::Event(pattern) = node else { continue };
            let mut rest: Vec<String> = pattern.matches.iter().map(|argument| argument.text()).collect();
            let mut job = String::new();
            let names_job =
                pattern.matches.first().is_some_and(|first| first.key.is_none() || first.text().starts_with("JOB="));
            if ["starting", "started", "stopping", "stopped"].contains(&&*pattern.event) && names_job {
                let first = rest.remove(0);
                job = format!(" {}", first.strip_prefix("JOB=").unwrap_or(&first));
            }
            let env = if rest.is_empty() { String::new() } else { format!(" {}", rest.join(" ")) };
            lines.push(format!("  {name} on {} (job:{job}, env:{env})", pattern.event));
        }
    }
    lines
}

fn compare_shown(recording: &str, show: fn(&Class) -> Vec<String>) {
    let Some(folder) = recordings::folder() else { return };
    let shown = recordings::shown(&folder, recording);
    let files = recordings::job_files(&folder);
    let accepted: Vec<_> = files.iter().filter(|file| file.refused.is_none()).collect();
    assert_eq!(accepted.len(), shown.len());
    let mut wrong = Vec::new();
    for file in accepted {
        let Ok(class) = parse_class("job", &file.text) else { continue };
        let ours = show(&class);
        let theirs = &shown[&file.path];
        if ours != *theirs {
            wrong.push(format!("{}: {theirs:#?}, not {ours:#?}", file.path));
        }
    }
    println!("{} of {} as recorded in {recording}", shown.len() - wrong.len(), shown.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_condition_is_read_otherwise_than_by_upstart() {
    compare_shown("show-config.txt", show_config);
}

#[test]
fn no_event_of_a_condition_is_read_otherwise_than_by_upstart() {
    compare_shown("show-config-e.txt", show_config_enumerated);
}
