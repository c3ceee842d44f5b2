//! From request to process to exit status.

use crate::world::{World, await_readable, environment, exists, own_path, request, stat, until, zombies};
use keeper::protocol::{Console, ExitStatus, Identity, SpawnRequest, Stage, ToKeeper, ToManager};
use nix::errno::Errno;
use std::io::Read as _;
use std::os::fd::AsFd as _;

crate::tests!(
    exit_status_comes_back,
    a_start_time_is_the_one_that_everybody_reads,
    death_by_any_signal_comes_back,
    asking_twice_starts_once,
    every_failing_stage_is_named,
    failing_stages_of_an_ordinary_user,
    attributes_take_effect,
    a_process_starts_in_its_cgroup,
    nothing_is_inherited,
    descriptors_land_where_asked,
    large_requests_arrive,
    scripts_without_interpreter_run,
    signals_are_sent_once,
    signals_reach_the_group,
    a_stop_is_reported,
    orphans_leave_no_zombies,
    two_thousand_at_once,
);

fn exit_status_comes_back() {
    let world = World::new();
    let (mut manager, roll_call) = world.ready();
    assert_eq!(roll_call.entries, []);
    manager.spawn(request(1, &["sh", "-c", "exit 3"]));
    let pid = manager.spawned(1);
    assert!(pid > 1);
    assert_eq!(manager.exited(1), ExitStatus::Code(3));
    until("it is reaped", || !exists(pid));
    manager.send(ToKeeper::Acknowledge { ticket: 1 });
    // Forgotten: the ticket is free again.
    manager.spawn(request(1, &["true"]));
    manager.spawned(1);
    assert_eq!(manager.exited(1), ExitStatus::Code(0));
}

/// Whether the keeper has read it in /proc or knows it from the clock: some of these begin with one tick and end with another.
fn a_start_time_is_the_one_that_everybody_reads() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    for ticket in 1..=200 {
        manager.spawn(request(ticket, &["sleep", "600"]));
        let (pid, told) = manager.spawned_at(ticket);
        assert_eq!(told.to_string(), stat(pid).expect("runs")[19]);
    }
}

fn death_by_any_signal_comes_back() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    // A real-time signal is one too.
    for (ticket, signal) in [(1, 15), (2, 9), (3, nix::libc::SIGRTMIN() + 5)] {
        manager.spawn(request(ticket, &["sleep", "600"]));
        manager.spawned(ticket);
        assert_eq!(manager.signal(ticket, signal, true), 0);
        assert_eq!(manager.exited(ticket), ExitStatus::Signal { signal, core_dumped: false });
        assert_eq!(manager.signal(ticket, signal, true), Errno::ESRCH as i32);
    }
}

fn asking_twice_starts_once() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    manager.spawn(request(7, &["sleep", "600"]));
    manager.spawn(request(7, &["sleep", "600"]));
    let pid = manager.spawned(7);
    manager.spawn(request(7, &["sleep", "600"]));
    assert_eq!(manager.spawned(7), pid);
    manager.signal(7, 9, false);
    manager.exited(7);
    manager.spawn(request(7, &["sleep", "600"]));
    manager.exited(7);
    manager.spawn(request(8, &["/nonexistent"]));
    let failure = manager.failed(8);
    manager.spawn(request(8, &["/nonexistent"]));
    assert_eq!(manager.failed(8), failure);
}

fn refused(requests: Vec<(SpawnRequest, Stage, Errno)>, uid: Option<u32>) {
    let world = World::start(crate::world::Start { uid, ..Default::default() });
    let (mut manager, _) = world.ready();
    for (ticket, (mut request, stage, errno)) in (1..).zip(requests) {
        request.ticket = ticket;
        manager.spawn(request);
        assert_eq!(manager.failed(ticket), (stage, errno as i32), "request {ticket}");
    }
    until("no zombie is left", || zombies(world.keeper).is_empty());
}

fn every_failing_stage_is_named() {
    let sound = || request(1, &["true"]);
    let program = |name: &str| request(1, &[name]);
    let limit = (nix::libc::RLIMIT_NICE, 10, 20);
    let mut requests = vec![
        (SpawnRequest { argv: vec![], ..sound() }, Stage::Request, Errno::EINVAL),
        (SpawnRequest { argv: vec![b"a\0b".to_vec()], ..sound() }, Stage::Request, Errno::EINVAL),
        (SpawnRequest { console: Console::Log(0), ..sound() }, Stage::Request, Errno::EBADF),
        (SpawnRequest { descriptors: vec![(9, 3)], ..sound() }, Stage::Request, Errno::EBADF),
        (SpawnRequest { hold: vec![("x".to_owned(), 4)], ..sound() }, Stage::Request, Errno::EBADF),
        (SpawnRequest { limits: vec![(999, 1, 1)], ..sound() }, Stage::Limit(999), Errno::EINVAL),
        (SpawnRequest { oom_score_adj: Some(5000), ..sound() }, Stage::OomScore, Errno::EINVAL),
        (
            SpawnRequest { working_directory: Some(b"/nonexistent".to_vec()), ..sound() },
            Stage::WorkingDirectory,
            Errno::ENOENT,
        ),
        (program("/nonexistent"), Stage::Execute, Errno::ENOENT),
        (program("there-is-no-such-program"), Stage::Execute, Errno::ENOENT),
        (program("/tmp"), Stage::Execute, Errno::EACCES),
        (program(""), Stage::Execute, Errno::ENOENT),
        // In its PATH the first is a directory, the second is not there.
        (
            SpawnRequest { environment: environment(&["PATH=/:/nonexistent"]), ..program("tmp") },
            Stage::Execute,
            Errno::EACCES,
        ),
    ];
    if nix::unistd::geteuid().is_root() {
        let chroot = |path: &[u8]| SpawnRequest { chroot: Some(path.to_vec()), ..sound() };
        requests.push((chroot(b"/nonexistent"), Stage::Chroot, Errno::ENOENT));
        requests.push((chroot(b"/proc"), Stage::Execute, Errno::ENOENT));
        let identity = Identity { gid: Some(u32::MAX), ..Identity::default() };
        requests.push((SpawnRequest { identity: Some(identity), ..sound() }, Stage::Group, Errno::EINVAL));
    }
    if !has_capability(24) {
        requests.push((SpawnRequest { limits: vec![limit], ..sound() }, Stage::Limit(limit.0), Errno::EPERM));
    }
    refused(requests, None);
}

/// Of this process, by its number in linux/capability.h.
fn has_capability(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("capabilities");
    u64::from_str_radix(line, 16).expect("a number") >> number & 1 == 1
}

fn failing_stages_of_an_ordinary_user() {
    let uid = match nix::unistd::geteuid() {
        root if root.is_root() => Some(65534),
        _ => None,
    };
    if uid.is_some() && !is_reachable_for_all(&own_path()) {
        return println!("skipped: this program cannot be executed by another user");
    }
    let sound = || request(1, &["true"]);
    let identity = |gid, groups, uid| SpawnRequest { identity: Some(Identity { gid, groups, uid }), ..sound() };
    let requests = vec![
        // The group comes first, as its message does.
        (identity(Some(1), Some(vec![1]), Some(1)), Stage::Group, Errno::EPERM),
        (identity(None, Some(vec![1]), Some(1)), Stage::Groups, Errno::EPERM),
        (identity(None, None, Some(1)), Stage::User, Errno::EPERM),
        (SpawnRequest { nice: Some(-20), ..sound() }, Stage::Nice, Errno::EACCES),
        (SpawnRequest { chroot: Some(b"/".to_vec()), ..sound() }, Stage::Chroot, Errno::EPERM),
        (SpawnRequest { limits: vec![(nix::libc::RLIMIT_NICE, 10, 20)], ..sound() }, Stage::Limit(13), Errno::EPERM),
    ];
    refused(requests, uid);
}

/// What a request's process prints, started by this manager.
fn printed(
    manager: &mut crate::world::Manager,
    mut asked: SpawnRequest,
    more: &[std::os::fd::BorrowedFd<'_>],
) -> String {
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    asked.console = Console::Log(0);
    let ticket = asked.ticket;
    manager.spawn_with(asked, &[&[writer.as_fd()], more].concat());
    drop(writer);
    manager.spawned(ticket);
    manager.exited(ticket);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("printed");
    text
}

fn attributes_take_effect() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let script = "pwd; umask; nice; ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj; id -u; id -g; id -G";
    let is_root = nix::unistd::geteuid().is_root();
    let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    let (uid, gid) = if is_root { (1234, 2345) } else { (uid, gid) };
    let asked = SpawnRequest {
        working_directory: Some(b"/usr".to_vec()),
        umask: 0o026,
        nice: Some(5),
        limits: vec![(nix::libc::RLIMIT_NOFILE, 100, 200)],
        oom_score_adj: Some(321),
        identity: Some(Identity { gid: Some(gid), groups: is_root.then(|| vec![7, 8]), uid: Some(uid) }),
        ..request(1, &["sh", "-c", script])
    };
    let text = printed(&mut manager, asked, &[]);
    let lines: Vec<&str> = text.lines().collect();
    let (uid, gid) = (uid.to_string(), gid.to_string());
    assert_eq!(lines[..8], ["/usr", "0026", "5", "100", "200", "321", uid.as_str(), gid.as_str()]);
    if is_root {
        assert_eq!(lines[8], "2345 7 8");
        let asked = SpawnRequest { chroot: Some(b"/usr".to_vec()), ..request(2, &["/bin/true"]) };
        // There is a program, but perhaps no loader for it in there.
        manager.spawn(SpawnRequest { working_directory: Some(b"/nonexistent".to_vec()), ..asked });
        assert_eq!(manager.failed(2), (Stage::WorkingDirectory, Errno::ENOENT as i32));
    }
}

fn a_process_starts_in_its_cgroup() {
    let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
    let root = mounts.lines().find_map(|line| line.split(' ').nth(1).filter(|_| line.contains(" cgroup2 ")));
    let name = format!("stayup-test-{}", std::process::id());
    let Some(group) = root.map(|root| std::path::Path::new(root).join(&name)) else {
        return println!("  skipped: no cgroup v2 here");
    };
    if std::fs::create_dir(&group).is_err() {
        return println!("  skipped: no right to make a cgroup here");
    }
    {
        let world = World::new();
        let (mut manager, _) = world.ready();
        let directory = std::fs::File::open(&group).expect("cgroup");
        let asked = SpawnRequest { cgroup: Some(1), ..request(1, &["cat", "/proc/self/cgroup"]) };
        let text = printed(&mut manager, asked, &[directory.as_fd()]);
        assert!(text.lines().any(|line| line == format!("0::/{name}")), "{text}");
        let wrong = std::fs::File::open("/").expect("a directory");
        manager.spawn_with(SpawnRequest { cgroup: Some(0), ..request(2, &["true"]) }, &[wrong.as_fd()]);
        assert_eq!(manager.failed(2), (Stage::Clone, Errno::EBADF as i32));
    }
    std::fs::remove_dir(&group).expect("an empty cgroup");
}

fn is_reachable_for_all(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.ancestors().all(|path| path.metadata().is_ok_and(|data| data.permissions().mode() & 1 == 1))
}

/// Starts this program's `tell` with the keeper's own stdout captured: what it says.
fn told(request: SpawnRequest) -> Vec<String> {
    // A keeper that was itself started with ignored signals, blocked signals and stray descriptors.
    let script = format!(
        "trap '' HUP PIPE USR1; exec 8</dev/null 9</etc/passwd; exec {} --user --manager {}",
        crate::world::INIT,
        own_path().display()
    );
    let instead = Some(["sh", "-c", &script].map(str::to_owned).to_vec());
    let world = World::start(crate::world::Start { instead, ..Default::default() });
    let (mut manager, _) = world.ready();
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let ticket = request.ticket;
    manager.spawn_with(request, &[writer.as_fd()]);
    drop(writer);
    manager.spawned(ticket);
    assert_eq!(manager.exited(ticket), ExitStatus::Code(0));
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("told");
    text.lines().map(str::to_owned).collect()
}

fn nothing_is_inherited() {
    let own = own_path();
    let mut request = request(1, &[own.to_str().expect("utf-8"), "act", "tell"]);
    request.console = Console::Log(0);
    request.umask = 0o027;
    let told = told(request);
    let value = |key: &str| told.iter().find_map(|line| line.strip_prefix(key)).expect(key).trim().to_owned();
    // Rust's own start ignores SIGPIPE (13) and takes SIGSEGV and SIGBUS: only that.
    let ignored = u64::from_str_radix(&value("SigIgn:"), 16).expect("mask");
    assert_eq!(ignored & !(1 << 12), 0, "{told:?}");
    assert_eq!(value("SigBlk:"), "0000000000000000");
    assert_eq!(value("Umask:"), "0027");
    assert_eq!(value("leads "), "true");
    let descriptors: Vec<_> = told.iter().filter(|line| line.starts_with("fd ")).collect();
    assert_eq!(descriptors.len(), 3, "{descriptors:?}");
    assert_eq!(value("fd 0 "), "/dev/null");
    let environment: Vec<_> = told.iter().filter(|line| line.starts_with("env ")).collect();
    assert_eq!(environment, ["env PATH=/usr/bin:/bin", "env TEST_TICKET=1"]);
    let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("limit");
    assert_eq!(value("open files "), format!("{soft} {hard}"));
}

fn descriptors_land_where_asked() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let pipes: Vec<_> = (0..4).map(|_| std::io::pipe().expect("pipe")).collect();
    let mut asked = request(1, &["sh", "-c", "echo three >&3; echo five >&5; echo nine >&9; echo out"]);
    // Crossed over, so that numbers of sources and targets collide.
    asked.descriptors = vec![(2, 3), (0, 9), (1, 5)];
    asked.console = Console::Given(1);
    asked.console = match asked.console {
        Console::Given(_) => Console::Log(3),
        other => other,
    };
    let writers: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
    manager.spawn_with(asked, &writers);
    manager.spawned(1);
    assert_eq!(manager.exited(1), ExitStatus::Code(0));
    let texts: Vec<String> = pipes
        .into_iter()
        .map(|(mut reader, writer)| {
            drop(writer);
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("text");
            text
        })
        .collect();
    assert_eq!(texts, ["nine\n", "five\n", "three\n", "out\n"]);
}

fn large_requests_arrive() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let mut asked = request(1, &["sh", "-c", "echo ${#A} ${#B}"]);
    asked.environment.push(format!("A={}", "x".repeat(100_000)).as_bytes()).expect("no NUL");
    asked.environment.push(format!("B={}", "y".repeat(120_000)).as_bytes()).expect("no NUL");
    asked.console = Console::Log(0);
    manager.spawn_with(asked, &[writer.as_fd()]);
    drop(writer);
    manager.spawned(1);
    manager.exited(1);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, "100000 120000\n");
    // Too large for the kernel: an errno, not a crash.
    let mut asked = request(2, &["true"]);
    asked.environment.push(format!("A={}", "x".repeat(1_000_000)).as_bytes()).expect("no NUL");
    manager.spawn(asked);
    assert_eq!(manager.failed(2), (Stage::Execute, Errno::E2BIG as i32));
}

fn scripts_without_interpreter_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let script = world.directory().join("script");
    std::fs::write(&script, "exit $1\n").expect("script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &[script.to_str().expect("utf-8"), "11"]));
    manager.spawned(1);
    assert_eq!(manager.exited(1), ExitStatus::Code(11));
}

fn signals_are_sent_once() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let count = world.directory().join("count");
    let script =
        format!("trap 'echo x >> {0}' HUP; echo ready >> {0}; while :; do sleep 600 & wait; done", count.display());
    manager.spawn(request(1, &["sh", "-c", &script]));
    manager.spawned(1);
    let lines = || std::fs::read_to_string(&count).unwrap_or_default().lines().count();
    until("the trap is set", || lines() == 1);
    for _ in 0..3 {
        manager.send(ToKeeper::Signal { ticket: 1, request: 5, signal: 1, whole_group: false });
        assert_eq!(manager.signalled(5), 0);
    }
    until("the signal is there", || lines() == 2);
    manager.send(ToKeeper::Signal { ticket: 1, request: 6, signal: 1, whole_group: false });
    assert_eq!(manager.signalled(6), 0);
    until("the next signal is there", || lines() == 3);
    manager.send(ToKeeper::Signal { ticket: 9, request: 7, signal: 1, whole_group: false });
    assert_eq!(manager.signalled(7), Errno::ESRCH as i32);
}

fn signals_reach_the_group() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let file = world.directory().join("pid");
    let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    manager.spawn(request(1, &["sh", "-c", &script]));
    manager.spawned(1);
    until("the child is there", || file.exists());
    let child: i32 = std::fs::read_to_string(&file).expect("pid").trim().parse().expect("a number");
    manager.signal(1, 15, true);
    manager.exited(1);
    until("the child has gone too", || !exists(child));
}

fn a_stop_is_reported() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let own = own_path();
    for ticket in 1..=50 {
        let words = [own.to_str().expect("utf-8"), "act", "stop"];
        manager.spawn(SpawnRequest { report_stop: true, ..request(ticket, &words) });
        manager.spawned(ticket);
        manager.wait("the stop", |message| (*message == ToManager::Stopped { ticket }).then_some(()));
        manager.signal(ticket, nix::libc::SIGCONT, false);
        assert_eq!(manager.exited(ticket), ExitStatus::Code(5));
    }
}

fn orphans_leave_no_zombies() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    for ticket in 1..=20 {
        manager.spawn(request(ticket, &["sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.0$i; exit 9) & done; exit 0"]));
    }
    for ticket in 1..=20 {
        manager.spawned(ticket);
        assert_eq!(manager.exited(ticket), ExitStatus::Code(0));
    }
    until("only the manager is left", || crate::world::children(world.keeper) == [manager.pid]);
    assert!(!manager.backlog().iter().any(|message| matches!(message, ToManager::Exited { .. })));
}

fn two_thousand_at_once() {
    const COUNT: u64 = 2_000;
    let world = World::new();
    let (mut manager, _) = world.ready();
    // Sent from another thread, for neither side may wait for the other.
    let sender = keeper::link::Link::from(manager.link.as_fd().try_clone_to_owned().expect("clone"));
    let before = std::time::Instant::now();
    let thread = std::thread::spawn(move || {
        for ticket in 1..=COUNT {
            until("the link takes a request", || match sender.send_spawn(request(ticket, &["/bin/true"]), &[]) {
                Ok(()) => true,
                Err(keeper::link::LinkError::WouldBlock) => false,
                Err(error) => panic!("{error}"),
            });
        }
    });
    let mut ended = 0;
    while ended < COUNT {
        let ticket = manager.wait("all ends", |message| match message {
            ToManager::Exited { ticket, status: ExitStatus::Code(0), .. } => Some(*ticket),
            _ => None,
        });
        manager.send(ToKeeper::Acknowledge { ticket });
        ended += 1;
    }
    thread.join().expect("all sent");
    let rate = COUNT as f64 / before.elapsed().as_secs_f64();
    println!("  {rate:.0} processes a second, from request to acknowledgement; rss {} KiB", rss_kib(world.keeper));
    until("no zombie is left", || zombies(world.keeper).is_empty());
    assert!(stat(world.keeper).is_some());
    await_readable_never(&manager);
}

/// The memory of a process that is its own.
pub(crate) fn rss_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn await_readable_never(manager: &crate::world::Manager) {
    // The link is still in order: one more question, one more answer.
    manager.send(ToKeeper::Signal { ticket: 1, request: 999, signal: 0, whole_group: false });
    await_readable(manager.link.as_fd(), "an answer");
}
