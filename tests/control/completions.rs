//! The completions of shells: they parse, and offer what there is.

use std::collections::BTreeSet;
use std::process::Command;

use testkit::{Setup, World, source_root};

use crate::manuals::commands;
use crate::shell::{Shell, machine};

const BASH: &str = "/bin/bash";

#[test]
fn the_shells_take_them() {
    for (shell, file) in ["initctl", "initjournal", "init-history", "stayup-crashlab"]
        .into_iter()
        .flat_map(|name| [("bash", format!("{name}.bash")), ("zsh", format!("_{name}"))])
    {
        let path = source_root().join("completions").join(&file);
        // Where the shell is not there, there is nobody to be completed for.
        let Ok(output) = Command::new(shell).arg("-n").arg(&path).output() else { continue };
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What bash offers for the last word of a line, whose words are separated by blanks.
fn offered(world: &World, line: &str) -> BTreeSet<String> {
    offered_by("initctl", world, line)
}

/// By the completion of this name.
fn offered_by(file: &str, world: &World, line: &str) -> BTreeSet<String> {
    let words: Vec<_> = line.split(' ').collect();
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        ". /run/completions/{file}.bash\nCOMP_WORDS=({})\nCOMP_CWORD={}\n\
         complete=$(complete -p {name})\ncomplete=${{complete#*-F }}\n${{complete%% *}} {name}\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
        name = words[0]
    );
    let answer = world.run(BASH, &["--norc", "-c", &script]);
    assert_eq!((answer.status, answer.err.as_str()), (0, ""), "$ {line}");
    answer.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_what_there_is() {
    if !std::path::Path::new(BASH).exists() {
        return;
    }
    let completions = source_root().join("completions");
    let setup = Setup::new()
        .directory("/run/completions")
        .bind(completions.to_str().unwrap(), "/run/completions")
        .job("web", "start on (net-up and started many)\nemits web-ready\nexec sleep infinity\n")
        .job("many", "instance $N\nexec sleep infinity\n");
    let Some(world) = machine(setup) else { return };
    Shell::root(&world).expect(&[
        ("start many N=1", "many (1) start/running, process P"),
        ("start many N=2", "many (2) start/running, process P"),
    ]);
    let is = |line: &str, expected: &[&str]| {
        let expected: BTreeSet<_> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(offered(&world, line), expected, "$ {line}");
    };
    assert_eq!(offered(&world, "initctl "), commands().into_iter().collect());
    is("initctl re", &["restart", "reload", "reload-configuration", "reset-env"]);
    is("initctl start ", &["many", "web"]);
    is("initctl --quiet status w", &["web"]);
    is("initctl log m", &["many"]);
    is("initctl history --lines 5 ", &["many", "web"]);
    is("initctl start many ", &[]);
    is("initctl emit ", &["net-up", "started", "web-ready"]);
    is("initctl log-priority f", &["fatal"]);
    is("initctl get-env P", &["PATH"]);
    is("initctl --d", &["--dest="]);
    is("initctl emit --n", &["--no-wait"]);
    is(
        "initctl check-config -",
        &[
            "-i",
            "-q",
            "-v",
            "-w",
            "--dest=",
            "--help",
            "--ignore-events=",
            "--quiet",
            "--session",
            "--system",
            "--user",
            "--verbose",
            "--version",
            "--warn",
        ],
    );
    is("stop m", &["many"]);
    is("stop --no", &["--no-wait"]);
    is("telinit ", &["0", "1", "2", "3", "4", "5", "6", "S", "q", "u"]);
    is("telinit --u", &["--user"]);
    is("shutdown n", &["now"]);
    is("shutdown --", &["--help", "--version"]);
    let is = |line: &str, expected: &[&str]| {
        let expected: BTreeSet<_> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(offered_by("stayup-crashlab", &world, line), expected, "$ {line}");
    };
    is("stayup-crashlab ", &["sim", "live", "fuzz-journal"]);
    is("stayup-crashlab sim --s", &["--seed=", "--seeds="]);
    is("stayup-crashlab live --k", &["--kills="]);
    is("stayup-crashlab sim --k", &[]);
    is("stayup-crashlab fuzz-journal --", &["--help", "--version"]);
    is("stayup-crashlab fuzz-journal /run/init/w", &["/run/init/web.conf"]);
}
