//! The programs' own part: command lines and job files.

use std::process::Command;

#[test]
fn without_a_session_there_is_nothing_to_bridge_to() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_upstart-event-bridge")).env_remove("UPSTART_SESSION").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "upstart-event-bridge: UPSTART_SESSION isn't set in the environment. \
         Unable to locate the Upstart instance.\n"
    );
}

#[test]
fn an_unknown_option_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_upstart-event-bridge")).arg("--frobnicate").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"upstart-event-bridge: invalid option: --frobnicate\n"));
}
