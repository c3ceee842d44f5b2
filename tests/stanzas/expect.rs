//! `expect`: right ones are followed, wrong ones never wedge a job.

use crate::rig::{await_printed, await_status, kill_manager, process, start, status, stop};
use nix::sys::signal::Signal;
use testkit::{Setup, World, until};

/// So many forks, each in a session of its own as daemons have it; the last child notes its pid.
fn forks(count: usize) -> String {
    let last = "sh -c 'echo $$ > /run/test/$UPSTART_JOB; exec sleep 600'";
    match count {
        0 => format!("exec {last}\n"),
        1 => format!("script\n{last} &\nend script\n"),
        _ => format!("script\nsetsid sh -c \"{} &\" &\nend script\n", last.replace('$', "\\$")),
    }
}

/// The pid that the last child has noted.
fn last_child(world: &World, job: &str) -> i32 {
    let path = format!("/run/test/{job}");
    testkit::wait_for("the last child", || world.read(&path).trim().parse().ok())
}

#[test]
fn a_right_expectation_is_followed() {
    let setup = Setup::new()
        .job("fork", &format!("expect fork\n{}", forks(1)))
        .job("daemon", &format!("expect daemon\n{}", forks(2)))
        .job("stop", "expect stop\nexec sh -c 'kill -STOP $$; exec sleep 600'\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    for job in ["fork", "daemon"] {
        start(&world, job);
        assert_eq!(process(&world, job).inside, last_child(&world, job), "{job}");
    }
    start(&world, "stop");
    until("it was told to go on", || process(&world, "stop").name == "sleep");
    kill_manager(&world);
    for job in ["fork", "daemon", "stop"] {
        let process = process(&world, job);
        stop(&world, job);
        until("its process is gone", || world.process(process.inside).is_none());
    }
}

#[test]
fn a_process_that_never_forks_can_be_stopped() {
    let wrong = [("fork", "forked"), ("daemon", "forked"), ("stop", "stopped itself"), ("notify", "said READY=1")];
    let mut setup = Setup::new();
    for (expect, _) in wrong {
        setup = setup.job(expect, &format!("expect {expect}\nexec sleep 600\n"));
    }
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    let clients = wrong.map(|(job, _)| world.begin("initctl", &["start", job]));
    for (job, _) in wrong {
        await_status(&world, job, "start/spawned, process ");
    }
    // The log says what is missing, and nothing has changed.
    for (job, deed) in wrong {
        await_printed(&world, &format!("has not {deed} yet, as `expect {job}' says; still waiting"));
        await_status(&world, job, "start/spawned, process ");
        stop(&world, job);
    }
    for client in clients {
        let answer = client.wait_with_output().unwrap();
        assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    }
    for (job, _) in wrong {
        assert_eq!(world.initctl(&["start", "--no-wait", job]).status, 0);
        stop(&world, job);
    }
}

#[test]
fn a_daemon_that_forks_once_is_settled_for() {
    let Some(world) = Setup::new().job("job", &format!("expect daemon\n{}", forks(1))).start_or_skip() else { return };
    world.await_init();
    start(&world, "job");
    let pid = last_child(&world, "job");
    await_printed(&world, "forked once, not twice as `expect daemon' says; following process");
    assert_eq!(process(&world, "job").inside, pid);
    // The keeper must not follow it any further, and a manager that comes back must not think that it does.
    kill_manager(&world);
    assert_eq!(status(&world, "job"), format!("job start/running, process {pid}"));
    world.signal(process(&world, "job").outside, Signal::SIGKILL);
    await_status(&world, "job", "stop/waiting");
    start(&world, "job");
    stop(&world, "job");
}

#[test]
fn a_daemon_that_forks_more_than_is_said_does_not_wedge() {
    let setup = Setup::new()
        .job("fork", &format!("expect fork\n{}", forks(2)))
        .job("none", &forks(1))
        .job("stop", "expect stop\nexec sh -c 'exit 3'\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    for job in ["fork", "none", "stop"] {
        // Which of its processes it has, if any, is not ours to say; that it can be asked for and stopped is.
        let _ = world.initctl(&["start", job]);
        assert!(status(&world, job).starts_with(job));
        let _ = world.initctl(&["stop", job]);
        await_status(&world, job, "stop/waiting");
    }
}

#[test]
fn debug_stops_before_the_program_and_can_be_stopped() {
    let setup = Setup::new()
        .job("plain", "debug\nexec sleep 600\n")
        .job("stop", "debug\nexpect stop\nexec sh -c 'kill -STOP $$; exec sleep 600'\n")
        .job("left", "debug\nkill timeout 1\nexec sleep 600\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    let is_stopped = |job: &str| until("the process has stopped", || process(&world, job).state == 'T');
    start(&world, "plain");
    is_stopped("plain");
    await_printed(&world, "has stopped before its program, as `debug' says; send it SIGCONT");
    assert_ne!(process(&world, "plain").name, "sleep");
    world.signal(process(&world, "plain").outside, Signal::SIGCONT);
    until("the program runs", || process(&world, "plain").name == "sleep");
    stop(&world, "plain");

    // Its own stop is another one than ours.
    let client = world.begin("initctl", &["start", "stop"]);
    await_status(&world, "stop", "start/spawned, process ");
    is_stopped("stop");
    kill_manager(&world);
    await_status(&world, "stop", "start/spawned, process ");
    world.signal(process(&world, "stop").outside, Signal::SIGCONT);
    assert!(client.wait_with_output().unwrap().status.success());
    await_status(&world, "stop", "start/running, process ");
    stop(&world, "stop");

    start(&world, "left");
    is_stopped("left");
    stop(&world, "left");
}
