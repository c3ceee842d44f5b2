//! What people and scripts get to see when they, or their files, are wrong.

use testkit::{Setup, until};

#[test]
fn a_broken_job_file_breaks_nothing_else() {
    let setup = Setup::new()
        .job("broken", "start on startup\nexecute /bin/true\n")
        .job("unfinished", "start on startup\nscript\n  true\n")
        .job("fine", "start on startup\nexec sleep infinity\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    until("the sound job runs", || world.initctl(&["status", "fine"]).out.starts_with("fine start/running"));
    let printed = world.printed();
    assert!(printed.contains("/run/init/broken.conf:2: Unknown stanza"), "{printed}");
    assert!(printed.contains("/run/init/unfinished.conf:4: Unterminated block"), "{printed}");
    let answer = world.initctl(&["start", "broken"]);
    assert_eq!((answer.status, answer.err.as_str()), (1, "initctl: Unknown job: broken"));
    // Once mended it is there.
    world.add_job("broken", "exec sleep infinity\n");
    assert_eq!(world.initctl(&["start", "broken"]).status, 0);
}

#[test]
fn a_job_whose_file_breaks_goes_on_as_it_was() {
    let Some(world) = Setup::new().job("fine", "start on startup\nexec sleep infinity\n").start_or_skip() else {
        return;
    };
    world.await_init();
    until("the job runs", || world.initctl(&["status", "fine"]).out.starts_with("fine start/running"));
    let before = world.initctl(&["status", "fine"]).out;
    world.add_job("fine", "exec sleep infinity\nlimit wibble 1 2\n");
    assert_eq!(world.initctl(&["status", "fine"]).out, before);
    assert_eq!(world.initctl(&["restart", "fine"]).status, 0);
    assert!(world.printed().contains("/run/init/fine.conf:2: "), "{}", world.printed());
}

#[test]
fn an_unknown_word_is_named_and_fails() {
    let Some(world) = Setup::new().start_or_skip() else { return };
    world.await_init();
    for (program, arguments, message) in [
        ("initctl", &["wibble"][..], "initctl: invalid command: wibble"),
        ("initctl", &["--wibble", "list"], "initctl: invalid option: --wibble"),
        ("telinit", &["9"], "telinit: illegal runlevel: 9"),
        ("telinit", &["--wibble"], "telinit: invalid option: --wibble"),
        ("init", &["--user", "--wibble"], "init: invalid option: --wibble"),
    ] {
        let answer = world.run(program, arguments);
        assert_eq!(answer.status, 1, "{program} {arguments:?}: {answer:?}");
        assert_eq!(answer.err.lines().next(), Some(message), "{program} {arguments:?}");
    }
    // Started by hand without --user, init is telinit.
    let answer = world.run("init", &["9"]);
    assert_eq!((answer.status, answer.err.lines().next()), (1, Some("telinit: illegal runlevel: 9")));
}
