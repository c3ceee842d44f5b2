//! init-checkconf: what it says of sound and of broken job files.

use std::fs;
use std::process::Command;

use crate::fake_init::Place;
use crate::support::transcript;

/// What the program says of these files, the first of which are written to a directory of their own.
fn check(files: &[(&str, &str)], arguments: &str) -> String {
    let place = Place::new();
    for (name, content) in files {
        fs::write(place.path(name), content).unwrap();
    }
    let directory = place.path("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_init-checkconf"));
    command.args(arguments.split_whitespace()).current_dir(&directory);
    transcript(&command.output().unwrap())
}

#[test]
fn a_sound_file_is_told_in_one_line() {
    assert_eq!(check(&[("a.conf", "exec true\n")], "a.conf"), "File a.conf: syntax ok\n");
    let options = "-d -x /sbin/init --initctl-path=/sbin/initctl -f a.conf";
    assert_eq!(check(&[("a.conf", "exec true\n")], options), "File a.conf: syntax ok\n");
}

#[test]
fn a_broken_file_is_shown_with_its_culprit() {
    let files = [("good.conf", "task\n"), ("bad.conf", "task\nwibble on startup\n")];
    assert_eq!(
        check(&files, "good.conf bad.conf"),
        "File good.conf: syntax ok\n\
         ! ERROR: File bad.conf: syntax invalid: line 2: Unknown stanza\n\
         ! error: Unknown stanza\n!  --> bad.conf:2:1\n!   |\n! 2 | wibble on startup\n!   | ^^^^^^ expected a stanza\n\
         [exit 1]\n"
    );
}

#[test]
fn an_override_is_read_on_top_of_its_file_and_blamed_for_its_own_faults() {
    let broken = [("a.conf", "exec true\n"), ("a.override", "respawn limit many\n")];
    let complaint = "! ERROR: File a.override: syntax invalid: line 1: Illegal limit";
    assert!(check(&broken, "a.conf").starts_with(complaint), "{}", check(&broken, "a.conf"));
    assert!(check(&broken, "a.override").starts_with(complaint));
    let sound = [("a.conf", "exec true\n"), ("a.override", "manual\n")];
    assert_eq!(check(&sound, "a.conf a.override"), "File a.conf: syntax ok\nFile a.override: syntax ok\n");
    assert_eq!(check(&[("b.override", "manual\n")], "b.override"), "File b.override: syntax ok\n");
}

#[test]
fn a_script_that_no_shell_takes_is_broken_on_its_own_line() {
    let file = "task\npre-start exec true\nscript\n  if true; then\n    echo \u{e9}\nend script\n";
    let text = check(&[("a.conf", file)], "a.conf");
    assert!(text.starts_with("! ERROR: File a.conf: syntax invalid: script of main\n"), "{text}");
    assert!(text.contains('6') && text.ends_with("[exit 1]\n"), "{text}");
    assert_eq!(check(&[("a.conf", file)], "--noscript a.conf"), "File a.conf: syntax ok\n");
    // Three lines before a long script that is refused at its beginning: the shell does not read it all.
    let long = format!("script\n)\n{}end script\n", "true\n".repeat(100_000));
    assert!(check(&[("a.conf", &long)], "a.conf").ends_with("[exit 1]\n"));
}

#[test]
fn what_cannot_be_read_is_named() {
    assert_eq!(check(&[], "gone.conf"), "! ERROR: File gone.conf: No such file or directory\n[exit 1]\n");
    let hint = "! Try `init-checkconf --help' for more information.\n[exit 1]\n";
    assert_eq!(check(&[], ""), format!("! init-checkconf: missing file\n{hint}"));
    assert_eq!(check(&[], "--wibble"), format!("! init-checkconf: invalid option: --wibble\n{hint}"));
    assert!(check(&[], "-h").starts_with("Usage: init-checkconf "));
}
