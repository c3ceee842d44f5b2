//! `cgroup`: groups where they can be had, and jobs that run all the same where not.

use crate::rig::{await_printed, is_root, kill_manager, proc, start, stop};
use std::path::{Path, PathBuf};
use testkit::{Setup, World, until};

/// The mount of cgroup v2, if there is one that this test may write.
fn mount() -> Option<PathBuf> {
    let found = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let found = found.into_iter().find(|path| path.join("cgroup.controllers").exists())?;
    let probe = found.join(format!("stayup-probe-{}", std::process::id()));
    std::fs::create_dir(&probe).ok()?;
    std::fs::remove_dir(&probe).ok()?;
    Some(found.to_owned())
}

/// The job's group on cgroup v2, as its process sees it.
fn group(world: &World, job: &str) -> String {
    let text = proc(world, job, "cgroup");
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
}

#[test]
fn a_job_has_a_group_for_as_long_as_it_lives() {
    let Some(mount) = mount().filter(|_| is_root()) else { return };
    // All machines of these tests are in one group, so names must tell them apart.
    let own = format!("stayup-test-{}", std::process::id());
    let (plain, named, wanting) = (format!("{own}-plain"), format!("{own}-named"), format!("{own}-wanting"));
    let setup = Setup::new()
        .job(&plain, "cgroup freezer\nexec sleep 600\n")
        .job(&named, "cgroup freezer $UPSTART_CGROUP/deep\nenv X=1\nexec sleep 600\n")
        .job(&wanting, "cgroup devices\ncgroup wibble $UPSTART_CGROUP max 100\nexec sleep 600\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    let cases = [(&plain, plain.clone()), (&named, format!("{named}/deep")), (&wanting, wanting.clone())];
    for (job, path) in &cases {
        start(&world, job);
        assert!(group(&world, job).ends_with(&format!("/upstart/{path}")), "{}", group(&world, job));
    }
    await_printed(&world, &format!("{wanting}: cgroup devices: there is no such controller on cgroup v2"));
    await_printed(&world, &format!("{wanting}: cgroup wibble: cannot be enabled in"));
    await_printed(
        &world,
        &format!("{wanting}: cgroup setting wibble.max = 100: there is no such file; going on without"),
    );
    // The one that makes a group may not be the one that removes it.
    kill_manager(&world);
    for (job, _) in &cases {
        let directory = mount.join(group(&world, job).trim_start_matches('/'));
        assert!(directory.is_dir(), "{}", directory.display());
        stop(&world, job);
        until("the group is gone", || !directory.exists());
        until("and what was above it", || !mount.join("upstart").join(job).exists());
    }
}

#[test]
fn without_groups_jobs_run_all_the_same() {
    let own = format!("stayup-test-none-{}", std::process::id());
    let setup =
        Setup::new().argument("--no-cgroups").job(&own, "cgroup memory limit_in_bytes 52428800\nexec sleep 600\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    start(&world, &own);
    assert!(!group(&world, &own).contains(&own));
    stop(&world, &own);
    assert!(!world.printed().contains("cgroup"), "{}", world.printed());
}

/// A group whose name leads out of our own, or that cannot be.
#[test]
fn a_name_that_cannot_be_does_not_keep_a_job_from_running() {
    let own = format!("stayup-test-odd-{}", std::process::id());
    let (out, unknown) = (format!("{own}-out"), format!("{own}-unknown"));
    let setup = Setup::new()
        .job(&out, "cgroup freezer ../../escape\nexec sleep 600\n")
        .job(&unknown, "cgroup freezer $WIBBLE\nexec sleep 600\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    for job in [&out, &unknown] {
        start(&world, job);
        assert!(!group(&world, job).contains("escape"));
        stop(&world, job);
    }
}
