//! Managers that die and hang, and a keeper that crashes itself.

use crate::world::{Manager, RollCall, Start, World, children, exists, request, stat, until, zombies};
use keeper::protocol::{Condition, Console, ExitStatus, Finish, Reason, Stage, ToKeeper, ToManager};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

crate::tests!(
    a_status_outlives_managers_until_acknowledged,
    roll_call_is_complete,
    held_descriptors_outlive_everything,
    the_keeper_survives_its_own_faults,
    a_second_fault_at_once,
    faults_amid_a_storm_of_spawns,
    a_crash_loop_slows_down,
    a_silent_manager_is_killed,
    a_hung_start_is_killed,
    failed_starts_are_counted,
    a_full_pipe_for_errors_stops_nothing,
    a_broken_manager_is_replaced_by_one_that_worked,
    last_words_are_heard,
    signals_wait_for_a_manager,
    a_signal_dies_with_the_manager_that_was_told,
    a_signal_that_comes_again_before_it_is_dealt_with_is_lost,
    an_old_manager_is_told_of_a_signal_for_ever,
    reexecution_keeps_everything,
    reexecution_without_a_program_goes_on,
    a_hopeless_session_can_be_ended,
    the_end_of_a_session,
    a_foreign_state_is_refused,
    idle_memory_is_small,
);

fn a_status_outlives_managers_until_acknowledged() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sh", "-c", "exit 42"]));
    manager.spawned(1);
    manager.exited(1);
    manager.spawn(request(2, &["/nonexistent"]));
    manager.failed(2);
    for _ in 0..5 {
        manager.die();
        let (next, roll_call) = world.ready();
        assert_eq!(roll_call.tickets(), [1, 2]);
        assert_eq!(roll_call.entries[0].condition, Condition::Exited(ExitStatus::Code(42)));
        assert_eq!(roll_call.entries[1].condition, Condition::Failed { stage: Stage::Execute, errno: 2 });
        let killed = ExitStatus::Signal { signal: 9, core_dumped: false };
        assert_eq!(roll_call.occasion.reason, Reason::ManagerEnded(killed));
        manager = next;
    }
    manager.send(ToKeeper::Acknowledge { ticket: 1 });
    manager.send(ToKeeper::Acknowledge { ticket: 2 });
    manager.die();
    assert_eq!(world.ready().1.tickets(), []);
}

fn roll_call_is_complete() {
    let world = World::new();
    let (mut manager, first) = world.ready();
    let session = world.keeper;
    let occasion = keeper::protocol::Occasion { reason: Reason::Boot, failed_starts: 0, restarts: 0, session };
    assert_eq!(first.occasion, occasion);
    let mut pids = Vec::new();
    for ticket in 1..=300 {
        manager.spawn(request(ticket, &["sleep", "600"]));
        pids.push(manager.spawned(ticket));
    }
    assert_eq!(manager.signal(300, 9, false), 0);
    manager.die();
    let (_manager, roll_call) = world.ready();
    assert_eq!(roll_call.occasion.restarts, 1);
    assert_eq!(roll_call.tickets(), (1..=300).collect::<Vec<_>>());
    for (entry, pid) in roll_call.entries.iter().zip(pids).take(299) {
        assert_eq!((entry.pid, entry.label.as_str()), (pid, format!("label {}", entry.ticket).as_str()));
        assert_eq!(entry.start_time_ticks.to_string(), stat(pid).expect("runs")[19]);
        assert_eq!(entry.condition, Condition::Running { forks_left: 0, has_stopped: false });
    }
    assert_eq!(roll_call.entries[299].last_signal_request, 1);
}

/// Has the keeper hold the write end of a pipe, and gives back the read end.
fn hold_a_pipe(manager: &Manager, name: &str) -> std::io::PipeReader {
    let (reader, writer) = std::io::pipe().expect("pipe");
    manager.send_with(ToKeeper::Hold { name: name.to_owned() }, &[writer.as_fd()]);
    reader
}

fn write_to_held(roll_call: &RollCall, name: &str, text: &str) {
    let copy = roll_call.held[name].try_clone().expect("clone");
    std::fs::File::from(copy).write_all(text.as_bytes()).expect("write");
}

fn held_descriptors_outlive_everything() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let mut reader = hold_a_pipe(&manager, "pipe");
    drop(hold_a_pipe(&manager, "other"));
    manager.send(ToKeeper::Release { name: "other".to_owned() });
    // Through a spawn request, too.
    let (mut output, writer) = std::io::pipe().expect("pipe");
    let mut asked = request(1, &["sleep", "600"]);
    asked.hold = vec![("output".to_owned(), 0)];
    manager.spawn_with(asked, &[writer.as_fd()]);
    drop(writer);
    manager.spawned(1);
    let names = |roll_call: &RollCall| roll_call.held.keys().cloned().collect::<Vec<_>>();
    manager.die();
    let (manager, roll_call) = world.ready();
    assert_eq!(names(&roll_call), ["output", "pipe"]);
    write_to_held(&roll_call, "pipe", "a");
    drop(roll_call);
    world.signal_keeper(Signal::SIGSEGV);
    drop(manager);
    let (manager, roll_call) = world.ready();
    assert_eq!(names(&roll_call), ["output", "pipe"]);
    write_to_held(&roll_call, "pipe", "b");
    write_to_held(&roll_call, "output", "c");
    drop(roll_call);
    manager.send(ToKeeper::Reexecute);
    let (manager, roll_call) = world.ready();
    assert_eq!(roll_call.occasion.reason, Reason::Reexecuted);
    write_to_held(&roll_call, "pipe", "d");
    drop(roll_call);
    for name in ["pipe", "output"] {
        manager.send(ToKeeper::Release { name: name.to_owned() });
    }
    // The end of file comes only when nobody, a job included, has the other end.
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    output.read_to_string(&mut text).expect("read");
    assert_eq!(text, "abdc");
}

fn the_keeper_survives_its_own_faults() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    manager.spawn(request(2, &["sh", "-c", "exit 4"]));
    manager.spawned(2);
    manager.exited(2);
    let mut crashes = 0;
    for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE] {
        crashes += 1;
        let before = manager.pid;
        world.signal_keeper(signal);
        drop(manager);
        let (next, roll_call) = world.ready();
        manager = next;
        assert_eq!(roll_call.occasion.reason, Reason::KeeperCrashed(signal as i32));
        assert_eq!(roll_call.occasion.restarts, crashes);
        assert_eq!(roll_call.tickets(), [1, 2]);
        assert_eq!(roll_call.entries[0].pid, pid);
        assert_eq!(roll_call.entries[0].condition, Condition::Running { forks_left: 0, has_stopped: false });
        assert_eq!(roll_call.entries[1].condition, Condition::Exited(ExitStatus::Code(4)));
        assert!(!exists(before), "two managers at once");
    }
    assert_eq!(manager.signal(1, 15, true), 0);
    assert_eq!(manager.exited(1), ExitStatus::Signal { signal: 15, core_dumped: false });
    until("no zombie is left", || zombies(world.keeper).is_empty());
    let name = std::fs::read_to_string(format!("/proc/{}/comm", world.keeper)).expect("comm");
    assert_eq!(name, "init\n");
}

fn a_second_fault_at_once() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    manager.spawn(request(2, &["sh", "-c", "kill -9 $$"]));
    manager.spawned(2);
    for _ in 0..3 {
        world.signal_keeper(Signal::SIGSEGV);
        world.signal_keeper(Signal::SIGSEGV);
        world.signal_keeper(Signal::SIGABRT);
    }
    drop(manager);
    // Managers may come and be killed by the next fault; the last one stays.
    let deadline_roll_call = last_roll_call(&world);
    assert_eq!(deadline_roll_call.tickets(), [1, 2]);
    assert_eq!(deadline_roll_call.entries[0].pid, pid);
}

/// The roll call of the manager that lives on.
fn last_roll_call(world: &World) -> RollCall {
    loop {
        let mut manager = world.manager();
        let whole = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| manager.roll_call()));
        let Ok(roll_call) = whole else { continue };
        manager.send(ToKeeper::Signal { ticket: 0, request: 1, signal: 0, whole_group: false });
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| manager.signalled(1)));
        if answered.is_ok() {
            return roll_call;
        }
    }
}

fn faults_amid_a_storm_of_spawns() {
    let mut seen = 0;
    for round in 0..10_u64 {
        let world = World::new();
        let (mut manager, _) = world.ready();
        let file = world.directory().join("started");
        let script = format!("echo $TEST_TICKET >> {}; exec sleep 600", file.display());
        for ticket in 1..=40 {
            manager.spawn(request(ticket, &["sh", "-c", &script]));
        }
        manager.spawned(4 * round + 1);
        world.signal_keeper(Signal::SIGSEGV);
        drop(manager);
        let (mut manager, roll_call) = world.ready();
        assert!(matches!(roll_call.occasion.reason, Reason::KeeperCrashed(_)));
        seen += roll_call.entries.len();
        // What a manager does: ask for everything again.
        for ticket in 1..=40 {
            manager.spawn(request(ticket, &["sh", "-c", &script]));
        }
        let pids: Vec<i32> = (1..=40).map(|ticket| manager.spawned(ticket)).collect();
        let started = || std::fs::read_to_string(&file).unwrap_or_default();
        until("all have started", || started().lines().count() >= 40);
        let mut tickets: Vec<u64> = started().lines().map(|line| line.parse().expect("a number")).collect();
        tickets.sort_unstable();
        assert_eq!(tickets, (1..=40).collect::<Vec<_>>(), "each exactly once");
        let expected: std::collections::BTreeSet<i32> = pids.iter().copied().chain([manager.pid]).collect();
        until("no other child", || {
            children(world.keeper).into_iter().collect::<std::collections::BTreeSet<_>>() == expected
        });
    }
    println!("  {seen} tickets were known after the faults");
}

fn a_crash_loop_slows_down() {
    let world = World::new();
    drop(world.ready());
    let before = std::time::Instant::now();
    for _ in 0..7 {
        world.signal_keeper(Signal::SIGSEGV);
        drop(world.ready());
    }
    // 50 + 100 + 200 + 400 ms after the first three.
    assert!(before.elapsed().as_millis() >= 750);
}

fn with_heartbeat(heartbeat_ms: u32) -> World {
    let environment = vec![("STAYUP_HEARTBEAT_MS", heartbeat_ms.to_string())];
    World::start(Start { environment, ..Default::default() })
}

fn a_silent_manager_is_killed() {
    let world = with_heartbeat(300);
    let (mut manager, _) = world.ready();
    let mut answered = 0;
    // Answered pings keep it alive, for longer than the deadline.
    while answered < 6 {
        match manager.link.receive::<ToManager>() {
            Ok((ToManager::Ping { number }, _)) => {
                manager.send(ToKeeper::Pong { number });
                answered += 1;
            }
            Ok(_) => {}
            Err(_) => crate::world::await_readable(manager.link.as_fd(), "a ping"),
        }
    }
    assert!(exists(manager.pid));
    manager.spawn(request(1, &["sleep", "600"]));
    manager.spawned(1);
    let (mut next, roll_call) = world.ready();
    assert_eq!(roll_call.occasion.reason, Reason::ManagerHung);
    assert_eq!(roll_call.tickets(), [1]);
    assert!(!exists(manager.pid));
    assert_eq!(next.signal(1, 9, false), 0);
}

fn a_hung_start_is_killed() {
    let world = with_heartbeat(60);
    let mut manager = world.manager();
    manager.roll_call();
    let (_next, roll_call) = world.ready();
    assert_eq!(roll_call.occasion.reason, Reason::ManagerHung);
    assert_eq!(roll_call.occasion.failed_starts, 1);
}

fn failed_starts_are_counted() {
    let world = World::new();
    for failed in 0..4 {
        let mut manager = world.manager();
        assert_eq!(manager.roll_call().occasion.failed_starts, failed);
        manager.exit(1);
    }
    let (manager, roll_call) = world.ready();
    assert_eq!((roll_call.occasion.failed_starts, roll_call.occasion.restarts), (4, 4));
    assert_eq!(roll_call.occasion.reason, Reason::ManagerEnded(ExitStatus::Code(1)));
    manager.die();
    let (_, roll_call) = world.ready();
    assert_eq!((roll_call.occasion.failed_starts, roll_call.occasion.restarts), (0, 5));
}

fn a_full_pipe_for_errors_stops_nothing() {
    let (reader, mut writer) = std::io::pipe().expect("pipe");
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).expect("nonblocking");
    while writer.write(&[b'x'; 512]).is_ok() {}
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).expect("blocking");
    let world = World::start(Start { errors: Some(writer.into()), ..Default::default() });
    for _ in 0..3 {
        // Each death is worth a line.
        world.ready().0.die();
    }
    drop(world.ready());
    drop(reader);
}

fn a_broken_manager_is_replaced_by_one_that_worked() {
    let directory = std::env::temp_dir().join(format!("stayup-broken-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("directory");
    let program = directory.join("init-manager");
    std::fs::copy(crate::world::own_path(), &program).expect("copy");
    let arguments = ["--manager", program.to_str().expect("utf-8")].map(str::to_owned).to_vec();
    let world = World::start(Start { arguments, ..Default::default() });
    let (manager, _) = world.ready();
    let image = std::fs::File::open(crate::world::own_path()).expect("the program");
    manager.send_with(ToKeeper::Hold { name: keeper::protocol::MANAGER_IMAGE.to_owned() }, &[image.as_fd()]);
    // An upgrade that went wrong.
    std::fs::remove_file(&program).expect("removed");
    std::fs::write(&program, "not a program").expect("written");
    manager.die();
    let (manager, roll_call) = world.ready();
    assert_eq!(roll_call.occasion.failed_starts, keeper::protocol::IMAGE_AFTER);
    drop(manager);
    std::fs::remove_dir_all(&directory).expect("removed");
}

fn last_words_are_heard() {
    let world = World::new();
    for round in 0..50_u64 {
        let (mut manager, roll_call) = world.ready();
        assert_eq!(roll_call.entries.len(), 0, "round {round}");
        manager.spawn(request(round, &["true"]));
        manager.exited(round);
        // The acknowledgement is sent right before the end.
        manager.send(ToKeeper::Acknowledge { ticket: round });
        manager.die();
    }
}

fn signals_wait_for_a_manager() {
    let world = World::new();
    let mut manager = world.manager();
    manager.roll_call();
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1] {
        world.signal_keeper(signal);
    }
    world.signal_keeper(Signal::SIGSEGV);
    drop(manager);
    let (mut manager, _) = world.ready();
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGUSR1] {
        assert_eq!(manager.told_of(signal), std::process::id().cast_signed());
    }
    for signal in [Signal::SIGINT, Signal::SIGWINCH, Signal::SIGPWR] {
        world.signal_keeper(signal);
        manager.told_of(signal);
    }
    // Not for the manager, and no reason to die.
    for signal in [Signal::SIGUSR2, Signal::SIGQUIT, Signal::SIGPIPE, Signal::SIGALRM] {
        world.signal_keeper(signal);
    }
    assert_eq!(manager.signal(1, 0, false), nix::libc::ESRCH);
    assert!(manager.backlog().is_empty(), "{:?}", manager.backlog());
}

fn a_signal_dies_with_the_manager_that_was_told() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    world.signal_keeper(Signal::SIGTERM);
    manager.told_of(Signal::SIGTERM);
    // It was told, and does not say that it has dealt with it.
    manager.die();
    let (mut manager, _) = world.ready();
    manager.told_of(Signal::SIGTERM);
    world.signal_keeper(Signal::SIGSEGV);
    drop(manager);
    let (mut manager, _) = world.ready();
    manager.told_of(Signal::SIGTERM);
    manager.send(ToKeeper::SignalTaken { signal: Signal::SIGTERM as i32 });
    world.signal_keeper(Signal::SIGHUP);
    manager.told_of(Signal::SIGHUP);
    manager.die();
    let (mut manager, _) = world.ready();
    manager.told_of(Signal::SIGHUP);
    assert_eq!(manager.signal(1, 0, false), nix::libc::ESRCH);
    assert!(!manager.was_told_of(Signal::SIGTERM));
}

fn a_signal_that_comes_again_before_it_is_dealt_with_is_lost() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    for _ in 0..200 {
        world.signal_keeper(Signal::SIGHUP);
        manager.told_of(Signal::SIGHUP);
        world.signal_keeper(Signal::SIGHUP);
        manager.send(ToKeeper::SignalTaken { signal: Signal::SIGHUP as i32 });
        manager.told_of(Signal::SIGHUP);
        manager.send(ToKeeper::SignalTaken { signal: Signal::SIGHUP as i32 });
    }
}

/// It says nothing of signals, but answers pings.
fn an_old_manager_is_told_of_a_signal_for_ever() {
    let world = with_heartbeat(300);
    let (mut manager, _) = world.ready();
    world.signal_keeper(Signal::SIGTERM);
    manager.told_of(Signal::SIGTERM);
    manager.spawn(request(1, &["sleep", "0.5"]));
    manager.exited(1);
    manager.die();
    let (mut manager, _) = world.ready();
    assert_eq!(manager.signal(2, 0, false), nix::libc::ESRCH);
    assert!(!manager.was_told_of(Signal::SIGTERM));
}

fn reexecution_keeps_everything() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    for restarts in 1..=20 {
        manager.send(ToKeeper::Reexecute);
        let (next, roll_call) = world.ready();
        assert_eq!((roll_call.occasion.reason, roll_call.occasion.restarts), (Reason::Reexecuted, restarts));
        assert_eq!((roll_call.tickets(), roll_call.entries[0].pid), (vec![1], pid));
        manager = next;
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", world.keeper)).expect("descriptors").count();
    assert!(open < 20, "{open} descriptors are open");
    assert_eq!(manager.signal(1, 9, false), 0);
    manager.exited(1);
}

fn reexecution_without_a_program_goes_on() {
    let directory = std::env::temp_dir().join(format!("stayup-gone-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("directory");
    let program = directory.join("init");
    std::fs::copy(crate::world::INIT, &program).expect("copy");
    let world = World::start(Start { program: Some(program), ..Default::default() });
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    manager.spawned(1);
    std::fs::remove_dir_all(&directory).expect("removed");
    manager.send(ToKeeper::Reexecute);
    let (manager, roll_call) = world.ready();
    assert_eq!((roll_call.occasion.reason, roll_call.tickets()), (Reason::Reexecuted, vec![1]));
    assert!(world.printed().contains("staying with the running program"), "{}", world.printed());
    world.signal_keeper(Signal::SIGSEGV);
    drop(manager);
    assert_eq!(world.ready().1.tickets(), [1]);
}

fn a_hopeless_session_can_be_ended() {
    let mut world = World::new();
    let (mut manager, _) = world.ready();
    manager.spawn(request(1, &["sleep", "600"]));
    let pid = manager.spawned(1);
    manager.exit(1);
    for _ in 0..6 {
        world.manager().exit(1);
    }
    until("it is hopeless, and told twice", || {
        if exists(world.keeper) && stat(world.keeper).is_some_and(|stat| stat[0] != "Z") {
            world.signal_keeper(Signal::SIGTERM);
        }
        !exists(pid)
    });
    assert_eq!(world.ended(), Some(1));
}

fn the_end_of_a_session() {
    let mut world = World::new();
    let (manager, _) = world.ready();
    manager.send(ToKeeper::Finish(Finish::Reboot(nix::libc::RB_AUTOBOOT)));
    until("it is refused", || world.printed().contains("only process 1 reboots"));
    assert!(exists(manager.pid));
    manager.send(ToKeeper::Finish(Finish::Exit(9)));
    assert_eq!(world.ended(), Some(9));
    until("the manager has gone too", || !exists(manager.pid) || stat(manager.pid).is_some_and(|stat| stat[0] == "Z"));
    // A manager that does not go by itself is made to.
    let mut world = World::new();
    let (manager, _) = world.ready();
    kill(Pid::from_raw(manager.pid), Signal::SIGSTOP).expect("stop");
    manager.send(ToKeeper::Finish(Finish::Exit(3)));
    assert_eq!(world.ended(), Some(3));
}

fn a_foreign_state_is_refused() {
    for number in ["0", "99", "-1", "x"] {
        let arguments = ["--state-fd", number].map(str::to_owned).to_vec();
        let world = World::start(Start { arguments, ..Default::default() });
        assert_eq!(world.ready().1.occasion.reason, Reason::Boot);
    }
    let file = std::env::temp_dir().join(format!("stayup-state-{}", std::process::id()));
    std::fs::write(&file, vec![0xa5; 20_000]).expect("file");
    let script = format!(
        "exec 7<>{}; exec {} --user --manager {} --state-fd 7",
        file.display(),
        crate::world::INIT,
        crate::world::own_path().display()
    );
    let instead = Some(["sh", "-c", &script].map(str::to_owned).to_vec());
    let world = World::start(Start { instead, ..Default::default() });
    let (mut manager, _) = world.ready();
    assert!(world.printed().contains("no table of a keeper"), "{}", world.printed());
    manager.spawn(request(1, &["true"]));
    manager.exited(1);
    std::fs::remove_file(&file).expect("removed");
}

fn idle_memory_is_small() {
    let world = World::new();
    let (mut manager, _) = world.ready();
    let mut asked = request(1, &["true"]);
    asked.console = Console::Null;
    manager.spawn(asked);
    manager.exited(1);
    manager.send(ToKeeper::Acknowledge { ticket: 1 });
    let before = crate::spawning::rss_kib(world.keeper);
    for ticket in 2..500 {
        manager.spawn(request(ticket, &["true"]));
        manager.exited(ticket);
        manager.send(ToKeeper::Acknowledge { ticket });
    }
    let after = crate::spawning::rss_kib(world.keeper);
    println!("  rss {before} KiB, after 500 processes {after} KiB");
    assert!(after <= before + 64, "grows: {before} KiB, {after} KiB");
    // An optimised build stays below 1.5 MiB; one with debug assertions has more code.
    assert!(before < if cfg!(debug_assertions) { 4_096 } else { 1_536 }, "{before} KiB");
}
