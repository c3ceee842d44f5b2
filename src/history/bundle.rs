//! Journals that are carried elsewhere: one file for a bug report, which also the simulator can begin from.
//!
//! The file is a gzipped tar archive with `meta.json` ([`record::Meta`]) and the files of the journal's directory, as they
//! were, under `journal/`. The directory of a crash has the same two, unpacked.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use journal::{FileStorage, Log, MemoryStorage, Options, Storage};
use machine::state::State;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::past::{Past, PastError};
use crate::source::Source;

pub use record::Meta;

/// An archive may hold so much, unpacked; in bytes.
const MAXIMUM_BYTES: u64 = 2 << 30;

/// Variables that init itself sets: their values are no secrets, and without them nothing can be understood.
const TELLING: [&str; 12] = [
    "JOB",
    "INSTANCE",
    "RESULT",
    "PROCESS",
    "EXIT_STATUS",
    "EXIT_SIGNAL",
    "UPSTART_JOB",
    "UPSTART_INSTANCE",
    "UPSTART_EVENTS",
    "RUNLEVEL",
    "PREVLEVEL",
    "EVENT",
];

/// The files of a directory, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a file is no journal.
#[derive(Debug)]
pub enum BundleError {
    /// It is not an archive, or a damaged one.
    Archive(io::Error),
    /// Something that no journal has, or too much of it.
    Strange(String),
    /// There is no description, or one that cannot be read.
    Meta(String),
    /// The copy cannot be made.
    Copy(String),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => write!(f, "no exported journal, or a damaged one: {error}"),
            Self::Strange(what) => write!(f, "no exported journal: {what}"),
            Self::Meta(error) => write!(f, "no exported journal: meta.json: {error}"),
            Self::Copy(error) => write!(f, "the copy cannot be made: {error}"),
        }
    }
}

impl std::error::Error for BundleError {}

/// Extends [`Meta`] by where it is found.
pub trait Beside: Sized {
    /// The description in the directory above a journal, if there is one.
    fn beside(directory: &Path) -> Option<Self>;
}

impl Beside for Meta {
    fn beside(directory: &Path) -> Option<Self> {
        let text = fs::read(directory.parent()?.join("meta.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// The files of a journal's directory by name, with what comes with them.
///
/// # Errors
/// When they cannot be read.
pub fn files(source: &Source) -> Result<(Files, Option<Meta>), PastError> {
    match source {
        Source::File(path) => read(path).map(|(storage, meta)| (storage.files(), Some(meta))),
        Source::Directory(path) => {
            let failed = |error| PastError::Io(path.clone(), error);
            let storage = FileStorage::read_only(path).map_err(failed)?;
            let mut files = BTreeMap::new();
            for name in storage.list(false).map_err(failed)? {
                let mut bytes = Vec::new();
                match storage.read(&name, u64::MAX, &mut bytes) {
                    Ok(_) if name != "lock" => drop(files.insert(name, bytes)),
                    // Its writer has removed it since; or it is the quarantine's directory.
                    Ok(_) | Err(_) => {}
                }
            }
            Ok((files, Meta::beside(path)))
        }
    }
}

/// Reads an exported file.
///
/// # Errors
/// When it is none.
pub fn read(path: &Path) -> Result<(MemoryStorage, Meta), PastError> {
    let file = File::open(path).map_err(|error| PastError::Io(path.to_path_buf(), error))?;
    unpack(BufReader::new(file)).map_err(|error| PastError::Bundle(path.to_path_buf(), error))
}

fn unpack(file: impl Read) -> Result<(MemoryStorage, Meta), BundleError> {
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(MAXIMUM_BYTES));
    let storage = MemoryStorage::new();
    let mut meta = None;
    for entry in archive.entries().map_err(BundleError::Archive)? {
        let mut entry = entry.map_err(BundleError::Archive)?;
        let name = entry.path().map_err(BundleError::Archive)?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(BundleError::Archive)?;
        if name == "meta.json" {
            meta = Some(serde_json::from_slice(&bytes).map_err(|error| BundleError::Meta(error.to_string()))?);
        } else {
            match name.strip_prefix("journal/") {
                Some(file) if !file.is_empty() && !file.contains('/') => storage.put(file, bytes),
                _ => return Err(BundleError::Strange(format!("it holds {name}"))),
            }
        }
    }
    // To the very end, where the checksum is.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(BundleError::Archive)?;
    let meta = meta.ok_or_else(|| BundleError::Meta("there is none".into()))?;
    Ok((storage, meta))
}

/// Writes files and description as one file, readable by its owner only.
///
/// # Errors
/// When it is there already, or cannot be written.
pub fn write(path: &Path, files: &Files, meta: &Meta) -> Result<(), PastError> {
    let failed = |error| PastError::Io(path.to_path_buf(), error);
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    pack(BufWriter::new(file), files, meta).map_err(failed)
}

fn pack(file: impl Write, files: &Files, meta: &Meta) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, bytes)
    };
    append("meta.json", &serde_json::to_vec_pretty(meta)?)?;
    for (name, bytes) in files {
        append(&format!("journal/{name}"), bytes)?;
    }
    archive.into_inner()?.finish()?.flush()
}

/// Makes a directory of an exported file: `journal` and `meta.json` in it.
///
/// # Errors
/// When the directory is there already, or cannot be written.
pub fn import(file: &Path, directory: &Path) -> Result<Meta, PastError> {
    let (storage, meta) = read(file)?;
    write_directory(directory, &storage.files(), Some(&meta))?;
    Ok(meta)
}

/// Makes a directory with these files in `journal`.
///
/// # Errors
/// When it is there already, or cannot be written.
pub fn write_directory(directory: &Path, files: &Files, meta: Option<&Meta>) -> Result<(), PastError> {
    let failed = |error| PastError::Io(directory.to_path_buf(), error);
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).create(directory).map_err(failed)?;
    let inner = directory.join("journal");
    builder.create(&inner).map_err(failed)?;
    for (name, bytes) in files {
        fs::write(inner.join(name), bytes).map_err(failed)?;
    }
    if let Some(meta) = meta {
        let text = serde_json::to_vec_pretty(meta).map_err(|error| failed(error.into()))?;
        fs::write(directory.join("meta.json"), text).map_err(failed)?;
    }
    Ok(())
}

/// The description of a journal that is exported by this program.
#[must_use]
pub fn describe(past: &Past) -> Meta {
    let before = past.meta.clone().unwrap_or_default();
    Meta {
        format: 1,
        written_by: concat!("initjournal ", env!("CARGO_PKG_VERSION")).into(),
        last_sequence: past.look.report.last_sequence,
        ..before
    }
}

/// The journal once more, without the values of environment variables. Numbers, times and all else stay; damaged parts,
/// which nobody can look through, are left out.
///
/// # Errors
/// When a frame cannot be read.
pub fn redact(past: &Past) -> Result<Files, PastError> {
    let copy_error = |error: String| PastError::Bundle("the copy".into(), BundleError::Copy(error));
    let storage = MemoryStorage::new();
    let identity = past.look.report.identity.unwrap_or_default();
    let options = Options { segment_bytes: 8 << 20, ..Options::new(identity) };
    let (mut log, _) = Log::open(storage.clone(), options).map_err(|error| copy_error(error.to_string()))?;
    if past.base_sequence > 0 {
        let mut state: State = without_values(&past.base).map_err(copy_error)?;
        state.reindex();
        let bytes = record::encode_state(&state).map_err(|error| copy_error(error.to_string()))?;
        log.skip_to(past.base_sequence);
        log.checkpoint(&bytes).map_err(|error| copy_error(error.to_string()))?;
    }
    let mut bytes = Vec::new();
    for turn in past.turns() {
        let (sequence, turn) = turn?;
        let changes: Vec<machine::change::Change> = without_values(&turn.changes).map_err(copy_error)?;
        bytes.clear();
        record::encode_turn(turn.stamp.unwrap_or_default(), &turn.origin, &changes, &mut bytes)
            .map_err(|error| copy_error(error.to_string()))?;
        log.skip_to(sequence.saturating_sub(1));
        log.append(&bytes).map_err(|error| copy_error(error.to_string()))?;
    }
    drop(log);
    let mut files = storage.files();
    files.remove("lock");
    Ok(files)
}

/// The same value with `KEY=VALUE` in lists of strings made `KEY=…`.
fn without_values<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, String> {
    let mut tree = serde_json::to_value(value).map_err(|error| error.to_string())?;
    strip(&mut tree);
    serde_json::from_value(tree).map_err(|error| error.to_string())
}

fn strip(tree: &mut Value) {
    match tree {
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::String(text) => strip_text(text),
                    other => strip(other),
                }
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(strip),
        _ => {}
    }
}

fn strip_text(text: &mut String) {
    if let Some((key, _)) = text.split_once('=') {
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_key && !TELLING.contains(&key) {
            *text = format!("{key}=…");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_comes_back_as_it_was() {
        let files: BTreeMap<_, _> =
            [("segment-0000000000000001".to_owned(), vec![7; 10_000]), ("x".into(), vec![])].into();
        let meta = Meta { format: 1, written_by: "a test".into(), ..Meta::default() };
        let mut bytes = Vec::new();
        pack(&mut bytes, &files, &meta).unwrap();
        let (storage, found) = unpack(&bytes[..]).unwrap();
        assert_eq!((storage.files(), found), (files, meta));
    }

    #[test]
    fn what_is_no_bundle_is_refused_and_never_panics() {
        assert!(unpack(&b"nonsense"[..]).is_err());
        let mut bytes = Vec::new();
        pack(&mut bytes, &[("a".to_owned(), vec![1; 5000])].into(), &Meta::default()).unwrap();
        for cut in 0..bytes.len() {
            assert!(unpack(&bytes[..cut]).is_err(), "{cut}");
        }
        let mut evil = Vec::new();
        pack(&mut evil, &[("sub/file".to_owned(), vec![])].into(), &Meta::default()).unwrap();
        assert!(matches!(unpack(&evil[..]), Err(BundleError::Strange(_))));
    }

    #[test]
    fn values_are_left_out_and_what_init_says_stays() {
        let table = vec!["SECRET=hush".to_owned(), "JOB=web".into(), "/usr/bin/env A=1".into(), "A_1=".into()];
        let stripped = without_values(&table).unwrap();
        assert_eq!(stripped, ["SECRET=…", "JOB=web", "/usr/bin/env A=1", "A_1=…"]);
    }
}
