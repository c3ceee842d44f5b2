//! What whole programs cost, next to what they are compared with, measured in one run.
//!
//! `cargo bench -p stayup-tests` prints one line a figure. Ratios mean something on a machine that is busy with other
//! things, times alone do not.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be taken has no result to return")]

mod client;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::Client;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use testkit::{programs, resident_bytes, until};

/// A session init with a folder of its own.
struct Session {
    init: Child,
    folder: PathBuf,
    address: String,
}

impl Session {
    /// Starts one with these job files.
    fn start(jobs: impl Iterator<Item = (String, String)>) -> Self {
        let parent = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let folder = parent.join(format!("stayup-bench-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for name in ["conf", "run", "cache"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        for (name, text) in jobs {
            fs::write(folder.join("conf").join(name + ".conf"), text).unwrap();
        }
        let init = Command::new(programs().join("init"))
            .args(["--user", "--no-dbus", "--confdir"])
            .arg(folder.join("conf"))
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .env_remove("UPSTART_SESSION")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("errors")).unwrap())
            .spawn()
            .unwrap();
        let file = folder.join(format!("run/upstart/sessions/{}.session", init.id()));
        until("the session file", || file.exists());
        let text = fs::read_to_string(&file).unwrap();
        let address = text.trim().strip_prefix("UPSTART_SESSION=").unwrap().to_owned();
        Self { init, folder, address }
    }

    fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    fn initctl(&self, words: &[&str]) -> String {
        let output = Command::new(programs().join("initctl"))
            .args(words)
            .env("UPSTART_SESSION", &self.address)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Pid of the manager.
    fn manager(&self) -> i32 {
        let keeper = self.init.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
        let is_manager = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "init-manager")
        };
        children.split_whitespace().find(is_manager).unwrap().parse().unwrap()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let pid = i32::try_from(self.init.id()).unwrap();
        Command::new("kill").arg(pid.to_string()).status().unwrap();
        let limit = Instant::now() + Duration::from_secs(30);
        while matches!(self.init.try_wait(), Ok(None)) && Instant::now() < limit {
            std::thread::yield_now();
        }
        let _ = self.init.kill();
        let _ = self.init.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// 1,000 times `Start(wait)` of a task that is `/bin/true`, against spawn and wait of it by this program; as the scheduler does
/// it, and then with the manager kept on one processor, see docs/BENCHMARKS.md.
fn start_and_wait() {
    let session = Session::start([("true".to_owned(), "task\nconsole none\nexec /bin/true\n".to_owned())].into_iter());
    let mut client = session.client();
    start_against_spawn(&mut client, "start and wait of /bin/true, 1,000 times");
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let last = (0..CpuSet::count()).rfind(|&number| allowed.is_set(number).unwrap()).unwrap();
    let words = ["-a", "-c", "-p", &last.to_string(), &session.manager().to_string()];
    if Command::new("taskset").args(words).stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        start_against_spawn(&mut client, "the same, the manager kept on one processor");
    }
}

/// In turns, so that what else the machine does falls on both alike.
fn start_against_spawn(client: &mut Client, what: &str) {
    const ROUNDS: usize = 200;
    const EACH: u32 = 5;
    let timed = |work: &mut dyn FnMut()| {
        let begin = Instant::now();
        (0..EACH).for_each(|_| work());
        begin.elapsed() / EACH
    };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(timed(&mut || client.start("true", &[], true)));
        bare.push(timed(&mut || assert!(Command::new("/bin/true").status().unwrap().success())));
    }
    // Turn by turn, and the middle of each: what else the machine does, or its host, falls on both alike.
    let middle = |times: &mut Vec<Duration>| {
        times.sort();
        times[ROUNDS / 2]
    };
    let sums = ours.iter().sum::<Duration>().as_secs_f64() / bare.iter().sum::<Duration>().as_secs_f64();
    let (ours, bare) = (middle(&mut ours), middle(&mut bare));
    println!(
        "{what}: {ours:?} each; spawn and wait by a bare program: {bare:?} each; ratio {:.2} of the medians, {sums:.2} of the sums (asked for: at most 1.35)",
        ours.as_secs_f64() / bare.as_secs_f64()
    );
}

/// `initctl list` of 1,000 running instances.
fn list() {
    let session =
        Session::start([("job".to_owned(), "instance $N\nconsole none\nexec sleep 1000\n".to_owned())].into_iter());
    let mut client = session.client();
    (0..1000).for_each(|n| client.start("job", &[format!("N={n}")], true));
    let best = (0..10).map(|_| {
        let begin = Instant::now();
        let lines = session.initctl(&["list"]).lines().count();
        assert_eq!(lines, 1000);
        begin.elapsed()
    });
    let mut times: Vec<Duration> = best.collect();
    times.sort();
    println!("initctl list of 1,000 instances: median {:?}, best {:?} (asked for: under 60 ms)", times[5], times[0]);
}

/// An event that one job of many waits for.
fn event_among_many() {
    for classes in [200, 20_000] {
        let jobs = (0..classes).map(|n| (format!("job{n}"), format!("task\nstart on event{n}\n")));
        let session = Session::start(jobs);
        let mut client = session.client();
        let begin = Instant::now();
        (0..200).for_each(|_| client.emit("event7"));
        println!("an event that starts 1 of {classes} jobs: {:?} each", begin.elapsed() / 200);
    }
}

/// Many jobs with a pseudo-terminal each.
fn many_logs() {
    const COUNT: usize = 5_000;
    // Some calls ahead of their answers; init serves nobody who does not read.
    const AHEAD: usize = 16;
    let text = "instance $N\nconsole log\nexec sh -c 'echo line; exec sleep 1000'\n";
    let session = Session::start([("job".to_owned(), text.to_owned())].into_iter());
    let mut client = session.client();
    let begin = Instant::now();
    (0..AHEAD).for_each(|n| client.send_start("job", &[format!("N={n}")], true));
    for n in AHEAD..COUNT {
        client.reply();
        client.send_start("job", &[format!("N={n}")], true);
    }
    (0..AHEAD).for_each(|_| client.reply());
    let took = begin.elapsed();
    let running = session.initctl(&["list"]).lines().filter(|line| line.contains("start/running")).count();
    let logs = session.folder.join("cache/upstart");
    until("all logs", || fs::read_dir(&logs).is_ok_and(|entries| entries.count() == COUNT));
    println!(
        "instances with console log at once: {running} of {COUNT}, started in {took:?}, each with its log (asked for: 5,000); keeper {} KiB, manager {} KiB",
        kib(i32::try_from(session.init.id()).unwrap()),
        kib(session.manager())
    );
}

/// From SIGKILL of the manager to the first answer over D-Bus, with 1,000 running jobs.
fn recovery() {
    const ROUNDS: usize = 21;
    let session =
        Session::start([("job".to_owned(), "instance $N\nconsole none\nexec sleep 1000\n".to_owned())].into_iter());
    let mut client = session.client();
    (0..1000).for_each(|n| client.start("job", &[format!("N={n}")], true));
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            // Ten deaths within ten seconds are a habit, and cost 100 ms each: not what is measured here.
            std::thread::sleep(Duration::from_millis(1_050));
            let manager = session.manager();
            let begin = Instant::now();
            Command::new("kill").args(["-KILL", &manager.to_string()]).status().unwrap();
            // The connection is the one of before, and its call waits for whoever comes.
            client.ask();
            let took = begin.elapsed();
            assert_ne!(session.manager(), manager);
            assert_eq!(session.initctl(&["list"]).lines().filter(|line| line.contains("start/running")).count(), 1000);
            took
        })
        .collect();
    times.sort();
    println!(
        "recovery from SIGKILL of the manager with 1,000 running jobs, to the first D-Bus answer (kill(1) included): median {:?}, best {:?}, worst {:?} (asked for: median under 60 ms)",
        times[ROUNDS / 2],
        times[0],
        times[ROUNDS - 1]
    );
}

fn kib(pid: i32) -> u64 {
    resident_bytes(pid).unwrap_or(0) / 1024
}

/// How much memory the programs take.
fn memory() {
    let session = Session::start(std::iter::empty());
    let keeper = i32::try_from(session.init.id()).unwrap();
    println!("idle keeper: {} KiB (asked for: at most 1,536)", kib(keeper));
    let begin = kib(session.manager());
    println!("idle manager: {begin} KiB (asked for: at most 6,144)");
    for _ in 0..100 {
        let before = session.manager();
        session.client().restart();
        until("another manager", || {
            let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap_or_default();
            children.split_whitespace().any(|pid| pid.parse() != Ok(before))
                && session.initctl(&["version"]).contains("init")
        });
    }
    println!(
        "after 100 re-execs: keeper {} KiB, manager {} KiB (asked for: no growth)",
        kib(keeper),
        kib(session.manager())
    );
    drop(session);
    let jobs = (0..1000).map(|n| (format!("job{n}"), format!("start on event{n}\nexec sleep {n}\n")));
    let session = Session::start(jobs);
    println!("manager with 1,000 job files: {} KiB (asked for: at most 12,288)", kib(session.manager()));
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let benches: [(&str, fn()); 6] = [
        ("start", start_and_wait),
        ("list", list),
        ("event", event_among_many),
        ("logs", many_logs),
        ("memory", memory),
        ("recovery", recovery),
    ];
    for (name, bench) in benches {
        if only.is_empty() || only.iter().any(|word| name.contains(word.as_str())) {
            bench();
        }
    }
}
