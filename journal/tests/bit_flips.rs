//! Any bit may turn over.

use journal::{Log, MemoryStorage, Rule, Severity};

use crate::common::{State, Step, live, options, payload, recover};

/// Two checkpoints, two segments, frames of several sizes.
fn short_life() -> Vec<Step> {
    let sizes = [64, 300, 0, 500, 300, 700, 200];
    let mut steps: Vec<Step> = sizes.iter().enumerate().map(|(i, size)| Step::Append(payload(i, *size))).collect();
    steps.insert(1, Step::Checkpoint);
    steps.insert(3, Step::Checkpoint);
    steps.push(Step::Append(payload(50, 4090)));
    steps.push(Step::Append(payload(51, 100)));
    steps
}

#[test]
fn no_flipped_bit_makes_a_wrong_state() {
    let disk = MemoryStorage::new();
    let lived = live(&disk, options(), &short_life());
    for (name, content) in disk.files() {
        let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in 0..content.len() {
            // Deep in the payload of the large frame one bit of each byte is as good as all, and in the unwritten space one of
            // every eighth byte.
            let is_space = byte >= used;
            let bits = match byte % 8 {
                _ if content[byte] != 0 && (4500..8000).contains(&byte) => byte % 8..byte % 8 + 1,
                _ if !is_space => 0..8,
                0 => byte / 8 % 8..byte / 8 % 8 + 1,
                _ => 0..0,
            };
            for bit in bits {
                let mut flipped = content.clone();
                flipped[byte] ^= 1 << bit;
                let damaged = disk.snapshot();
                damaged.put(&name, flipped);
                let (log, found) = Log::open(damaged.clone(), options()).unwrap();
                let state = State::replay(&found);
                assert!(lived.states.contains(&state), "{name} byte {byte} bit {bit}: {:?}", found.report);
                let is_told = state == lived.last() || found.report.severity() >= Severity::Repaired;
                assert!(is_told, "{name} byte {byte} bit {bit}: {:?}", found.report);
                // The last frame may pass for one that never arrived; but its number is not used again.
                assert!(log.next_sequence() > lived.last().count, "{:?}", found.report);
                drop(log);
                if (byte * 8 + bit) % 251 == 0 {
                    assert_eq!(recover(&damaged).0, state, "{name} byte {byte} bit {bit}");
                }
            }
        }
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_nothing() {
    let disk = MemoryStorage::new();
    let lived = live(&disk, options(), &short_life());
    let name = "checkpoint-0000000000000002";
    let mut content = disk.take(name).unwrap();
    content[100] ^= 0x10;
    disk.put(name, content);
    let (state, report) = recover(&disk);
    assert_eq!(state, lived.last());
    assert!(report.applied(Rule::DamagedCheckpoint), "{report:?}");
    assert_eq!(report.checkpoint_sequence, Some(1));
}
