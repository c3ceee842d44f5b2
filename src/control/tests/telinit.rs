//! telinit, as far as it can be run without a system init of our own.

use crate::support::{Stage, program, transcript};

#[test]
fn a_session_init_is_restarted() {
    let stage = Stage::new(|_| {});
    assert_eq!(stage.run("telinit", "--user u", &[]), "");
    assert_eq!(stage.run("telinit", "--user q", &[]), "");
    assert_eq!(stage.calls(), ["Restart()", "ReloadConfiguration()"]);
}

#[test]
fn an_init_that_hangs_up_on_restart_has_restarted() {
    let stage = Stage::new(|world| world.hangs_up_on = Some("Restart"));
    assert_eq!(stage.run("telinit", "--user u", &[]), "");
}

#[test]
fn what_is_no_runlevel_is_refused() {
    let hint = "! Try `telinit --help' for more information.\n[exit 1]\n";
    for (arguments, text) in [
        ("", "missing runlevel"),
        ("7", "illegal runlevel: 7"),
        ("--user 3", "illegal request of a session: 3"),
        ("-x 3", "invalid option: -x"),
    ] {
        assert_eq!(transcript(&program("telinit", arguments).output().unwrap()), format!("! telinit: {text}\n{hint}"));
    }
    assert_eq!(
        transcript(&program("telinit", "--user u").output().unwrap()),
        "! telinit: UPSTART_SESSION isn't set in the environment. Unable to locate the Upstart instance.\n[exit 1]\n"
    );
}
