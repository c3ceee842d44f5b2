//! What a process is given: limits, priorities, masks, directories, users, consoles.

use crate::rig::{await_log, await_printed, is_root, proc, process, start, status, stop};
use testkit::{Setup, until};

/// Resources as job files and as /proc/PID/limits call them, with values below any usual hard limit.
const LIMITS: [(&str, &str, &str); 14] = [
    ("as", "Max address space", "8000000000 9000000000"),
    ("core", "Max core file size", "0 0"),
    ("cpu", "Max cpu time", "1000 2000"),
    ("data", "Max data size", "8000000000 9000000000"),
    ("fsize", "Max file size", "1000000 2000000"),
    ("memlock", "Max locked memory", "4096 8192"),
    ("msgqueue", "Max msgqueue size", "1000 2000"),
    ("nice", "Max nice priority", "0 0"),
    ("nofile", "Max open files", "100 200"),
    ("nproc", "Max processes", "900 1000"),
    ("rss", "Max resident set", "1000000 2000000"),
    ("rtprio", "Max realtime priority", "0 0"),
    ("sigpending", "Max pending signals", "100 200"),
    ("stack", "Max stack size", "1048576 2097152"),
];

/// Soft and hard limit in a text of /proc/PID/limits.
fn limit<'a>(text: &'a str, name: &str) -> [&'a str; 2] {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let mut words = line[name.len()..].split_whitespace();
    [words.next().unwrap(), words.next().unwrap()]
}

#[test]
fn every_resource_is_limited() {
    let stanzas: String = LIMITS.iter().map(|(name, _, values)| format!("limit {name} {values}\n")).collect();
    let unlimited = "limit cpu 5 6\nlimit cpu unlimited unlimited\nlimit fsize -1 -1\nexec sleep 600\n";
    let setup = Setup::new().job("limits", &format!("{stanzas}exec sleep 600\n")).job("unlimited", unlimited);
    let Some(world) = setup.job("nice", "limit nice 30 40\nexec sleep 600\n").start_or_skip() else { return };
    world.await_init();
    start(&world, "limits");
    let text = proc(&world, "limits", "limits");
    for (name, title, values) in LIMITS {
        assert_eq!(limit(&text, title).join(" "), values, "{name}");
    }
    start(&world, "unlimited");
    let text = proc(&world, "unlimited", "limits");
    for title in ["Max cpu time", "Max file size"] {
        assert_eq!(limit(&text, title), ["unlimited"; 2], "{title}");
    }
    // To raise a limit is a privilege. Without it the job fails, and the log says why.
    if world.initctl(&["start", "nice"]).status == 0 {
        assert_eq!(limit(&proc(&world, "nice", "limits"), "Max nice priority"), ["30", "40"]);
    } else {
        await_printed(
            &world,
            "Failed to spawn nice main process: unable to set \"nice\" resource limit: Operation not permitted",
        );
    }
}

#[test]
fn niceness_mask_and_oom_score_are_set() {
    let setup = Setup::new()
        .job("all", "nice 5\numask 027\noom score 300\nexec sleep 600\n")
        .job("old", "oom 15\nexec sleep 600\n")
        .job("never", "oom score never\nexec sleep 600\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    start(&world, "all");
    assert_eq!(proc(&world, "all", "oom_score_adj").trim(), "300");
    assert!(proc(&world, "all", "status").contains("\nUmask:\t0027\n"));
    // Field 19 of proc_pid_stat(5), behind the name in parentheses.
    let stat = proc(&world, "all", "stat");
    assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(16), Some("5"), "{stat}");
    start(&world, "old");
    assert_eq!(proc(&world, "old", "oom_score_adj").trim(), "1000");
    // To lower it is a privilege that containers and sessions do not have.
    let answer = world.initctl(&["start", "never"]);
    if answer.status == 0 {
        assert_eq!(proc(&world, "never", "oom_score_adj").trim(), "-1000");
    } else {
        assert_eq!(answer.err, "initctl: Job failed to start");
        await_printed(&world, "Failed to spawn never main process: unable to set oom adjustment: Permission denied (");
        assert_eq!(status(&world, "never"), "never stop/waiting");
    }
}

#[test]
fn directories_are_those_of_the_chroot() {
    if !is_root() {
        return;
    }
    let setup = Setup::new()
        .directory("/run/jail")
        .bind("/", "/run/jail")
        .job("chdir", "task\nchdir /usr/bin\nexec pwd\n")
        .job("chroot", "task\nchroot /run/jail\nexec sh -c 'pwd; ls /run/jail | wc -l'\n")
        .job("both", "task\nchroot /run/jail\nchdir /usr/bin\nexec pwd\n")
        .job("relative", "task\nchroot /run/jail\nchdir usr\nexec pwd\n")
        .job("nowhere", "task\nchroot /run/nowhere\nexec pwd\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    for (job, wanted) in [("chdir", "/usr/bin\n"), ("chroot", "/\n"), ("both", "/usr/bin\n"), ("relative", "/usr\n")] {
        start(&world, job);
        await_log(&world, job, wanted);
    }
    assert_eq!(world.initctl(&["start", "nowhere"]).status, 1);
    await_printed(&world, "Failed to spawn nowhere main process: unable to change root directory: No such file");
}

#[test]
fn users_and_groups_are_changed_to() {
    if !is_root() {
        return;
    }
    let tell = "exec sh -c 'echo $(id -u) $(id -g) $(id -G)'\n";
    let setup = Setup::new()
        .job("user", &format!("task\nsetuid daemon\n{tell}"))
        .job("group", &format!("task\nsetgid tty\n{tell}"))
        .job("both", &format!("task\nsetuid daemon\nsetgid tty\n{tell}"))
        .job("nobody", "task\nsetuid wibble\nexec true\n")
        .job("no-group", "task\nsetgid wibble\nexec true\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    for (job, wanted) in [("user", "1 1 1"), ("group", "0 5 5"), ("both", "1 5 5")] {
        start(&world, job);
        await_log(&world, job, wanted);
    }
    assert_eq!(world.initctl(&["start", "nobody"]).status, 1);
    await_printed(&world, "Failed to spawn nobody main process: unable to find setuid user wibble");
    assert_eq!(world.initctl(&["start", "no-group"]).status, 1);
    await_printed(&world, "Failed to spawn no-group main process: unable to find setgid group wibble");
}

#[test]
fn consoles_are_what_they_are_called() {
    let tell = "exec sh -c 'all=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); \
                echo \"$all\" > /run/test/$UPSTART_JOB; exec sleep 600'\n";
    let mut setup = Setup::new().job("default", tell);
    for console in ["none", "log", "output", "owner"] {
        setup = setup.job(console, &format!("console {console}\n{tell}"));
    }
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    let descriptors = |job: &str| {
        start(&world, job);
        testkit::until("the job has told", || world.lines(&format!("/run/test/{job}")).len() == 3);
        world.lines(&format!("/run/test/{job}"))
    };
    assert_eq!(descriptors("none"), ["/dev/null"; 3]);
    for job in ["log", "default"] {
        let found = descriptors(job);
        assert_eq!(found[0], "/dev/null");
        assert!(found[1].starts_with("/dev/pts/") && found[1] == found[2], "{found:?}");
    }
    // Where there is no console, there is /dev/null.
    for job in ["output", "owner"] {
        let found = descriptors(job);
        assert!(found == ["/dev/console"; 3] || found == ["/dev/null"; 3], "{found:?}");
        stop(&world, job);
    }
}

#[test]
fn usage_is_told_and_variables_are_imported() {
    let setup = Setup::new()
        .job("told", "usage \"job WHO=name\"\nimport WHO\nimport OTHER\nexec sh -c 'echo \"$WHO\"; exec sleep 600'\n");
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    assert_eq!(world.initctl(&["usage", "told"]).out, "Usage: job WHO=name");
    assert_eq!(world.initctl(&["start", "told", "WHO=me"]).status, 0);
    await_log(&world, "told", "me\n");
    until("it sleeps", || process(&world, "told").state == 'S');
}
