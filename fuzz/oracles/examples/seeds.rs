//! Writes the first seeds of every target into `fuzz/seeds`: job files and changes from the stories, messages, handshakes,
//! and plain pseudo-random choices where an input is nothing else. What fuzzing has found since is added by hand.
//!
//! `cargo run -p stayup-oracles --example seeds`

use std::fs;
use std::io;
use std::path::Path;

use journal::encode_frame;
use keeper::protocol::{Environment, Occasion, Reason, SpawnRequest, ToKeeper, ToManager, encode};
use machine::change::Change;
use machine::effect::{Caller, Effect};
use machine::input::{Call, Input, RollCall, Settings};
use machine::job::Cause;
use machine::parse::parse_class;
use machine::state::State;
use machine::turn;
use record::{Origin, Stamp, encode_state, encode_turn};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn main() -> io::Result<()> {
    let jobs = jobs_of_stories()?;
    let records: Vec<Vec<Change>> = jobs.iter().step_by(4).map(|jobs| life(jobs)).collect();
    let files = jobs.iter().map(|jobs| jobs.iter().map(|(_, text)| text.as_str()).collect::<String>().into_bytes());
    write("job_file", files.collect())?;
    write("change_codec", records.iter().enumerate().map(|(at, changes)| body(at, changes)).collect())?;
    write("replay", records.iter().enumerate().map(|(at, changes)| replay(at as u64, changes)).collect())?;
    write(
        "frame",
        vec![
            frame(b""),
            frame(b"one"),
            frame(&[7; 600]),
            b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0cabc".to_vec(),
        ],
    )?;
    write("segment_scan", random(12, 120))?;
    write("condition", random(24, 70))?;
    write("machine_inputs", random(24, 300))?;
    write("keeper_protocol", messages())?;
    write("dbus_messages", random(16, 120))?;
    let handshakes: [&[u8]; 6] = [
        b"\x00\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
        b"\x03\0AUTH EXTERNAL 30\r\nBEGIN\r\n",
        b"\x01\0AUTH\r\nAUTH DBUS_COOKIE_SHA1 30\r\nAUTH EXTERNAL 35\r\nCANCEL\r\nAUTH EXTERNAL \r\nBEGIN\r\n",
        b"\x07\0BEGIN\r\n",
        b"\x02\0AUTH EXTERNAL\r\nDATA 30\r\nERROR\r\nAUTH EXTERNAL\r\nDATA\r\nBEGIN\r\nl\x01\0\x01\0\0\0\0\x01\0\0\0\0\0\0\0",
        b"\x05no",
    ];
    write("dbus_handshake", handshakes.map(<[u8]>::to_vec).to_vec())
}

fn write(target: &str, seeds: Vec<Vec<u8>>) -> io::Result<()> {
    let folder = Path::new(ROOT).join("fuzz/seeds").join(target);
    fs::create_dir_all(&folder)?;
    for (at, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("first-{at:02}")), seed)?;
    }
    println!("{target}: {} seeds, {} bytes", seeds.len(), seeds.iter().map(Vec::len).sum::<usize>());
    Ok(())
}

/// The jobs of each story: name and text.
fn jobs_of_stories() -> io::Result<Vec<Vec<(String, String)>>> {
    let mut paths: Vec<_> = fs::read_dir(Path::new(ROOT).join("tests/stories"))?.collect::<Result<_, _>>()?;
    paths.sort_by_key(fs::DirEntry::file_name);
    let mut stories = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path.path())?;
        let mut jobs: Vec<(String, String)> = Vec::new();
        let mut open: Option<(String, String)> = None;
        for line in text.lines() {
            match &mut open {
                None => open = line.strip_prefix("job ").map(|name| (name.into(), String::new())),
                Some(_) if line == "end" => jobs.extend(open.take()),
                Some((_, text)) => *text += &format!("{}\n", line.strip_prefix("  ").unwrap_or(line)),
            }
        }
        if !jobs.is_empty() {
            stories.push(jobs);
        }
    }
    Ok(stories)
}

/// The changes of a short life: the jobs are started, their processes come up and end, and they are stopped.
fn life(jobs: &[(String, String)]) -> Vec<Change> {
    let (mut state, mut changes) = (State::default(), Vec::new());
    let mut inputs = vec![
        Input::Settings(Box::new(Settings { is_session: true, ..Settings::default() })),
        Input::RollCall(RollCall::default()),
        Input::Startup(Some("startup".into())),
    ];
    for (name, text) in jobs {
        inputs.extend(parse_class(name, text.as_bytes()).map(|class| Input::Define(Box::new(class))));
    }
    for (serial, (name, _)) in (1..).zip(jobs) {
        let caller = Caller { connection: 1, serial, sender: None };
        inputs.push(Input::Call(caller, Call::Start { class: name.clone(), environment: vec![], wait: true }));
    }
    let mut now_ms = 1;
    while let Some(input) = (now_ms < 60 && !inputs.is_empty()).then(|| inputs.remove(0)) {
        now_ms += 1;
        let outcome = turn(&mut state, now_ms, input);
        changes.extend(outcome.changes);
        for effect in outcome.effects {
            match effect {
                Effect::Spawn(ticket) => {
                    inputs.push(Input::Spawned { ticket, pid: 10, start_time_ticks: 5 });
                    inputs.push(Input::Exited { ticket, cause: Cause::Status(0) });
                }
                Effect::Signal { ticket, request, .. } => inputs.push(Input::Signalled { ticket, request }),
                _ => {}
            }
        }
    }
    changes
}

/// A record without its version: as version 2 writes it, or (every other) as version 1 did, which began with the changes.
fn body(at: usize, changes: &[Change]) -> Vec<u8> {
    let from = if at.is_multiple_of(2) { 1 } else { encoded(&[]).len() - 1 };
    encoded(changes)[from..].to_vec()
}

fn encoded(changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_turn(Stamp::default(), &Origin::Tick, changes, &mut bytes).expect("changes can be written");
    bytes
}

/// See the oracle: changes in arbitrary order, or (every third) a checkpoint and a frame.
fn replay(seed: u64, changes: &[Change]) -> Vec<u8> {
    if seed.is_multiple_of(3) {
        let mut state = State::default();
        changes.iter().for_each(|change| state.apply(change, &mut Vec::new()));
        let checkpoint = encode_state(&state).expect("a state can be written");
        let length = (checkpoint.len() - 1).to_le_bytes();
        let frame = encoded(&changes[..changes.len().min(3)]);
        let frame = &frame[..frame.len().min(254)];
        return [&[0, 1, length[0], length[1]], &checkpoint[1..], &[254], frame].concat();
    }
    let alphabet: Vec<u8> = changes
        .iter()
        .flat_map(|change| encoded(std::slice::from_ref(change))[encoded(&[]).len()..].to_vec())
        .collect();
    let length = alphabet.len().min(4095).to_le_bytes();
    let order: Vec<u8> = (0..=200).chain(random(1, 60).concat()).collect();
    [&[1, length[0], length[1]], &alphabet[..alphabet.len().min(4095)], &order].concat()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, 5, 9, payload);
    bytes
}

fn messages() -> Vec<Vec<u8>> {
    let mut environment = Environment::default();
    environment.push(b"PATH=/bin").expect("no NUL in it");
    let request = SpawnRequest {
        ticket: 5,
        label: "job".into(),
        argv: vec![b"sleep".to_vec(), b"600".to_vec()],
        environment,
        ..SpawnRequest::default()
    };
    let occasion = Occasion { reason: Reason::KeeperCrashed(11), failed_starts: 2, restarts: 9, session: 1 };
    let mut messages: Vec<Vec<u8>> = vec![
        encode(&ToKeeper::Spawn(Box::new(request))).expect("a message that can be sent"),
        encode(&ToManager::RollCallBegin(occasion)).expect("as above"),
        encode(&ToManager::RollCallHeld { names: vec!["journal".into(), "client-1".into()] }).expect("as above"),
    ];
    messages.extend(random(12, 150));
    messages
}

/// Bytes without a meaning, the same in every run (xorshift64).
fn random(count: u64, length: usize) -> Vec<Vec<u8>> {
    let one = |seed: u64| {
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ (seed + 1);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    (0..count).map(one).collect()
}
