//! `expect notify`: READY=1 counts, whoever of the job says it and whenever; nobody else's does.
//!
//! The program that says it is this test itself, started by a job.

use crate::rig::{await_printed, await_status, is_root, kill_manager, stop};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use testkit::Setup;

/// Not a test: what a job is to say, in its environment.
#[test]
fn say_it() {
    let (Ok(text), Ok(address)) = (std::env::var("STAYUP_SAY"), std::env::var("NOTIFY_SOCKET")) else { return };
    let socket = UnixDatagram::unbound().unwrap();
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).unwrap(),
        None => SocketAddr::from_pathname(&address).unwrap(),
    };
    socket.send_to_addr(text.replace("\\n", "\n").as_bytes(), &address).unwrap();
    if std::env::var_os("STAYUP_STAY").is_some() {
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
}

/// The command that says something.
fn saying(text: &str) -> String {
    let own = std::env::current_exe().unwrap();
    format!("env STAYUP_SAY='{text}' {} --exact notify::say_it", own.display())
}

#[test]
fn a_job_is_ready_when_it_says_so() {
    let wait = "while [ ! -e /run/test/go ]; do sleep 0.02; done";
    let setup = Setup::new()
        .argument("-v")
        .job("main", &format!("expect notify\nenv STAYUP_STAY=1\nexec {}\n", saying("STATUS=up and well\\nREADY=1")))
        .job("child", &format!("expect notify\nscript\n{wait}\n{}\nsleep 600\nend script\n", saying("READY=1")))
        .job(
            "away",
            &format!("expect notify\nscript\n{wait}\nsetsid -f {}\nsleep 600\nend script\n", saying("READY=1")),
        )
        .job(
            "other",
            &format!("expect notify\nscript\n{}\nsleep 600\nend script\n", saying("READY=0\\nFOO=1\\nWATCHDOG=1")),
        );
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    assert_eq!(world.initctl(&["start", "--no-wait", "main"]).status, 0);
    await_status(&world, "main", "start/running, process ");
    await_printed(&world, "main says: up and well");
    let mut child = world.begin("initctl", &["start", "child"]);
    await_status(&world, "child", "start/spawned, process ");
    assert!(child.try_wait().unwrap().is_none());
    world.write("/run/test/go", "");
    assert!(child.wait_with_output().unwrap().status.success());
    await_status(&world, "child", "start/running, process ");
    // One that is gone when its word is heard, and was in a session of its own.
    assert_eq!(world.initctl(&["start", "--no-wait", "away"]).status, 0);
    await_status(&world, "away", "start/running, process ");
    assert_eq!(world.initctl(&["start", "--no-wait", "other"]).status, 0);
    await_status(&world, "other", "start/spawned, process ");
    for job in ["main", "child", "away", "other"] {
        stop(&world, job);
    }
}

/// The word is spoken while there is no manager, or one that is about to die.
#[test]
fn a_word_is_not_lost_with_a_manager() {
    let wait = "while [ ! -e /run/test/$UPSTART_JOB ]; do sleep 0.01; done";
    let mut setup = Setup::new();
    for job in ["a", "b", "c"] {
        setup =
            setup.job(job, &format!("expect notify\nscript\n{wait}\n{}\nsleep 600\nend script\n", saying("READY=1")));
    }
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    for job in ["a", "b", "c"] {
        let client = world.begin("initctl", &["start", job]);
        await_status(&world, job, "start/spawned, process ");
        world.write(&format!("/run/test/{job}"), "");
        kill_manager(&world);
        kill_manager(&world);
        assert!(client.wait_with_output().unwrap().status.success());
        await_status(&world, job, "start/running, process ");
    }
}

#[test]
fn a_stranger_says_nothing_and_nonsense_is_ignored() {
    if !is_root() {
        return;
    }
    let Some(world) = Setup::new().job("job", "expect notify\nexec sleep 600\n").start_or_skip() else { return };
    world.await_init();
    assert_eq!(world.initctl(&["start", "--no-wait", "job"]).status, 0);
    await_status(&world, "job", "start/spawned, process ");
    let own = std::env::current_exe().unwrap();
    let say = |text: &str| {
        let mut command = world.user_command(own.to_str().unwrap());
        command.args(["--exact", "notify::say_it"]).env("STAYUP_SAY", text);
        command.env("NOTIFY_SOCKET", "/run/stayup/notify").output().unwrap()
    };
    for text in ["READY=1", "", "READY=1\\nREADY=1", &"x".repeat(20_000), "\u{1}\u{2}=\\n\\n=\\n"] {
        let said = say(text);
        assert!(said.status.success(), "{said:?}");
    }
    // Words are heard before calls that come after them.
    world.await_init();
    await_status(&world, "job", "start/spawned, process ");
    stop(&world, "job");
}

/// A chroot hides the path of the socket; its other name is not hidden.
#[test]
fn a_job_in_a_chroot_is_heard() {
    if !is_root() {
        return;
    }
    let job = format!("expect notify\nchroot /run/jail\nscript\n{}\nsleep 600\nend script\n", saying("READY=1"));
    let setup = Setup::new().directory("/run/jail").bind("/", "/run/jail").job("job", &job);
    let own = std::env::current_exe().unwrap();
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    if !world.path("/run/jail").join(own.strip_prefix("/").unwrap()).exists() {
        return;
    }
    assert_eq!(world.initctl(&["start", "--no-wait", "job"]).status, 0);
    await_status(&world, "job", "start/running, process ");
    stop(&world, "job");
}
