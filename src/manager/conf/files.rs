//! Which files make which job, and reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use machine::class::Class;
use machine::parse;

/// How deep sub-directories are followed; a directory that is linked into itself ends here.
const DEPTH_MAX: usize = 32;

/// Larger job files are refused; the largest real one has a few kilobytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What tells that a file is still the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let time_ns = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified_ns: time_ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: time_ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The files of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    conf: (PathBuf, Stamp),
    over: Option<(PathBuf, Stamp)>,
}

impl Found {
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.conf.0).chain(self.over.as_ref().map(|over| &over.0))
    }
}

/// One configuration directory and the job files in it, for `GetState`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The directory.
    pub path: PathBuf,
    /// Its job files, in no order of importance.
    pub files: Vec<PathBuf>,
}

/// What a walk over all directories has found.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) jobs: BTreeMap<String, Found>,
    /// To be watched: the directories, or the nearest one above that is there.
    pub(super) directories: BTreeSet<PathBuf>,
    pub(super) sources: Vec<Source>,
    pub(super) complaints: Vec<String>,
}

/// Walks over all directories, the most important one first: the first that has a name wins, for `.conf` and `.override`
/// each.
pub(super) fn walk(directories: &[PathBuf]) -> Walked {
    let mut walked = Walked::default();
    let (mut confs, mut overs) = (BTreeMap::new(), BTreeMap::new());
    for root in directories {
        let mut files = Vec::new();
        let mut open = vec![(root.clone(), 0)];
        if !root.is_dir() {
            walked.directories.extend(root.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_path_buf));
            open.clear();
        }
        while let Some((directory, depth)) = open.pop() {
            match list(&directory) {
                Ok(entries) => {
                    walked.directories.insert(directory);
                    for (path, metadata) in entries {
                        if metadata.is_dir() {
                            if depth < DEPTH_MAX {
                                open.push((path, depth + 1));
                            }
                        } else if is_job_file(&path) {
                            files.push((path, Stamp::of(&metadata)));
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => walked.complaints.push(format!("{}: {error}", directory.display())),
            }
        }
        let mut source = Source { path: root.clone(), files: Vec::new() };
        for (path, stamp) in files {
            source.files.push(path.clone());
            if let Some((name, is_override)) = job_name(root, &path) {
                let names = if is_override { &mut overs } else { &mut confs };
                names.entry(name).or_insert((path, stamp));
            }
        }
        source.files.sort();
        walked.sources.push(source);
    }
    for (name, conf) in confs {
        let over = overs.remove(&name);
        walked.jobs.insert(name, Found { conf, over });
    }
    walked
}

/// The entries of a directory, links followed; those that vanish meanwhile are left out.
fn list(directory: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Ok(metadata) = fs::metadata(&path) {
            entries.push((path, metadata));
        }
    }
    Ok(entries)
}

/// Whether a name is one of a job file or an override.
pub(super) fn is_job_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    [&b".conf"[..], b".override"].iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// The job that a file belongs to, and whether it is an override.
fn job_name(root: &Path, path: &Path) -> Option<(String, bool)> {
    let relative = path.strip_prefix(root).ok()?.to_str()?;
    match relative.strip_suffix(".conf") {
        Some(name) => Some((name.into(), false)),
        None => Some((relative.strip_suffix(".override")?.into(), true)),
    }
}

/// Reads a job's files: the class if it could be read, and what is wrong with them.
pub(super) fn read(name: &str, found: &Found) -> (Option<Class>, Vec<String>) {
    let mut complaints = Vec::new();
    let class = match text(&found.conf.0).map(|text| parse::parse_class(name, &text)) {
        Ok(Ok(class)) => class,
        Ok(Err(error)) => {
            complaints.push(format!("{}:{}: {}", found.conf.0.display(), error.line, error.kind));
            return (None, complaints);
        }
        Err(error) => {
            complaints.push(format!("{}: {error}", found.conf.0.display()));
            return (None, complaints);
        }
    };
    let Some((path, _)) = &found.over else { return (Some(class), complaints) };
    match text(path).map(|text| parse::apply_override(&class, &text)) {
        Ok(Ok(overridden)) => (Some(overridden), complaints),
        Ok(Err(error)) => {
            complaints.push(format!("{}:{}: {}", path.display(), error.line, error.kind));
            (Some(class), complaints)
        }
        Err(error) => {
            complaints.push(format!("{}: {error}", path.display()));
            (Some(class), complaints)
        }
    }
}

fn text(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX_BYTES {
        let text = format!("not a regular file of at most {FILE_MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    fs::read(path)
}
