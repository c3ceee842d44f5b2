//! After a crash: the journal as it was found, with what is known of it, is kept for a bug report.
//!
//! A thread of its own copies it beside the journal, into a bounded number of directories of bounded size; whatever goes
//! wrong there is one line in the log. Nothing of it is ever read by init.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use keeper::protocol::Reason;
use record::{Crash, Meta};

use crate::resume::Recovery;
use crate::scope::Scope;
use crate::{origin, report};

/// So many are kept, the newest ones.
const CRASHES: usize = 8;

/// And so many bytes of them together, but for the newest.
const BYTES: u64 = 16 << 20;

/// Where they are, beside the journal; each has a number, counted from 1.
pub const DIRECTORY: &str = "crashes";

/// Keeps what a recovery has found, and what the manager before has said last, if it was a recovery from a crash.
pub fn keep(scope: &Scope, reason: Reason, recovery: &Recovery, generation: u64, last_words: Vec<String>) {
    if matches!(reason, Reason::Boot | Reason::Reexecuted) {
        return;
    }
    let stamp = origin::stamp();
    let crash = Crash {
        wall_us: stamp.wall_us,
        boot_us: stamp.boot_us,
        reason: recovery.reason.clone(),
        rung: recovery.rung as u32,
        findings: recovery.findings.clone(),
        last_words,
        // Counted on when the crash before it is found.
        rungs: [0; 5],
        frames: recovery.frames,
        sequence: recovery.sequence,
        took_us: u64::try_from(recovery.took.as_micros()).unwrap_or(u64::MAX),
        // The recovery itself is counted in the turn that follows.
        generation: generation + 1,
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: nix::sys::utsname::uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default(),
        keeper_pid: nix::unistd::getppid().as_raw(),
    };
    let mut meta = Meta {
        format: 1,
        written_by: concat!("init-manager ", env!("CARGO_PKG_VERSION")).into(),
        last_sequence: recovery.sequence,
        is_redacted: false,
        crash: Some(crash),
    };
    let journal = scope.journal_dir.clone();
    let started = thread::Builder::new().name("crash".into()).spawn(move || {
        if let Err(error) = write(&journal, &mut meta) {
            report::warn(&format!("the journal of the crash is not kept: {error}"));
        }
    });
    if let Err(error) = started {
        report::warn(&format!("the journal of the crash is not kept: {error}"));
    }
}

fn write(journal: &Path, meta: &mut Meta) -> io::Result<()> {
    let Some(parent) = journal.parent() else { return Ok(()) };
    let crashes = parent.join(DIRECTORY);
    DirBuilder::new().recursive(true).mode(0o700).create(&crashes)?;
    let known = numbers(&crashes)?;
    let number = known.last().map_or(1, |last| last + 1);
    if let Some(crash) = &mut meta.crash {
        crash.rungs = known.last().map_or([0; 5], |last| rungs(&crashes, *last));
        let place = usize::try_from(crash.rung).unwrap_or(0).saturating_sub(1);
        if let Some(count) = crash.rungs.get_mut(place) {
            *count += 1;
        }
    }
    make_room(&crashes, &known)?;
    // Whole or not there at all: it gets its name last.
    let temporary = crashes.join(format!("{number}.new"));
    let _ = fs::remove_dir_all(&temporary);
    let copy = temporary.join("journal");
    DirBuilder::new().recursive(true).mode(0o700).create(&copy)?;
    for entry in fs::read_dir(journal)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != "lock" {
            copy_file(&entry.path(), &copy.join(entry.file_name()))?;
        }
    }
    let mut file = File::create(temporary.join("meta.json"))?;
    file.write_all(&serde_json::to_vec_pretty(meta)?)?;
    fs::rename(&temporary, crashes.join(number.to_string()))
}

/// What a crash that is kept says of all up to it.
fn rungs(crashes: &Path, number: u64) -> [u64; 5] {
    let text = fs::read(crashes.join(number.to_string()).join("meta.json")).unwrap_or_default();
    let meta: Meta = serde_json::from_slice(&text).unwrap_or_default();
    meta.crash.unwrap_or_default().rungs
}

/// Copies a file; zeros at its end take no room. One that is gone by now was superfluous.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = match fs::read(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut file = File::create(to)?;
    file.write_all(&bytes[..used])?;
    file.set_len(bytes.len() as u64)
}

fn numbers(crashes: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(crashes)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes the oldest, so that there is room for one more.
fn make_room(crashes: &Path, known: &[u64]) -> io::Result<()> {
    let path = |number: &u64| -> PathBuf { crashes.join(number.to_string()) };
    let mut bytes = 0;
    for (place, number) in known.iter().rev().enumerate() {
        bytes += size(&path(number))?;
        if place + 1 >= CRASHES || bytes > BYTES {
            fs::remove_dir_all(path(number))?;
        }
    }
    Ok(())
}

/// Bytes on the disk of the files in a crash's journal.
fn size(crash: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(crash.join("journal"))? {
        // st_blocks counts units of 512 bytes whatever the file system (stat(2)).
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_stay_few_and_small_however_many_there_are() {
        let place = std::env::temp_dir().join(format!("stayup-crash-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        let journal = place.join("journal");
        fs::create_dir_all(&journal).unwrap();
        let mut segment = vec![7; 100_000];
        segment.resize(1 << 20, 0);
        fs::write(journal.join("segment-0000000000000001"), &segment).unwrap();
        let crash = |rung| Meta { crash: Some(Crash { rung, ..Crash::default() }), ..Meta::default() };
        for number in 1..=20 {
            write(&journal, &mut crash(1 + number % 2)).unwrap();
        }
        let crashes = place.join(DIRECTORY);
        assert_eq!(rungs(&crashes, 20), [10, 10, 0, 0, 0], "also those that are gone are counted");
        assert_eq!(numbers(&crashes).unwrap(), (13..=20).collect::<Vec<_>>());
        let copy = crashes.join("20/journal/segment-0000000000000001");
        assert_eq!(fs::read(copy).unwrap(), segment);
        assert!(size(&crashes.join("20")).unwrap() < 200_000);
        fs::write(journal.join("checkpoint-0000000000000001"), vec![1; 9 << 20]).unwrap();
        for _ in 0..4 {
            write(&journal, &mut Meta::default()).unwrap();
        }
        assert!(numbers(&crashes).unwrap().len() <= 2);
        fs::remove_dir_all(&place).unwrap();
    }
}
