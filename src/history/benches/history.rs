//! What the tools for the past cost on a journal of 100 MB: whole processes, one line a figure.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use history::archive::{Answer, Question, ask};
use journal::{FileStorage, Identity, Log, Options};
use machine::effect::{Caller, Effect};
use machine::input::{Call, Input, RollCall};
use machine::job::{Cause, ProcessKind};
use machine::state::State;
use record::{Origin, Stamp};

const JOURNAL_BYTES: u64 = 100_000_000;
const JOBS: usize = 50;

fn main() {
    let place = PathBuf::from("/dev/shm").join(format!("stayup-history-bench-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let journal = place.join("journal");
    let (frames, changes, bytes) = generate(&journal);
    println!("journal: {frames} frames, {changes} changes, {:.1} MB, {JOBS} jobs", bytes as f64 / 1e6);
    for (title, at) in [("the beginning", 100), ("the middle", frames / 2), ("the end", frames)] {
        let took = best_of(5, || run(&journal, &["state", "--at", &at.to_string()]));
        println!("state --at {title}: {:.0} ms", took.as_secs_f64() * 1e3);
    }
    let took = best_of(5, || run(&journal, &["dump", "--json"]));
    println!(
        "dump --json: {:.0} MB/s of journal ({:.0} ms)",
        bytes as f64 / 1e6 / took.as_secs_f64(),
        took.as_secs_f64() * 1e3
    );
    archive(&journal, &place.join("archive"), frames, changes);
    fs::remove_dir_all(&place).unwrap();
}

fn best_of(times: usize, mut measure: impl FnMut()) -> Duration {
    let once = |()| {
        let begin = Instant::now();
        measure();
        begin.elapsed()
    };
    std::iter::repeat_n((), times).map(once).min().unwrap()
}

fn run(journal: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_initjournal"));
    let status = command.args(arguments).arg("--journal").arg(journal).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn archive(journal: &Path, archive: &Path, frames: u64, changes: u64) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_init-history"))
        .arg("--journal")
        .arg(journal)
        .arg("--archive")
        .arg(archive)
        .args(["--max-age", "100000 days", "--max-size", "1000000"])
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let socket = archive.join("socket");
    let boots = Question { boots: true, ..Question::default() };
    let is_through = |answer: &Answer| matches!(answer, Answer::Boot(_, _, boot) if boot.through >= frames);
    while !ask(&socket, &boots).unwrap_or_default().iter().any(is_through) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begin.elapsed();
    let rate = changes as f64 / took.as_secs_f64();
    println!("archive: {rate:.0} changes/s, peak memory {}", peak(&child));
    let question = Question { job: Some("job-7".into()), lines: Some(1000), ..Question::default() };
    let asked = best_of(5, || drop(ask(&socket, &question).unwrap()));
    println!("history JOB over {changes} changes: {:.1} ms, by the socket", asked.as_secs_f64() * 1e3);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn peak(child: &Child) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim().to_owned()
}

/// An init whose jobs keep ending and being respawned: numbers of frames, changes and bytes.
fn generate(directory: &Path) -> (u64, u64, u64) {
    let options =
        Options { checkpoint_bytes: u64::MAX, ..Options::new(Identity { boot_id: [7; 16], pid_namespace: 1 }) };
    let mut log = Log::open(FileStorage::at(directory).unwrap(), options).unwrap().0;
    let mut state = State::default();
    let (mut frames, mut changes, mut bytes, mut now_us) = (0, 0, 0, 0);
    let mut buffer = Vec::new();
    let mut take = |state: &mut State, input: Input| {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            now_us += 37;
            let origin = Origin::of(&input, |_| None);
            let outcome = machine::turn(state, now_us / 1000, input);
            if !outcome.changes.is_empty() {
                buffer.clear();
                let stamp = Stamp { boot_us: now_us, wall_us: 1_800_000_000_000_000 + now_us };
                record::encode_turn(stamp, &origin, &outcome.changes, &mut buffer).unwrap();
                frames = log.append(&buffer).unwrap();
                changes += outcome.changes.len() as u64;
                bytes += journal::frame_bytes(buffer.len()) as u64;
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
            if state.next_deadline_ms() == Some(0) && inputs.is_empty() {
                inputs.push_back(Input::Tick);
            }
        }
        bytes
    };
    take(&mut state, Input::Settings(Box::default()));
    take(&mut state, Input::RollCall(RollCall::default()));
    let names: Vec<String> = (0..JOBS).map(|number| format!("job-{number}")).collect();
    for (name, serial) in names.iter().zip(1..) {
        let text = b"respawn\nrespawn limit unlimited\nenv PATH=/usr/bin:/bin\nexec sleep 1000\n";
        take(&mut state, Input::Define(Box::new(machine::parse::parse_class(name, text).unwrap())));
        let call = Call::Start { class: name.clone(), environment: vec![], wait: false };
        take(&mut state, Input::Call(Caller { connection: 1, serial, sender: None }, call));
    }
    for name in names.iter().cycle() {
        let ticket = state.find(name, "").unwrap().process(ProcessKind::Main).unwrap().ticket;
        if take(&mut state, Input::Exited { ticket, cause: Cause::Status(1) }) > JOURNAL_BYTES {
            break;
        }
    }
    (frames, changes, bytes)
}
