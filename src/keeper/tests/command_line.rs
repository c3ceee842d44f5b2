//! The program's options, and how it is built.

use crate::world::{INIT, Start, World};
use std::process::Command;

crate::tests!(
    version_and_help,
    without_user_it_is_telinit,
    a_usage_error_ends_the_session,
    arguments_reach_the_manager_unchanged,
    no_shared_library_can_stop_it,
);

fn version_and_help() {
    let output = Command::new(INIT).arg("--version").output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("utf-8");
    assert_eq!(text, format!("init (stayup {}, upstart 1.13.2)\n", env!("CARGO_PKG_VERSION")));
    let output = Command::new(INIT).args(["--user", "--help"]).output().expect("runs");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("--confdir"));
}

fn without_user_it_is_telinit() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = std::env::temp_dir().join(format!("stayup-telinit-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("directory");
    let init = directory.join("init");
    std::fs::copy(INIT, &init).expect("copy");
    let output = Command::new(&init).arg("3").output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("telinit"));
    let telinit = directory.join("telinit");
    std::fs::write(&telinit, "#!/bin/sh\necho \"telinit $*\"\n").expect("script");
    std::fs::set_permissions(&telinit, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let output = Command::new(&init).args(["-t", "5", "3"]).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "telinit -t 5 3\n");
    std::fs::remove_dir_all(&directory).expect("removed");
}

fn a_usage_error_ends_the_session() {
    let mut world = World::new();
    let manager = world.manager();
    manager.exit(keeper::protocol::EXIT_USAGE);
    assert_eq!(world.ended(), Some(1));
    assert_eq!(world.printed(), "");
}

fn arguments_reach_the_manager_unchanged() {
    let arguments = ["--confdir", "/a b", "--debug", "-q"].map(str::to_owned).to_vec();
    let world = World::start(Start { arguments, ..Default::default() });
    let (manager, _) = world.ready();
    let text = std::fs::read(format!("/proc/{}/cmdline", manager.pid)).expect("cmdline");
    let words: Vec<_> = text.split(|&byte| byte == 0).skip(1).map(String::from_utf8_lossy).collect();
    assert_eq!(words, ["--user", "--confdir", "/a b", "--debug", "-q", ""]);
}

/// Reads the ELF program headers: no interpreter, nothing to load.
fn no_shared_library_can_stop_it() {
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    let file = std::fs::read(INIT).expect("the program");
    assert_eq!(&file[..5], b"\x7fELF\x02", "a 64-bit ELF file");
    let word = |at: usize| u16::from_le_bytes([file[at], file[at + 1]]) as usize;
    let table = u64::from_le_bytes(file[32..40].try_into().expect("8 bytes")) as usize;
    for index in 0..word(56) {
        let at = table + index * word(54);
        let kind = u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes"));
        assert!(kind != PT_INTERP && kind != PT_DYNAMIC, "init is linked dynamically");
    }
}
