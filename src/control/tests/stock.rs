//! The stock jobs of the system: whether init takes them, and whether they can come to be at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use machine::class::{self, Class};
use machine::condition::Node;
use machine::parse;

use crate::support::transcript;

/// What init itself emits (upstart-events(7)), and what other programs do: telinit, and a script that mounts file systems.
const EVENTS: [&str; 4] = ["startup", "control-alt-delete", "runlevel", "session-end"];
/// What a job emits for itself and for others, without a word to init.
const OF_JOBS: [&str; 4] = ["starting", "started", "stopping", "stopped"];

fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf")
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "conf")).collect()
}

fn files() -> Vec<PathBuf> {
    let files = files_in(&conf());
    assert!(files.len() > 20, "{files:?}");
    files
}

fn jobs() -> Vec<Class> {
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        parse::parse_class(name, &fs::read(path).unwrap()).unwrap()
    };
    files().iter().map(read).collect()
}

#[test]
fn init_takes_every_stock_job_and_the_shell_every_script() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_init-checkconf"));
    let of_sessions = files_in(&conf().join("sessions"));
    assert!(of_sessions.len() >= 3, "{of_sessions:?}");
    let said = transcript(&command.args(files()).args(of_sessions).output().unwrap());
    assert!(said.lines().all(|line| line.ends_with(": syntax ok")), "{said}");
    for entry in fs::read_dir(conf().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let said = transcript(&Command::new("/bin/sh").arg("-n").arg(&path).output().unwrap());
        assert_eq!(said, "", "{}", path.display());
    }
}

#[test]
fn no_stock_job_waits_for_what_never_happens() {
    let jobs = jobs();
    let names: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let emitted: BTreeSet<&str> = jobs.iter().flat_map(|job| job.emits.iter().map(String::as_str)).collect();
    for job in &jobs {
        for condition in [&job.start_on, &job.stop_on].into_iter().flatten() {
            for node in &condition.nodes {
                let Node::Event(event) = node else { continue };
                let name = event.event.as_str();
                if OF_JOBS.contains(&name) {
                    let other = event.matches.first().map(|value| value.value.as_str());
                    assert!(other.is_some_and(|other| names.contains(other)), "{}: {name} {other:?}", job.name);
                } else {
                    assert!(EVENTS.contains(&name) || emitted.contains(name), "{}: {name}", job.name);
                }
            }
        }
    }
}

#[test]
fn every_stock_job_says_what_it_is_when_it_starts_and_when_it_ends() {
    for job in jobs() {
        assert!(job.description.is_some(), "{}", job.name);
        let is_started_by_programs = job.instance.contains('$');
        assert!(job.start_on.is_some() || is_started_by_programs, "{} never starts", job.name);
        // A service that no shutdown stops would be killed with its files open.
        assert!(job.task || job.stop_on.is_some(), "{} never stops", job.name);
    }
}

#[test]
fn stock_jobs_execute_scripts_that_are_there() {
    let programs = ["init", "telinit", "shutdown", "reboot", "runlevel", "halt", "poweroff"];
    for job in jobs() {
        for command in [&job.main, &job.pre_start, &job.post_start, &job.pre_stop, &job.post_stop].into_iter().flatten()
        {
            let (class::Command::Exec(text) | class::Command::Script(text)) = command;
            for word in text.split_whitespace().filter_map(|word| word.strip_prefix("/usr/lib/stayup/")) {
                let script = conf().join("scripts").join(word);
                assert!(script.is_file() || programs.contains(&word), "{}: {word}", job.name);
            }
        }
    }
}
