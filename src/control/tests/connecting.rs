//! Reaching an init, or not.

use crate::support::{Stage, job, program, transcript};

#[test]
fn an_absent_init_is_an_error_at_once() {
    let mut command = program("initctl", "list");
    command.env("UPSTART_SESSION", "unix:path=/nonexistent/socket");
    assert_eq!(
        transcript(&command.output().unwrap()),
        "! initctl: Unable to connect to Upstart: Failed to connect to socket /nonexistent/socket: \
         No such file or directory\n[exit 1]\n"
    );
    let mut command = program("initctl", "--system list");
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    assert_eq!(
        transcript(&command.output().unwrap()),
        "! initctl: Unable to connect to system bus: Failed to connect to socket /nonexistent/bus: \
         No such file or directory\n[exit 1]\n"
    );
}

#[test]
fn without_a_session_user_has_nobody_to_talk_to() {
    assert_eq!(
        transcript(&program("initctl", "--user list").output().unwrap()),
        "! initctl: UPSTART_SESSION isn't set in the environment. Unable to locate the Upstart instance.\n[exit 1]\n"
    );
}

#[test]
fn a_lost_connection_is_told() {
    let stage = Stage::new(|world| {
        world.jobs.insert("job".to_owned(), job());
        world.hangs_up_on = Some("Start");
    });
    assert_eq!(
        stage.initctl("start job"),
        "! initctl: Connection was disconnected before a reply was received\n[exit 1]\n"
    );
}

#[test]
fn a_handshake_that_is_cut_short_is_tried_again() {
    let stage = Stage::new(|world| world.cuts_short = 3);
    assert_eq!(stage.initctl("version"), "init (upstart 1.13.2)\n");
    assert_eq!(stage.init.world().cuts_short, 0);
}
