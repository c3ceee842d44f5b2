//! The manager dies again and again while jobs come and go: none is lost, none is started twice, no status is forgotten.

use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Setup, World, until};

const KILLS: usize = 50;

/// Services and tasks, an instance for each id; each start leaves a line, and so does each end of a task.
fn setup() -> Setup {
    Setup::new()
        .job("service", "instance $ID\nscript\n  echo \"$ID $$\" >> /run/test/services\n  exec sleep infinity\nend script\n")
        .job("task", "instance $ID\nexport ID\ntask\nscript\n  echo \"$ID\" >> /run/test/tasks\n  exit $STATUS\nend script\n")
        .job(
            "told",
            "instance $ID\nstart on stopped task\ntask\nexec echo \"$ID $RESULT $PROCESS $EXIT_STATUS\" >> /run/test/told\n",
        )
        .job("ended", "instance $ID\nstart on stopped task RESULT=ok\ntask\nexec echo \"$ID\" >> /run/test/ended\n")
}

/// What the client knows at the end.
#[derive(Default)]
struct Ledger {
    running: Vec<usize>,
    stopped: Vec<usize>,
    tasks: BTreeMap<usize, usize>,
}

/// Starts and stops, one call after another, until told to stop. Every call must be answered, and be answered with the truth.
fn client(world: &World, is_over: &AtomicBool, next: &AtomicUsize) -> Ledger {
    let mut ledger = Ledger::default();
    while !is_over.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let variable = format!("ID={id}");
        if id.is_multiple_of(3) {
            let status = id % 5;
            let answer = world.initctl(&["start", "task", &variable, &format!("STATUS={status}")]);
            assert_eq!(answer.status, i32::from(status != 0), "task {id} exits with {status}: {answer:?}");
            ledger.tasks.insert(id, status);
            continue;
        }
        let answer = world.initctl(&["start", "service", &variable]);
        assert_eq!(answer.status, 0, "start of {id}: {answer:?}");
        if id % 3 == 1 {
            ledger.running.push(id);
        } else {
            let answer = world.initctl(&["stop", "service", &variable]);
            assert_eq!(answer.status, 0, "stop of {id}: {answer:?}");
            ledger.stopped.push(id);
        }
    }
    ledger
}

#[test]
fn fifty_kills_lose_nothing_and_repeat_nothing() {
    let Some(world) = setup().start_or_skip() else { return };
    world.await_init();
    let (is_over, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ledgers: Vec<Ledger> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(|| client(&world, &is_over, &next))).collect();
        // However a kill goes wrong, the clients must be let go.
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..KILLS).for_each(|round| kill_once(&world, round, &next));
        }));
        is_over.store(true, Ordering::Relaxed);
        let ledgers = clients.into_iter().map(|client| client.join().unwrap()).collect();
        killed.unwrap();
        ledgers
    });
    assert_eq!(world.initctl(&["emit", "settled"]).status, 0);
    check(&world, &ledgers);
}

/// Kills the manager at another moment of its life each time; a few times before it has come back.
fn kill_once(world: &World, round: usize, next: &AtomicUsize) {
    let manager = world.manager().outside;
    if round % 5 != 4 {
        let before = next.load(Ordering::Relaxed);
        until("the clients get on", || next.load(Ordering::Relaxed) > before + round % 3);
    }
    // Not a wait for something: it spreads the kills over all that the manager does meanwhile.
    std::thread::sleep(Duration::from_micros((round as u64 * 977) % 4_000));
    world.signal(manager, Signal::SIGKILL);
    until("another manager", || world.manager_of(world.init()).is_some_and(|new| new.outside != manager));
}

fn check(world: &World, ledgers: &[Ledger]) {
    let services: Vec<(usize, String)> = world
        .lines("/run/test/services")
        .iter()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(id, pid)| (id.parse().unwrap(), pid.to_owned()))
        .collect();
    let list = world.initctl(&["list"]).out;
    let mut expected_lines = Vec::new();
    for id in ledgers.iter().flat_map(|ledger| &ledger.running) {
        let starts: Vec<_> = services.iter().filter(|(found, _)| found == id).collect();
        assert_eq!(starts.len(), 1, "service {id} was started {} times", starts.len());
        expected_lines.push(format!("service ({id}) start/running, process {}", starts[0].1));
    }
    let mut lines: Vec<_> = list.lines().filter(|line| line.starts_with("service (")).map(str::to_owned).collect();
    lines.sort();
    expected_lines.sort();
    assert_eq!(lines, expected_lines);
    for id in ledgers.iter().flat_map(|ledger| &ledger.stopped) {
        let starts = services.iter().filter(|(found, _)| found == id).count();
        assert_eq!(starts, 1, "service {id} was started {starts} times");
    }
    let sleeping = world.processes().iter().filter(|process| process.name == "sleep").count();
    assert_eq!(sleeping, expected_lines.len(), "processes of services");
    check_tasks(world, ledgers);
    assert!(world.verify("/run/stayup/journal").is_clean());
}

fn check_tasks(world: &World, ledgers: &[Ledger]) {
    let mut ran: Vec<usize> = world.lines("/run/test/tasks").iter().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    let tasks: BTreeMap<usize, usize> =
        ledgers.iter().flat_map(|ledger| ledger.tasks.iter().map(|(id, status)| (*id, *status))).collect();
    assert_eq!(ran, tasks.keys().copied().collect::<Vec<_>>(), "each task ran once");
    until("all ends are told", || world.lines("/run/test/told").len() >= tasks.len());
    let mut told = world.lines("/run/test/told");
    told.sort();
    let mut expected: Vec<String> = tasks
        .iter()
        .map(|(id, status)| if *status == 0 { format!("{id} ok  ") } else { format!("{id} failed main {status}") })
        .collect();
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(world.lines("/run/test/ended").len(), tasks.values().filter(|status| **status == 0).count());
}

#[test]
fn a_keeper_that_crashes_keeps_its_jobs() {
    let Some(world) = setup().start_or_skip() else { return };
    world.await_init();
    for id in 0..5 {
        assert_eq!(world.initctl(&["start", "service", &format!("ID={id}")]).status, 0);
    }
    let before = world.initctl(&["list"]).out;
    for round in 0..10 {
        let manager = world.manager().outside;
        world.signal(world.init(), Signal::SIGSEGV);
        until("another manager", || world.manager_of(world.init()).is_some_and(|new| new.outside != manager));
        assert_eq!(world.initctl(&["list"]).out, before);
        let answer = world.initctl(&["start", "task", &format!("ID={round}"), "STATUS=0"]);
        assert_eq!(answer.status, 0, "{answer:?}");
    }
    assert_eq!(world.lines("/run/test/services").len(), 5);
    assert_eq!(world.lines("/run/test/tasks").len(), 10);
}
