//! The keeper of a session is killed, and another one is started for the same session.

use crate::world::{Manager, Start, World, children, exists, own_path, request, stat, until};
use keeper::protocol::{Condition, ExitStatus, Finish, Reason, ToKeeper};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};

crate::tests!(
    processes_of_a_killed_keeper_are_taken_over,
    ends_and_signals_of_adopted_processes,
    what_a_killed_session_was_sent_ends_the_next_one,
    a_status_that_the_dead_keeper_had_is_told,
    spawns_in_flight_are_not_started_twice,
    terminals_outlive_their_keeper,
    the_vault_is_killed_too,
    a_vault_ends_with_its_session,
    adopted_processes_survive_the_next_fault_too,
    two_logins_at_once_take_over_once,
    another_login_takes_nothing,
    another_boot_takes_nothing,
    an_ordered_end_leaves_nothing_to_take_over,
    a_pid_that_is_taken_over_is_not_used_again,
    forks_that_are_under_way_are_followed,
    forks_while_there_is_no_keeper_are_followed,
    what_a_kernel_does_not_tell_is_told_by_whoever_has_reaped,
);

/// A runtime directory on a tmpfs; none, with a line, where there is none.
struct Runtime(PathBuf);

impl Runtime {
    fn new() -> Option<Self> {
        use nix::sys::statfs::{TMPFS_MAGIC, statfs};
        let shm = Path::new("/dev/shm");
        if !statfs(shm).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC) {
            println!("  skipped: /dev/shm is not a tmpfs");
            return None;
        }
        let path = shm.join(format!("stayup-runtime-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("runtime directory");
        Some(Self(path))
    }

    fn start(&self, login: &str) -> World {
        World::start(Start { environment: self.environment(login), ..Default::default() })
    }

    fn environment(&self, login: &str) -> Vec<(&'static str, String)> {
        let runtime = self.0.to_str().expect("utf-8").to_owned();
        vec![("XDG_RUNTIME_DIR", runtime), ("XDG_SESSION_ID", login.to_owned())]
    }

    fn tables(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join("stayup")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().join("table")).filter(|path| path.exists()).collect()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Kills the keeper, and waits until it and its manager are gone. What it leaves comes to this program.
fn kill_keeper(world: &mut World, manager: Manager) {
    world.signal_keeper(Signal::SIGKILL);
    assert_eq!(world.ended(), None, "killed");
    let pid = manager.pid;
    drop(manager);
    until("the manager has ended with its keeper", || {
        reap();
        !exists(pid)
    });
}

/// This program is the subreaper, as the system init is.
fn reap() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

fn processes_of_a_killed_keeper_are_taken_over() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("c1");
    let (mut manager, roll_call) = first.ready();
    assert_eq!((roll_call.occasion.reason, roll_call.occasion.session), (Reason::Boot, first.keeper));
    let file = std::fs::File::open("/dev/null").expect("a descriptor");
    manager.send_with(ToKeeper::Hold { name: "thing".into() }, &[std::os::fd::AsFd::as_fd(&file)]);
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    manager.spawn(request(2, &["sleep", "600"]));
    let gone = manager.spawned(2);
    kill_keeper(&mut first, manager);
    // Ends while nobody looks after it.
    kill(Pid::from_raw(gone), Signal::SIGKILL).expect("kill");
    until("it is reaped by others", || {
        reap();
        !exists(gone)
    });
    let second = runtime.start("c1");
    let (manager, roll_call) = second.ready();
    let occasion = &roll_call.occasion;
    assert_eq!((occasion.reason, occasion.session, occasion.restarts), (Reason::KeeperLost, first.keeper, 0));
    assert_eq!(roll_call.tickets(), [1, 2]);
    assert_eq!(roll_call.entries[0].pid, pid);
    assert_eq!(roll_call.entries[0].condition, Condition::Running { forks_left: 0, has_stopped: false });
    assert_eq!(roll_call.entries[1].condition, Condition::Exited(ExitStatus::Unknown));
    assert_eq!(roll_call.held.keys().collect::<Vec<_>>(), ["thing"], "what was held is still held");
    assert!(second.printed().contains("1 processes run on, 1 have ended"), "{}", second.printed());
    crate::world::until_some("a vault", || vault(&second));
    let mut others = children(second.keeper);
    others.retain(|&child| child != manager.pid && Some(child) != vault(&second));
    assert_eq!(others, [], "nothing was started anew");
}

/// SIGTERM and then SIGKILL is how sessions are ended from outside, and the next login takes over what is left.
fn what_a_killed_session_was_sent_ends_the_next_one() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("c1");
    let (mut manager, _) = first.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    first.signal_keeper(Signal::SIGTERM);
    manager.told_of(Signal::SIGTERM);
    kill_keeper(&mut first, manager);
    let second = runtime.start("c1");
    let (mut manager, roll_call) = second.ready();
    assert_eq!(roll_call.entries[0].pid, pid);
    assert_eq!(manager.signal(1, Signal::SIGKILL as i32, false), 0);
    manager.exited(1);
    assert!(!manager.was_told_of(Signal::SIGTERM));
}

fn ends_and_signals_of_adopted_processes() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    let wait = "while [ ! -e $GO ]; do sleep 0.01; done; exit 7";
    let go = runtime.0.join("go");
    let mut asked = request(1, &["sh", "-c", wait]);
    asked.environment.push(format!("GO={}", go.display()).as_bytes()).expect("fits");
    manager.spawn(asked);
    manager.spawned(1);
    // A group of two, which one signal must reach.
    manager.spawn(request(2, &["sh", "-c", "sleep 600 & wait"]));
    let group = manager.spawned(2);
    until("it has a child", || !children(group).is_empty());
    let child = children(group)[0];
    kill_keeper(&mut first, manager);
    let second = runtime.start("");
    let (mut manager, roll_call) = second.ready();
    assert_eq!(roll_call.tickets(), [1, 2]);
    std::fs::write(&go, "").expect("go");
    // This program is its parent, and reaps it; the keeper may be faster.
    let status = loop_until_exited(&mut manager, 1);
    assert_eq!(status, ExitStatus::Code(7));
    assert_eq!(manager.signal(2, 15, true), 0);
    assert_eq!(loop_until_exited(&mut manager, 2), ExitStatus::Signal { signal: 15, core_dumped: false });
    until("the whole group has ended", || {
        reap();
        !exists(child)
    });
    assert_eq!(manager.signal(2, 15, true), nix::libc::ESRCH);
    for ticket in [1, 2] {
        manager.send(ToKeeper::Acknowledge { ticket });
    }
    manager.die();
    assert!(second.ready().1.entries.is_empty());
}

/// Waits for the end of a ticket while this program reaps as the system init would.
fn loop_until_exited(manager: &mut Manager, ticket: u64) -> ExitStatus {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for pid in children_of_this_that_adopt() {
                    let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), Some(nix::sys::wait::WaitPidFlag::WNOHANG));
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let status = manager.exited(ticket);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        status
    })
}

/// Children of this program that are no keepers.
fn children_of_this_that_adopt() -> Vec<i32> {
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    children(std::process::id().cast_signed()).into_iter().filter(|&pid| name(pid) != "init\n").collect()
}

fn a_status_that_the_dead_keeper_had_is_told() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    manager.spawn(request(1, &["sh", "-c", "exit 42"]));
    manager.exited(1);
    manager.spawn(request(2, &["/nonexistent"]));
    manager.failed(2);
    kill_keeper(&mut first, manager);
    let (_, roll_call) = runtime.start("").ready();
    assert_eq!(roll_call.entries[0].condition, Condition::Exited(ExitStatus::Code(42)));
    assert!(matches!(roll_call.entries[1].condition, Condition::Failed { errno: nix::libc::ENOENT, .. }));
}

/// The process that keeps the descriptors of a keeper.
fn vault(world: &World) -> Option<i32> {
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let is_alive = |pid: i32| stat(pid).is_some_and(|stat| stat[0] != "Z");
    children(world.keeper).into_iter().find(|&pid| name(pid) == "init-vault\n" && is_alive(pid))
}

/// Without its master a terminal takes no more words, and who writes to it nevertheless fails.
fn terminals_outlive_their_keeper() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    let script = "while :; do echo word || exit 9; sleep 0.01; done";
    let mut asked = request(1, &["sh", "-c", script]);
    asked.console = keeper::protocol::Console::Log(0);
    asked.hold = vec![("log".to_owned(), 1)];
    use std::os::fd::AsFd as _;
    manager.spawn_with(asked, &[terminal.slave.as_fd(), terminal.master.as_fd()]);
    manager.spawned(1);
    drop(terminal);
    let mut before = Vec::new();
    for round in 0..3 {
        kill_keeper(&mut first, manager);
        before.push(first);
        first = runtime.start("");
        let (next, roll_call) = first.ready();
        manager = next;
        assert_eq!(roll_call.tickets(), [1], "round {round}");
        assert_eq!(roll_call.entries[0].condition, Condition::Running { forks_left: 0, has_stopped: false });
        // It writes on, and what it writes arrives.
        let mut master = std::fs::File::from(roll_call.held["log"].try_clone().expect("clone"));
        let mut words = [0; 4096];
        for _ in 0..3 {
            crate::world::await_readable(master.as_fd(), "a word");
            assert!(std::io::Read::read(&mut master, &mut words).is_ok_and(|length| length > 0));
        }
    }
}

fn the_vault_is_killed_too() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    manager.spawned(1);
    let file = std::fs::File::open("/dev/null").expect("a descriptor");
    manager.send_with(ToKeeper::Hold { name: "thing".into() }, &[std::os::fd::AsFd::as_fd(&file)]);
    let before = crate::world::until_some("a vault", || vault(&first));
    kill(Pid::from_raw(before), Signal::SIGKILL).expect("kill");
    let after = crate::world::until_some("another vault", || vault(&first).filter(|&pid| pid != before));
    // It has been given everything when it has one descriptor more than its own: three, the link and the listener.
    let open = || std::fs::read_dir(format!("/proc/{after}/fd")).map_or(0, Iterator::count);
    until("it has everything", || open() == 6);
    // A fault of the keeper's, with another vault after it.
    first.signal_keeper(Signal::SIGSEGV);
    drop(manager);
    let (manager, roll_call) = first.ready();
    assert!(roll_call.held.contains_key("thing"));
    until("one vault is enough", || {
        let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let vaults = children(first.keeper).into_iter().filter(|&pid| name(pid) == "init-vault\n").count();
        vaults == 1 && !exists(after)
    });
    let last = crate::world::until_some("the vault", || vault(&first));
    let open = || std::fs::read_dir(format!("/proc/{last}/fd")).map_or(0, Iterator::count);
    until("it has everything", || open() == 6);
    kill_keeper(&mut first, manager);
    let second = runtime.start("");
    assert!(second.ready().1.held.contains_key("thing"));
}

fn a_vault_ends_with_its_session() {
    let Some(runtime) = Runtime::new() else { return };
    let mut world = runtime.start("");
    let (manager, _) = world.ready();
    let pid = crate::world::until_some("a vault", || vault(&world));
    manager.send(ToKeeper::Finish(Finish::Exit(0)));
    assert_eq!(world.ended(), Some(0));
    until("the vault has ended", || {
        reap();
        !exists(pid)
    });
}

fn spawns_in_flight_are_not_started_twice() {
    let Some(runtime) = Runtime::new() else { return };
    let mut seen = 0;
    for round in 0..10_u64 {
        let file = runtime.0.join(format!("started-{round}"));
        let script = format!("echo $TEST_TICKET >> {}; exec sleep 600", file.display());
        let mut first = runtime.start("");
        let (manager, _) = first.ready();
        for ticket in 1..=30 {
            manager.spawn(request(ticket, &["sh", "-c", &script]));
        }
        until("some are there", || children(first.keeper).len() as u64 > 3 * round);
        kill_keeper(&mut first, manager);
        let mut second = runtime.start("");
        let (manager, roll_call) = second.ready();
        assert_eq!(roll_call.occasion.reason, Reason::KeeperLost);
        seen += roll_call.entries.len();
        for ticket in 1..=30 {
            manager.spawn(request(ticket, &["sh", "-c", &script]));
        }
        let started = || std::fs::read_to_string(&file).unwrap_or_default();
        until("all have started", || started().lines().count() >= 30);
        let mut tickets: Vec<u64> = started().lines().map(|line| line.parse().expect("a number")).collect();
        tickets.sort_unstable();
        assert_eq!(tickets, (1..=30).collect::<Vec<_>>(), "each exactly once");
        manager.send(ToKeeper::Finish(Finish::Exit(0)));
        assert_eq!(second.ended(), Some(0));
    }
    println!("  {seen} tickets were known to the keepers that took over");
}

fn adopted_processes_survive_the_next_fault_too() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    kill_keeper(&mut first, manager);
    let mut second = runtime.start("");
    let (manager, _) = second.ready();
    second.signal_keeper(Signal::SIGSEGV);
    drop(manager);
    let (manager, roll_call) = second.ready();
    assert_eq!(roll_call.occasion.reason, Reason::KeeperCrashed(Signal::SIGSEGV as i32));
    assert_eq!((roll_call.tickets(), roll_call.entries[0].pid), (vec![1], pid));
    kill_keeper(&mut second, manager);
    let third = runtime.start("");
    let (mut manager, roll_call) = third.ready();
    assert_eq!((roll_call.occasion.reason, roll_call.occasion.session), (Reason::KeeperLost, first.keeper));
    assert_eq!(manager.signal(1, 9, false), 0);
    assert_eq!(loop_until_exited(&mut manager, 1), ExitStatus::Signal { signal: 9, core_dumped: false });
}

fn two_logins_at_once_take_over_once() {
    let Some(runtime) = Runtime::new() else { return };
    for _ in 0..5 {
        let mut first = runtime.start("");
        let (mut manager, _) = first.ready();
        manager.spawn(request(1, &["sleep", "600"]));
        manager.spawned(1);
        kill_keeper(&mut first, manager);
        let mut logins = [runtime.start(""), runtime.start(""), runtime.start("")];
        let ready: Vec<_> = logins.iter().map(World::ready).collect();
        let reasons: Vec<Reason> = ready.iter().map(|(_, roll_call)| roll_call.occasion.reason).collect();
        assert_eq!(reasons.iter().filter(|&&reason| reason == Reason::KeeperLost).count(), 1, "{reasons:?}");
        let mut numbers: Vec<i32> = ready.iter().map(|(_, roll_call)| roll_call.occasion.session).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 3, "each goes by a number of its own");
        for ((manager, _), login) in ready.into_iter().zip(&mut logins) {
            manager.send(ToKeeper::Finish(Finish::Exit(0)));
            assert_eq!(login.ended(), Some(0));
        }
    }
}

fn another_login_takes_nothing() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("c1");
    let (mut manager, _) = first.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    kill_keeper(&mut first, manager);
    let other = runtime.start("c2");
    let (_manager, roll_call) = other.ready();
    assert_eq!((roll_call.occasion.reason, roll_call.entries.len()), (Reason::Boot, 0));
    // Nor has it put anything in its way.
    let same = runtime.start("c1");
    let (_manager, roll_call) = same.ready();
    assert_eq!((roll_call.occasion.reason, roll_call.entries[0].pid), (Reason::KeeperLost, pid));
}

fn another_boot_takes_nothing() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    kill_keeper(&mut first, manager);
    let table = runtime.tables().pop().expect("a table");
    let mut bytes = std::fs::read(&table).expect("readable");
    // As if written in another boot: the boot id stands in the head, and only there.
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot id");
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16).expect("a number").to_ne_bytes();
    let at = bytes.windows(16).position(|window| window == id).expect("it is there");
    bytes[at] ^= 1;
    std::fs::write(&table, &bytes).expect("written");
    let second = runtime.start("");
    let (_manager, roll_call) = second.ready();
    assert_eq!((roll_call.occasion.reason, roll_call.entries.len()), (Reason::Boot, 0));
    assert!(exists(pid) && stat(pid).is_some_and(|stat| stat[0] != "Z"), "and nothing was done to it");
}

fn an_ordered_end_leaves_nothing_to_take_over() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (manager, _) = first.ready();
    assert_eq!(runtime.tables().len(), 1);
    manager.send(ToKeeper::Finish(Finish::Exit(3)));
    assert_eq!(first.ended(), Some(3));
    assert!(!runtime.0.join("stayup").exists(), "all is gone");
}

/// A pid comes round again: its keeper must not take the number (and with it the journal) of the session that lives on
/// under it. Shown with the table of a session that is set up under the pid of the keeper to be.
fn a_pid_that_is_taken_over_is_not_used_again() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("c1");
    let (mut manager, _) = first.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    manager.spawned(1);
    kill_keeper(&mut first, manager);
    // A shell becomes the keeper, so its pid is known before.
    let sessions = runtime.0.join("stayup");
    let script = format!(
        "mv {}/{} {0}/$$; exec {} --user --manager {}",
        sessions.display(),
        first.keeper,
        crate::world::INIT,
        own_path().display()
    );
    let runtime_text = runtime.0.to_str().expect("utf-8").to_owned();
    let second = World::start(Start {
        instead: Some(["sh", "-c", &script].map(str::to_owned).to_vec()),
        environment: vec![("XDG_RUNTIME_DIR", runtime_text), ("XDG_SESSION_ID", "c2".to_owned())],
        ..Default::default()
    });
    let (_manager, roll_call) = second.ready();
    assert_eq!(roll_call.occasion.reason, Reason::Boot);
    assert_ne!(roll_call.occasion.session, second.keeper);
    assert!(sessions.join(second.keeper.to_string()).join("table").exists());
}

/// A ticket whose process becomes a daemon when the file `go` is there; the daemon's pid is in the file `daemon` then.
fn daemon_that_waits(runtime: &Runtime) -> (keeper::protocol::SpawnRequest, PathBuf, PathBuf) {
    let (go, daemon) = (runtime.0.join("go"), runtime.0.join("daemon"));
    let script = format!(
        "while [ ! -e {} ]; do sleep 0.01; done; exec {} act daemon 2 s {}",
        go.display(),
        own_path().display(),
        daemon.display()
    );
    let asked = keeper::protocol::SpawnRequest { follow_forks: 2, ..request(1, &["sh", "-c", &script]) };
    (asked, go, daemon)
}

/// The pid that a daemon has written down.
fn written(daemon: &Path) -> i32 {
    let text = crate::world::until_some("the daemon says who it is", || {
        reap();
        std::fs::read_to_string(daemon).ok()
    });
    text.trim().parse().expect("a pid")
}

fn forks_that_are_under_way_are_followed() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    let (asked, go, daemon) = daemon_that_waits(&runtime);
    manager.spawn(asked);
    manager.spawned(1);
    kill_keeper(&mut first, manager);
    let second = runtime.start("");
    let (mut manager, roll_call) = second.ready();
    assert_eq!(roll_call.entries[0].condition, Condition::Running { forks_left: 2, has_stopped: false });
    std::fs::write(&go, "").expect("go");
    let pid = written(&daemon);
    while manager.forked(1) != (pid, 0) {}
    assert_eq!(manager.signal(1, 15, true), 0);
    assert_eq!(loop_until_exited(&mut manager, 1), ExitStatus::Signal { signal: 15, core_dumped: false });
}

fn forks_while_there_is_no_keeper_are_followed() {
    let Some(runtime) = Runtime::new() else { return };
    let mut first = runtime.start("");
    let (mut manager, _) = first.ready();
    let (asked, go, daemon) = daemon_that_waits(&runtime);
    manager.spawn(asked);
    let before = manager.spawned(1);
    kill_keeper(&mut first, manager);
    std::fs::write(&go, "").expect("go");
    let pid = written(&daemon);
    until("the one that forked is gone", || {
        reap();
        !exists(before)
    });
    let second = runtime.start("");
    let (mut manager, roll_call) = second.ready();
    assert_eq!(roll_call.entries[0].pid, pid);
    assert_eq!(roll_call.entries[0].condition, Condition::Running { forks_left: 0, has_stopped: false });
    assert_eq!(manager.signal(1, 9, true), 0);
    assert_eq!(loop_until_exited(&mut manager, 1), ExitStatus::Signal { signal: 9, core_dumped: false });
}

/// Before Linux 6.15 a pidfd does not say how its process has ended; there the keeper asks the one that took its orphans.
fn what_a_kernel_does_not_tell_is_told_by_whoever_has_reaped() {
    let Some(runtime) = Runtime::new() else { return };
    let outer = World::new();
    let (mut above, _) = outer.ready();
    let own = own_path().to_str().expect("utf-8").to_owned();
    let words = [own.as_str(), "act", "old-kernel", crate::world::INIT, "--user", "--manager", own.as_str()];
    let start = Start {
        instead: Some(words.map(str::to_owned).to_vec()),
        environment: runtime.environment("c1"),
        ..Default::default()
    };
    let first = World::start_under(&start, &mut above, 1);
    let (mut manager, _) = first.ready();
    let go = runtime.0.join("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.01; done; exit 7", go.display());
    manager.spawn(request(1, &["sh", "-c", &wait]));
    manager.spawned(1);
    manager.spawn(request(2, &["sleep", "600"]));
    let gone = manager.spawned(2);
    let old_manager = manager.pid;
    first.signal_keeper(Signal::SIGKILL);
    above.exited(1);
    drop(manager);
    until("the manager has ended with its keeper", || !exists(old_manager));
    // Ends while nobody looks after it, and is reaped by the keeper above.
    kill(Pid::from_raw(gone), Signal::SIGTERM).expect("kill");
    until("it is reaped", || !exists(gone));
    let second = World::start_under(&start, &mut above, 2);
    let (mut manager, roll_call) = second.ready();
    assert_eq!(roll_call.occasion.reason, Reason::KeeperLost, "{}", second.printed());
    let killed = ExitStatus::Signal { signal: 15, core_dumped: false };
    assert_eq!(roll_call.entries[1].condition, Condition::Exited(killed));
    std::fs::write(&go, "").expect("go");
    assert_eq!(manager.exited(1), ExitStatus::Code(7));
}
