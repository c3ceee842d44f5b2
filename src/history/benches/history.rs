//! What the tools for the past cost: whole processes, one line a figure.
//!
//! Without words: everything but the last. `-- state`, `dump`, `archive`, `ten-million` choose.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use history::archive::{Answer, Archived, Question, Run, Store, ask, entries};
use history::names::Names;
use journal::{FileStorage, Identity, Log, Options, Reach};
use machine::change::Change;
use machine::effect::{Caller, Effect};
use machine::input::{Call, Input, RollCall};
use machine::job::{Cause, ProcessKind};
use machine::state::State;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use record::{Origin, Stamp, Turn};

const JOURNAL_BYTES: u64 = 100_000_000;
const JOBS: usize = 50;
const IDENTITY: Identity = Identity { boot_id: [7; 16], pid_namespace: 1 };

/// Changes a second that the archive is to keep up with, and for how long.
const RATE: u64 = 20_000;
const SECONDS: u64 = 20;

const MANY: u64 = 10_000_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| words.iter().any(|word| word == name) || (words.is_empty() && name != "ten-million");
    let place = Place::new();
    if is_wanted("state") || is_wanted("dump") {
        let journal = place.0.join("journal");
        let (frames, bytes) = large(&journal);
        let bare = best_of(5, UsageWho::RUSAGE_SELF, || {
            journal::look(&FileStorage::read_only(&journal).unwrap(), Reach::All).unwrap();
        });
        println!("reading and verifying alone: {bare}");
        if is_wanted("state") {
            for (title, at) in [("the beginning", 100), ("the middle", frames / 2), ("the end", frames)] {
                let at = at.to_string();
                let took = best_of(5, UsageWho::RUSAGE_CHILDREN, || run(&journal, &["state", "--at", &at]));
                println!("state --at {title}: {took}");
            }
        }
        if is_wanted("dump") {
            let took = best_of(5, UsageWho::RUSAGE_CHILDREN, || run(&journal, &["dump", "--json"]));
            let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
            let (wall, processor) = (rate(took.wall), rate(took.processor));
            println!(
                "dump --json: {took}; {wall:.0} MB/s of journal, {processor:.0} MB for a second of processor time"
            );
        }
        fs::remove_dir_all(&journal).unwrap();
    }
    if is_wanted("archive") {
        follow(&place.0);
    }
    if is_wanted("ten-million") {
        ten_million(&place.0);
    }
}

/// A directory in memory that goes with the bench.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = PathBuf::from("/dev/shm").join(format!("stayup-history-bench-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What something took.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    /// User and system time of all threads.
    processor: Duration,
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:.1} ms ({:.1} ms of processor time)", ms(self.wall), ms(self.processor))
    }
}

/// The best of each; `whose` processor time counts, getrusage(2).
fn best_of(times: usize, whose: UsageWho, mut measure: impl FnMut()) -> Took {
    let used = || {
        let usage = getrusage(whose).unwrap();
        let us = (usage.user_time() + usage.system_time()).num_microseconds();
        Duration::from_micros(u64::try_from(us).unwrap())
    };
    let mut once = || {
        let (begin, before) = (Instant::now(), used());
        measure();
        Took { wall: begin.elapsed(), processor: used() - before }
    };
    let better =
        |one: Took, other: Took| Took { wall: one.wall.min(other.wall), processor: one.processor.min(other.processor) };
    (1..times).fold(once(), |best, _| better(best, once()))
}

fn run(journal: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_initjournal"));
    let status = command.args(arguments).arg("--journal").arg(journal).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

/// A journal of 100 MB without checkpoints: how many frames and bytes.
fn large(directory: &Path) -> (u64, u64) {
    let options = Options { checkpoint_bytes: u64::MAX, ..Options::new(IDENTITY) };
    let mut log = Log::open(FileStorage::at(directory).unwrap(), options).unwrap().0;
    let (mut frames, mut changes, mut bytes) = (0, 0, 0);
    let mut life = Life::new();
    while bytes < JOURNAL_BYTES {
        for turn in life.step() {
            let payload = encode(&turn);
            frames = log.append(&payload).unwrap();
            changes += turn.changes.len();
            bytes += journal::frame_bytes(payload.len()) as u64;
        }
    }
    println!("journal: {frames} frames, {changes} changes, {:.1} MB, {JOBS} jobs", bytes as f64 / 1e6);
    (frames, bytes)
}

/// The archive follows an init that makes so many changes a second, with a journal as inits keep it.
fn follow(place: &Path) {
    let (journal, archive) = (place.join("live"), place.join("archive"));
    let mut log = Log::open(FileStorage::at(&journal).unwrap(), Options::new(IDENTITY)).unwrap().0;
    let mut life = Life::new();
    let mut archivist = start(&journal, &archive);
    let begin = Instant::now();
    let (mut changes, mut last) = (0, 0);
    while changes < RATE * SECONDS {
        for turn in life.step() {
            last = log.append(&encode(&turn)).unwrap();
            changes += turn.changes.len() as u64;
            if log.wants_checkpoint() {
                log.checkpoint(&record::encode_state(&life.state).unwrap()).unwrap();
            }
        }
        let due = Duration::from_micros(changes * 1_000_000 / RATE);
        thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let (wrote, began_waiting) = (begin.elapsed(), Instant::now());
    until_through(&archive, last);
    let gaps = Question { lines: None, ..Question::default() };
    let gaps = ask(&archive.join("socket"), &gaps).unwrap();
    let gaps =
        gaps.iter().filter(|answer| matches!(answer, Answer::Entry(entry) if entry.kind.name() == "gap")).count();
    println!(
        "archive: followed {:.0} changes/s for {:.0} s, {:.0} ms behind at the end, {gaps} gaps; peak memory {}, {} of processor time",
        changes as f64 / wrote.as_secs_f64(),
        wrote.as_secs_f64(),
        began_waiting.elapsed().as_secs_f64() * 1e3,
        peak(&archivist),
        processor_time(&archivist),
    );
    archivist.kill().unwrap();
    archivist.wait().unwrap();
}

/// An archive of ten million changes, asked for one job.
fn ten_million(place: &Path) {
    let archive = place.join("many");
    fs::create_dir_all(&archive).unwrap();
    let (store, _) = Store::open(&archive.join("database")).unwrap();
    let run = Run::new(&IDENTITY, 1, 1);
    let (mut changes, mut sequence) = (0, 0);
    let (mut life, mut names) = (Life::new(), Names::default());
    let begin = Instant::now();
    while changes < MANY {
        let mut piece = Vec::new();
        while piece.len() < 2048 {
            for turn in life.step() {
                sequence += 1;
                changes += turn.changes.len() as u64;
                names.learn(&turn);
                piece.push(Archived {
                    sequence,
                    payload: encode(&turn),
                    time_us: turn.stamp.unwrap().wall_us,
                    entries: entries(sequence, &turn, &names),
                });
            }
        }
        store.put(run, &piece).unwrap();
    }
    let took = begin.elapsed().as_secs_f64();
    drop(store);
    println!(
        "archived {changes} changes, {:.0} changes/s; {} on disk; peak memory {}",
        changes as f64 / took,
        on_disk(&archive),
        peak_of(std::process::id()),
    );
    let mut archivist = start(&place.join("no-journal"), &archive);
    until_through(&archive, sequence);
    println!("memory of the archive when it was opened: {}", peak(&archivist));
    let job = || Question { job: Some("job-7".into()), lines: Some(1000), ..Question::default() };
    let socket = archive.join("socket");
    let questions = [
        ("history JOB", job()),
        ("history JOB --failed", Question { failed: true, ..job() }),
        ("history JOB --lines 10", Question { lines: Some(10), ..job() }),
        ("history", Question { job: None, ..job() }),
    ];
    for (title, question) in questions {
        let took = best_of(10, UsageWho::RUSAGE_SELF, || assert!(ask(&socket, &question).unwrap().len() >= 10));
        println!("{title} over {changes} changes, by the socket: {:.1} ms", took.wall.as_secs_f64() * 1e3);
    }
    let took = best_of(10, UsageWho::RUSAGE_CHILDREN, || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_init-history"));
        command.args(["history", "job-7", "--journal"]).arg(place.join("no-journal")).arg("--archive").arg(&archive);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
    });
    println!("initctl history JOB over {changes} changes, whole process: {took}");
    println!("peak memory of the archive then: {}", peak(&archivist));
    archivist.kill().unwrap();
    archivist.wait().unwrap();
}

fn start(journal: &Path, archive: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_init-history"))
        .arg("--journal")
        .arg(journal)
        .arg("--archive")
        .arg(archive)
        .args(["--max-age", "100000 days", "--max-size", "1000000"])
        .spawn()
        .unwrap()
}

fn until_through(archive: &Path, sequence: u64) {
    let boots = Question { boots: true, ..Question::default() };
    let is_through = |answer: &Answer| matches!(answer, Answer::Boot(_, _, boot) if boot.through >= sequence);
    while !ask(&archive.join("socket"), &boots).unwrap_or_default().iter().any(is_through) {
        thread::sleep(Duration::from_millis(10));
    }
}

fn peak(child: &Child) -> String {
    peak_of(child.id())
}

fn peak_of(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim().to_owned()
}

/// User and system time, proc_pid_stat(5).
fn processor_time(child: &Child) -> String {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<i64> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // The state, which is a letter, is left out; fields 14 and 15, in hundredths of a second.
    format!("{:.1} s", (fields[10] + fields[11]) as f64 / 100.0)
}

fn on_disk(directory: &Path) -> String {
    let output = Command::new("du").arg("-sh").arg(directory).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap_or("?").to_owned()
}

fn encode(turn: &Turn) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::encode_turn(turn.stamp.unwrap(), &turn.origin, &turn.changes, &mut bytes).unwrap();
    bytes
}

/// An init whose jobs keep ending and being respawned.
struct Life {
    state: State,
    now_us: u64,
    next: usize,
    first: Vec<Turn>,
}

impl Life {
    fn new() -> Self {
        let mut life = Self { state: State::default(), now_us: 0, next: 0, first: Vec::new() };
        let mut first = life.take(Input::Settings(Box::default()));
        first.extend(life.take(Input::RollCall(RollCall::default())));
        for (number, serial) in (0..JOBS).zip(1..) {
            let name = format!("job-{number}");
            let text = b"respawn\nrespawn limit unlimited\nenv PATH=/usr/bin:/bin\nexec sleep 1000\n";
            first.extend(life.take(Input::Define(Box::new(machine::parse::parse_class(&name, text).unwrap()))));
            let call = Call::Start { class: name, environment: vec![], wait: false };
            first.extend(life.take(Input::Call(Caller { connection: 1, serial, sender: None }, call)));
        }
        life.first = first;
        life
    }

    /// The next turns: a process ends, and the job comes back.
    fn step(&mut self) -> Vec<Turn> {
        if !self.first.is_empty() {
            return std::mem::take(&mut self.first);
        }
        let name = format!("job-{}", self.next % JOBS);
        self.next += 1;
        let ticket = self.state.find(&name, "").unwrap().process(ProcessKind::Main).unwrap().ticket;
        self.take(Input::Exited { ticket, cause: Cause::Status(1) })
    }

    fn take(&mut self, input: Input) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.now_us += 37;
            let origin = Origin::of(&input, |_| None);
            let outcome = machine::turn(&mut self.state, self.now_us / 1000, input);
            if !outcome.changes.is_empty() {
                turns.push(self.turn(origin, outcome.changes));
            }
            for effect in outcome.effects {
                match effect {
                    Effect::Spawn(ticket) => {
                        inputs.push_back(Input::Spawned { ticket, pid: 1000, start_time_ticks: 9 });
                    }
                    Effect::Announce(number, _) => inputs.push_back(Input::Performed(number)),
                    _ => {}
                }
            }
            if self.state.next_deadline_ms() == Some(0) && inputs.is_empty() {
                inputs.push_back(Input::Tick);
            }
        }
        turns
    }

    fn turn(&self, origin: Origin, changes: Vec<Change>) -> Turn {
        let stamp = Stamp { boot_us: self.now_us, wall_us: 1_800_000_000_000_000 + self.now_us };
        Turn { stamp: Some(stamp), origin, changes }
    }
}
