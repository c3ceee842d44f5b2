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
    let on = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let storage = MemoryStorage::new();
    let (mut files, mut renamed) = (0, None);
    let mut load = |path: &Path| -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && name != journal::LOCK {
            let bytes = fs::read(path).map_err(|error| on(path, error))?;
            let taken_for = named(&name, &bytes);
            renamed = (taken_for != name).then(|| taken_for.clone());
            storage.put(&taken_for, bytes);
            files += 1;
        }
        Ok(())
    };
    let is_directory = fs::metadata(path).map_err(|error| on(path, error))?.is_dir();
    if is_directory {
        for entry in fs::read_dir(path).map_err(|error| on(path, error))? {
            load(&entry.map_err(|error| on(path, error))?.path())?;
        }
    } else {
        load(path)?;
    }
    let what = match (files, renamed) {
        (0, _) => return Err(format!("{}: there is no journal", path.display())),
        (1, Some(name)) if !is_directory => format!("taken for {name}"),
        (1, _) => "1 file".into(),
        _ => format!("{files} files"),
    };
    Ok(format!("{}: {what}\n{}", path.display(), replay_in(&storage)))
}

/// A file under another name than the journal gives it (a fuzzer's) is taken for what its first bytes say.
fn named(name: &str, bytes: &[u8]) -> String {
    let number = |range: std::ops::Range<usize>| {
        bytes.get(range).and_then(|bytes| bytes.try_into().ok()).map_or(1, u64::from_le_bytes)
    };
    match name {
        _ if name.starts_with("segment-") || name.starts_with("checkpoint-") => name.to_owned(),
        _ if bytes.starts_with(b"StayupCk") => format!("checkpoint-{:016x}", number(40..48)),
        _ if bytes.starts_with(b"StayupSg") => format!("segment-{:016x}", number(40..48)),
        _ => format!("segment-{:016x}", 1),
    }
}

/// Whose the journal is: what is wanted is what an init would find that wrote it, and not one of today.
fn writer(storage: &MemoryStorage) -> Identity {
    let opened = Log::open(storage.snapshot(), Options::new(Identity::default()));
    opened.ok().and_then(|(_, recovered)| recovered.identity).unwrap_or_default()
}

/// What a storage's journal gives, in words.
fn replay_in(storage: &MemoryStorage) -> String {
    let mut text = String::new();
    let opened = match Log::open(storage.snapshot(), Options::new(writer(storage))) {
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
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    for finding in &findings {
        let _ = writeln!(text, "finding: {finding}");
    }
    let end = ExitStatus::Signal { signal: 9, core_dumped: false };
    let occasion = Occasion { reason: Reason::ManagerEnded(end), failed_starts: 0, restarts: 1, session: 0 };
    let Resumed { state, recovery, .. } = go_on(Some(opened), &occasion, Recovery::default());
    for finding in recovery.findings.iter().filter(|finding| !findings.contains(finding)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A copy of a journal that lies with the tests, gone with the test.
    struct Copy(PathBuf);

    impl Copy {
        fn new(name: &str) -> Self {
            let folder =
                Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/journals/record-2-two-checkpoints"));
            let path = std::env::temp_dir().join(format!("stayup-fuzz-journal-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            for file in fs::read_dir(folder.join("journal")).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), path.join(file.file_name())).unwrap();
            }
            Self(path)
        }

        fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
            let mut bytes = fs::read(self.0.join(file)).unwrap();
            change(&mut bytes);
            fs::write(self.0.join(file), bytes).unwrap();
        }
    }

    impl Drop for Copy {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_journal_of_another_machine_is_read_as_its_own_init_would() {
        let copy = Copy::new("good");
        let said = replay(&copy.0).unwrap();
        assert!(said.contains("frames after it: ") && said.contains("\nrecovered: "), "{said}");
        assert!(said.contains("main process") && !said.contains("foreign"), "{said}");
        let findings: Vec<&str> = said.lines().filter_map(|line| line.split_once(": ")).map(|(_, rest)| rest).collect();
        assert!(findings.iter().all(|one| findings.iter().filter(|other| one == *other).count() == 1), "{said}");
    }

    #[test]
    fn what_is_damaged_is_said() {
        let copy = Copy::new("damaged");
        // Behind the newest checkpoint, in the middle of the last segment's frames.
        copy.change("segment-0000000000000003", |bytes| bytes[400] ^= 1);
        let said = replay(&copy.0).unwrap();
        assert!(said.contains("finding: damaged-middle") && said.contains("recovered: "), "{said}");
    }

    #[test]
    fn files_of_other_names_are_taken_for_what_they_are() {
        let copy = Copy::new("names");
        let rubbish = copy.0.join("rubbish");
        fs::write(&rubbish, [0xa5; 5000]).unwrap();
        let said = replay(&rubbish).unwrap();
        assert!(said.contains("taken for segment-0000000000000001\n") && said.contains("damaged-header"), "{said}");
        let checkpoint = copy.0.join("input-7");
        fs::rename(copy.0.join("checkpoint-0000000000000073"), &checkpoint).unwrap();
        let said = replay(&checkpoint).unwrap();
        assert!(said.contains("taken for checkpoint-0000000000000073\ncheckpoint: 115;"), "{said}");
        assert!(replay(&copy.0.join("none")).unwrap_err().contains("No such file"));
    }
}
