//! The manual pages against the programs: what `--help` names is described, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::{programs, source_root};

/// Programs that say with `--help` what they take.
const PROGRAMS: [&str; 10] = [
    "init",
    "telinit",
    "runlevel",
    "shutdown",
    "reboot",
    "init-checkconf",
    "upstart-event-bridge",
    "upstart-file-bridge",
    "stayup-crashlab",
    "initctl",
];

/// Pages that are another one's.
const LINKS: [(&str, &str); 7] = [
    ("start", "initctl"),
    ("stop", "initctl"),
    ("restart", "initctl"),
    ("reload", "initctl"),
    ("status", "initctl"),
    ("halt", "reboot"),
    ("poweroff", "reboot"),
];

fn path(page: &str) -> PathBuf {
    source_root().join("docs/man").join(page)
}

fn page(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn help(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(programs().join(program)).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?} --help");
    String::from_utf8(output.stdout).unwrap()
}

/// The options in the lines of a help text that begin with one, as `-q` and `--quiet`.
fn options_of(help: &str) -> BTreeSet<String> {
    let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let words = lines.flat_map(|line| line.split_whitespace().take_while(|word| word.starts_with('-')));
    words.map(|word| word.trim_end_matches(',').split('=').next().unwrap().to_owned()).collect()
}

/// The options that lines of a page name: `Fl q` and `Fl Fl quiet` of mdoc(7).
fn flags<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in lines {
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            if word.trim_start_matches('.') == "Fl" {
                match words.next() {
                    Some("Fl") => found.extend(words.next().map(|name| format!("--{name}"))),
                    Some(name) => drop(found.insert(format!("-{name}"))),
                    None => {}
                }
            }
        }
    }
    found
}

#[test]
fn every_option_is_described_and_every_description_true() {
    for program in PROGRAMS {
        let text = page(&format!("{program}.8"));
        let mut known = options_of(&help(program, &[]));
        assert!(known.contains("--help") && known.contains("--version"), "{program}: {known:?}");
        if program == "initctl" {
            for command in commands() {
                known.extend(options_of(&help(program, &[&command])));
            }
        }
        let described = flags(text.lines());
        let missing: Vec<_> = known.difference(&described).collect();
        assert!(missing.is_empty(), "{program}.8 lacks {missing:?}");
        let items = flags(text.lines().filter(|line| line.starts_with(".It Fl")));
        let invented: Vec<_> = items.difference(&known).collect();
        assert!(invented.is_empty(), "{program}.8 has {invented:?}, which --help has not");
    }
}

/// The commands of initctl, as its help lists them.
pub(crate) fn commands() -> Vec<String> {
    commands_of("initctl")
}

fn commands_of(program: &str) -> Vec<String> {
    let text = help(program, &[]);
    let lines = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_command_is_described() {
    let text = page("initctl.8");
    let described: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm ").or_else(|| line.strip_prefix(".Cm ")))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        assert!(described.contains(command.as_str()), "initctl.8 lacks {command}");
    }
}

#[test]
fn the_tools_of_the_past_are_described_to_the_last_option() {
    for program in ["initjournal", "init-history"] {
        let text = page(&format!("{program}.8"));
        let mut known = options_of(&help(program, &[]));
        for command in commands_of(program) {
            assert!(text.contains(&format!("Cm {command}")), "{program}.8 lacks {command}");
            known.extend(options_of(&help(program, &[&command])));
        }
        assert_eq!(flags(text.lines()), known, "{program}.8");
    }
}

#[test]
fn the_pages_are_sound() {
    for (name, target) in LINKS {
        assert_eq!(page(&format!("{name}.8")), format!(".so man8/{target}.8\n"));
    }
    let links: Vec<_> = LINKS.iter().map(|(name, _)| format!("{name}.8")).collect();
    for entry in fs::read_dir(path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if links.contains(&name) {
            continue;
        }
        let text = page(&name);
        let (title, section) = name.rsplit_once('.').unwrap();
        assert!(text.contains(&format!("\n.Dt {} {section}\n", title.to_uppercase())), "{name}");
        for reference in text.lines().filter_map(|line| line.strip_prefix(".Xr ")) {
            let mut words = reference.split_whitespace();
            let (other, section) = (words.next().unwrap(), words.next().unwrap());
            let is_ours = ["init", "stayup", "upstart"].iter().any(|ours| other.starts_with(ours));
            assert!(!is_ours || path(&format!("{other}.{section}")).exists(), "{name} refers to {reference}");
        }
        // Where there is mandoc, it is to have no complaint.
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(path(&name)).output();
        if let Ok(lint) = lint {
            assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
        }
    }
}
