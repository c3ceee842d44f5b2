//! `fuzz-journal`: what a journal would give, whatever bytes it consists of. Nothing of it is changed.
//!
//! The files are read into memory and opened there by the journal's own rules, so that the repair is the real one.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ::manager::resume::{Recovery, Resumed, go_on};
use journal::{Identity, Log, MemoryStorage, OpenError, Options};
use keeper::protocol::{ExitStatus, Occasion, Reason};

/// Replays the journal at a path: its directory, or one of its files alone.
///
/// # Errors
/// When a file cannot be read, or there is none.
pub fn replay(path: &Path) -> Result<String, String> {
    let storage = MemoryStorage::new();
    let mut files = 0;
    let mut load = |path: &Path| -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && name != "lock" {
            let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            storage.put(&named(&name, &bytes), bytes);
            files += 1;
        }
        Ok(())
    };
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
        for entry in entries {
            load(&entry.map_err(|error| format!("{}: {error}", path.display()))?.path())?;
        }
    } else {
        load(path)?;
    }
    if files == 0 {
        return Err(format!("{}: there is no journal", path.display()));
    }
    Ok(format!("{}: {files} files\n{}", path.display(), replay_in(storage)))
}

/// A file under another name than the journal gives it (a fuzzer's) is taken for what its first bytes say.
fn named(name: &str, bytes: &[u8]) -> String {
    let number = |range: std::ops::Range<usize>| {
        bytes.get(range).and_then(|bytes| bytes.try_into().ok()).map_or(1, u64::from_le_bytes)
    };
    match name {
        _ if name.starts_with("segment-") || name.starts_with("checkpoint-") => name.to_owned(),
        _ if bytes.starts_with(b"StayupCk") => format!("checkpoint-{:016x}", number(40..48)),
        _ => format!("segment-{:016x}", number(40..48)),
    }
}

/// What a storage's journal gives, in words.
fn replay_in(storage: MemoryStorage) -> String {
    let mut text = String::new();
    let identity = Identity::of_this_system().unwrap_or_default();
    let opened = match Log::open(storage, Options::new(identity)) {
        Ok(opened) => opened,
        Err(error @ OpenError::NewerVersion { .. }) => return format!("refused: {error}\n"),
        Err(error) => return format!("cannot be opened: {error}; init would set it aside and begin anew\n"),
    };
    let report = &opened.1.report;
    let _ = writeln!(
        text,
        "checkpoint: {}; frames after it: {}; last number: {}",
        report.checkpoint_sequence.map_or("none".into(), |number| number.to_string()),
        report.frames,
        report.last_sequence
    );
    for finding in &report.findings {
        let _ = writeln!(text, "finding: {finding}");
    }
    let end = ExitStatus::Signal { signal: 9, core_dumped: false };
    let occasion = Occasion { reason: Reason::ManagerEnded(end), failed_starts: 0, restarts: 1, session: 0 };
    let Resumed { state, recovery, .. } = go_on(Some(opened), &occasion, Recovery::default());
    for finding in &recovery.findings {
        let _ = writeln!(text, "recovery: {finding}");
    }
    if recovery.is_rebuilt {
        text.push_str("nothing can be replayed: init would rebuild from the roll call and the job files\n");
        return text;
    }
    let digest = record::digest(&state).unwrap_or(0);
    let _ =
        writeln!(text, "recovered: {} frames, state {digest:08x}, generation {}", recovery.frames, state.generation());
    let _ = writeln!(text, "jobs: {}; events under way: {}", state.classes().count(), state.events().count());
    for instance in state.instances() {
        let processes = instance.processes.iter().map(|one| format!(", {} process {}", one.kind.name(), one.pid));
        let (goal, at) = (instance.goal.name(), instance.state.name());
        let _ = writeln!(text, "  {} {goal}/{at}{}", instance.title(), processes.collect::<String>());
    }
    text
}
