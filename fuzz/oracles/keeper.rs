//! The protocol between keeper and manager, in both directions: bytes that are none are an error, messages survive.

use std::fmt::Debug;

use keeper::protocol::{
    Condition, Console, Entry, Environment, ExitStatus, Finish, Identity, Occasion, Reason, SpawnRequest, Stage,
    ToKeeper, ToManager, decode, encode,
};

use crate::draw::Draw;

/// Any bytes as a message of each side; then any messages as bytes.
pub fn protocol(data: &[u8]) {
    read::<ToKeeper>(data);
    read::<ToManager>(data);
    read::<SpawnRequest>(data);
    for word in data.chunks_exact(8) {
        let word = u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        if let Some(stage) = Stage::from_word(word) {
            assert_eq!(Stage::from_word(stage.to_word()), Some(stage));
        }
    }
    let mut draw = Draw::new(data);
    let to_keeper = to_keeper(&mut draw);
    survives(&to_keeper, &mut draw);
    let to_manager = to_manager(&mut draw);
    survives(&to_manager, &mut draw);
    let stage = stage(&mut draw);
    assert_eq!(Stage::from_word(stage.to_word()), Some(stage));
}

fn read<T: bincode::Decode<()> + bincode::Encode + PartialEq + Debug>(data: &[u8]) {
    match decode::<T>(data) {
        Ok(message) => {
            let bytes = encode(&message).expect("what was read");
            // A number can be written in more bytes than it needs, and is written in fewer again.
            assert!(bytes.len() <= data.len());
            assert_eq!(decode::<T>(&bytes).expect("what was written"), message);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A message is read as it was written; cut anywhere, or with something behind it, it is none.
fn survives<T: bincode::Decode<()> + bincode::Encode + PartialEq + Debug>(message: &T, draw: &mut Draw<'_>) {
    let bytes = encode(message).expect("a message that can be sent");
    assert_eq!(decode::<T>(&bytes).expect("what was written"), *message);
    let cut = draw.below(256) * bytes.len() / 256;
    assert!(decode::<T>(&bytes[..cut]).is_err(), "cut after {cut} of {} bytes: {message:?}", bytes.len());
    assert!(decode::<T>(&[&bytes[..], &[draw.byte()]].concat()).is_err(), "a byte too many: {message:?}");
}

fn integer(draw: &mut Draw<'_>) -> i32 {
    let bytes = draw.number().to_le_bytes();
    i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn bytes(draw: &mut Draw<'_>) -> Vec<u8> {
    let count = draw.below(40);
    draw.bytes(count).to_vec()
}

/// Strings go into one block, and come out of it as they were.
fn environment(draw: &mut Draw<'_>) -> Environment {
    let mut environment = Environment::default();
    let mut expected = draw.list(4, bytes);
    expected.retain(|entry| {
        let is_taken = environment.push(entry).is_ok();
        assert_eq!(is_taken, !entry.contains(&0));
        is_taken
    });
    assert!(environment.iter().eq(expected.iter().map(Vec::as_slice)), "{environment:?} is not {expected:?}");
    assert!(environment.clone().into_block().is_some());
    environment
}

fn some<T>(draw: &mut Draw<'_>, one: impl FnOnce(&mut Draw<'_>) -> T) -> Option<T> {
    draw.flag().then(|| one(draw))
}

fn index(draw: &mut Draw<'_>) -> u16 {
    u16::from_le_bytes([draw.byte(), draw.byte()])
}

fn word(draw: &mut Draw<'_>) -> u32 {
    integer(draw).cast_unsigned()
}

fn stage(draw: &mut Draw<'_>) -> Stage {
    match draw.below(15) {
        0 => Stage::Request,
        1 => Stage::Clone,
        2 => Stage::Session,
        3 => Stage::Console,
        4 => Stage::Descriptor,
        5 => Stage::Limit(word(draw)),
        6 => Stage::Nice,
        7 => Stage::OomScore,
        8 => Stage::Chroot,
        9 => Stage::WorkingDirectory,
        10 => Stage::Groups,
        11 => Stage::Group,
        12 => Stage::User,
        13 => Stage::AppArmor,
        _ => Stage::Execute,
    }
}

fn status(draw: &mut Draw<'_>) -> ExitStatus {
    match draw.below(3) {
        0 => ExitStatus::Code(integer(draw)),
        1 => ExitStatus::Unknown,
        _ => ExitStatus::Signal { signal: integer(draw), core_dumped: draw.flag() },
    }
}

fn spawn_request(draw: &mut Draw<'_>) -> SpawnRequest {
    SpawnRequest {
        ticket: draw.number(),
        label: draw.text(),
        argv: draw.list(4, bytes),
        environment: environment(draw),
        console: match draw.below(5) {
            0 => Console::Null,
            1 => Console::Log(index(draw)),
            2 => Console::Output,
            3 => Console::Owner,
            _ => Console::Given(index(draw)),
        },
        descriptors: draw.list(3, |draw| (index(draw), integer(draw))),
        hold: draw.list(3, |draw| (draw.text(), index(draw))),
        nice: some(draw, integer),
        oom_score_adj: some(draw, integer),
        limits: draw.list(3, |draw| (word(draw), draw.number(), draw.number())),
        umask: word(draw),
        chroot: some(draw, bytes),
        working_directory: some(draw, bytes),
        identity: some(draw, |draw| Identity {
            gid: some(draw, word),
            groups: some(draw, |draw| draw.list(3, word)),
            uid: some(draw, word),
        }),
        cgroup: some(draw, index),
        apparmor_profile: some(draw, |draw| draw.text()),
        follow_forks: draw.byte(),
        report_stop: draw.flag(),
        stop_first: draw.flag(),
    }
}

fn to_keeper(draw: &mut Draw<'_>) -> ToKeeper {
    let ticket = draw.number();
    match draw.below(13) {
        0 => ToKeeper::Ready,
        1 => ToKeeper::Spawn(Box::new(spawn_request(draw))),
        2 => ToKeeper::SpawnLarge,
        3 => {
            let (request, signal, whole_group) = (draw.number(), integer(draw), draw.flag());
            ToKeeper::Signal { ticket, request, signal, whole_group }
        }
        4 => ToKeeper::Acknowledge { ticket },
        5 => ToKeeper::Hold { name: draw.text() },
        6 => ToKeeper::Release { name: draw.text() },
        7 => ToKeeper::Pong { number: ticket },
        8 => ToKeeper::Reexecute,
        9 => ToKeeper::Finish(Finish::Exit(draw.byte())),
        10 => ToKeeper::Finish(Finish::Reboot(integer(draw))),
        11 => ToKeeper::SignalTaken { signal: integer(draw) },
        _ => ToKeeper::Settle { ticket },
    }
}

fn reason(draw: &mut Draw<'_>) -> Reason {
    match draw.below(6) {
        0 => Reason::Boot,
        4 => Reason::KeeperLost,
        1 => Reason::Reexecuted,
        2 => Reason::ManagerEnded(status(draw)),
        3 => Reason::ManagerHung,
        _ => Reason::KeeperCrashed(integer(draw)),
    }
}

fn entry(draw: &mut Draw<'_>) -> Entry {
    Entry {
        ticket: draw.number(),
        label: draw.text(),
        pid: integer(draw),
        start_time_ticks: draw.number(),
        last_signal_request: draw.number(),
        condition: match draw.below(4) {
            0 => Condition::Running { forks_left: draw.byte(), has_stopped: draw.flag() },
            1 => Condition::Exited(status(draw)),
            2 => Condition::Failed { stage: stage(draw), errno: integer(draw) },
            _ => Condition::Starting,
        },
    }
}

fn to_manager(draw: &mut Draw<'_>) -> ToManager {
    let (ticket, pid, start_time_ticks) = (draw.number(), integer(draw), draw.number());
    match draw.below(13) {
        0 => {
            let (reason, failed_starts, restarts) = (reason(draw), word(draw), draw.number());
            ToManager::RollCallBegin(Occasion { reason, failed_starts, restarts, session: integer(draw) })
        }
        1 => ToManager::RollCallEntry(entry(draw)),
        2 => ToManager::RollCallHeld { names: draw.list(4, Draw::text) },
        3 => ToManager::RollCallEnd,
        4 => ToManager::Spawned { ticket, pid, start_time_ticks },
        5 => ToManager::SpawnFailed { ticket, stage: stage(draw), errno: integer(draw) },
        6 => ToManager::Signalled { ticket, request: draw.number(), errno: integer(draw) },
        7 => ToManager::Forked { ticket, pid, start_time_ticks, forks_left: draw.byte() },
        8 => ToManager::Stopped { ticket },
        9 => ToManager::Exited { ticket, pid, status: status(draw) },
        10 => ToManager::Signal { signal: integer(draw), sender_pid: pid, sender_uid: word(draw) },
        11 => ToManager::Ping { number: ticket },
        _ => ToManager::RollCallNumbers { highest: ticket },
    }
}
