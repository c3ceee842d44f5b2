//! What is done before pre-start: `tmpfiles`, and `apparmor` where the kernel has it.

use crate::rig::{await_log, await_printed, start, stop};
use std::path::Path;
use testkit::Setup;

#[test]
fn files_are_made_before_pre_start() {
    let setup = Setup::new()
        .file("/run/test/job.conf", "d /run/test/made 0755 - - -\nf /run/test/made/file 0644 - - - text\n")
        .file("/run/test/by-hand.conf", "d /run/test/by-hand 0755 - - -\n")
        .job("job", "tmpfiles /run/test/job.conf\npre-start exec cat /run/test/made/file\nexec sleep 600\n")
        .job("broken", "tmpfiles /run/test/nowhere.conf\nexec sleep 600\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    // Where the program is missing, or refuses the file, the log says so, and the job starts.
    start(&world, "broken");
    stop(&world, "broken");
    let program = ["/usr/bin", "/bin", "/usr/sbin"].map(|bin| format!("{bin}/systemd-tmpfiles"));
    let Some(program) = program.iter().find(|path| Path::new(path).exists()) else {
        await_printed(&world, "job: tmpfiles /run/test/nowhere.conf: there is no systemd-tmpfiles");
        return;
    };
    await_log(&world, "broken", "tmpfiles: systemd-tmpfiles failed with status ");
    // It distrusts directories that belong to nobody it knows, and in a user namespace / is one.
    let by_hand = world.run(program, &["--create", "/run/test/by-hand.conf"]);
    if by_hand.status == 0 {
        start(&world, "job");
        await_log(&world, "job", "text");
    } else {
        println!("skipped: files made by systemd-tmpfiles, which makes none here: {}", by_hand.err);
    }
}

#[test]
fn a_profile_without_apparmor_is_ignored() {
    if Path::new("/sys/kernel/security/apparmor").exists() {
        return;
    }
    let stanzas = "apparmor load /etc/apparmor.d/wibble\napparmor switch wibble\nexec sleep 600\n";
    let Some(world) = Setup::new().job("job", stanzas).start_or_skip() else { return };
    world.await_init();
    start(&world, "job");
    stop(&world, "job");
    assert!(!world.printed().contains("apparmor") && !world.printed().contains("security"), "{}", world.printed());
}
