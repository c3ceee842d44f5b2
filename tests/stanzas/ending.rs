//! How jobs are told things by signals, and how they end.

use crate::rig::{await_log, await_printed, await_status, process, start, stop};
use nix::sys::signal::Signal;
use testkit::{Setup, until};

/// A shell that notes the signals it gets.
fn noting(signals: &str) -> String {
    let traps: String = signals.split(' ').map(|name| format!("trap 'echo {name}' {name}\n")).collect();
    format!("script\n{traps}echo ready\nwhile :; do read line <> /run/test/never || :; done\nend script\n")
}

#[test]
fn jobs_are_stopped_by_their_signal_or_in_the_end_by_kill() {
    let setup = Setup::new()
        .job("int", "kill signal INT\nscript\ntrap 'echo INT; exit 0' INT\necho ready\nwhile :; do sleep 0.05; done\nend script\n")
        .job("deaf", "kill timeout 1\nscript\ntrap '' TERM\necho ready\nwhile :; do sleep 0.05; done\nend script\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    start(&world, "int");
    await_log(&world, "int", "ready");
    stop(&world, "int");
    await_log(&world, "int", "INT\n");
    start(&world, "deaf");
    await_log(&world, "deaf", "ready");
    let begin = std::time::Instant::now();
    stop(&world, "deaf");
    assert!(begin.elapsed() >= std::time::Duration::from_millis(900), "killed too soon");
    await_printed(&world, "killed by KILL signal");
}

#[test]
fn reload_sends_what_it_says_or_nothing() {
    let setup = Setup::new()
        .job("default", &noting("HUP USR1"))
        .job("other", &format!("reload signal USR1\n{}", noting("HUP USR1")))
        .job("nothing", "reload signal 0\nexec sleep 600\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    assert_eq!(world.run("/usr/bin/mkfifo", &["/run/test/never"]).status, 0);
    for (job, signal) in [("default", "HUP\n"), ("other", "USR1\n")] {
        start(&world, job);
        await_log(&world, job, "ready");
        assert_eq!(world.initctl(&["reload", job]).status, 0);
        await_log(&world, job, signal);
    }
    // sleep would die of any signal.
    start(&world, "nothing");
    let before = process(&world, "nothing");
    let answer = world.initctl(&["reload", "nothing"]);
    assert_eq!((answer.status, answer.out.as_str()), (0, ""), "{answer:?}");
    // One more turn of everything, so that the end of it would have been seen.
    assert_eq!(world.initctl(&["reload", "nothing"]).status, 0);
    assert_eq!(process(&world, "nothing").outside, before.outside);
    stop(&world, "nothing");
}

#[test]
fn normal_ends_are_no_failures_and_not_respawned() {
    let tell = "exec sh -c 'echo $RESULT $EXIT_STATUS$EXIT_SIGNAL > /run/test/$JOB'\n";
    let setup = Setup::new()
        .job("status", "respawn\nnormal exit 3 TERM\nexec sh -c 'exit 3'\n")
        .job("signal", "respawn\nnormal exit 3 TERM\nexec sleep 600\n")
        .job("failure", "normal exit 3\nexec sh -c 'exit 4'\n")
        .job(
            "watch",
            &format!(
                "start on stopped JOB=status or stopped JOB=signal or stopped JOB=failure\ntask\ninstance $JOB\n{tell}"
            ),
        );
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    let _ = world.initctl(&["start", "status"]);
    let _ = world.initctl(&["start", "failure"]);
    start(&world, "signal");
    world.signal(process(&world, "signal").outside, Signal::SIGTERM);
    for (job, wanted) in [("status", "ok\n"), ("signal", "ok\n"), ("failure", "failed 4\n")] {
        until(&format!("{job} ends {wanted}"), || world.read(&format!("/run/test/{job}")) == wanted);
        await_status(&world, job, "stop/waiting");
    }
    assert!(!world.printed().contains("respawning"), "{}", world.printed());
}
