//! Real job files and what Upstart 1.13.2 said of them: test data that is kept beside the project, not in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The folder with the job files; none, with a line that says so, where it is absent.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there are no recorded job files at {}", folder.display());
    None
}

/// One recorded job file.
#[allow(dead_code, reason = "the measurement needs only the bytes")]
pub(crate) struct JobFile {
    /// Its path below the folder, such as `ubports+upstart/cron.conf`.
    pub path: String,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Line and message, if Upstart refused it.
    pub refused: Option<(usize, String)>,
}

/// All recorded job files.
pub(crate) fn job_files(folder: &std::path::Path) -> Vec<JobFile> {
    let verdicts = fs::read_to_string(folder.join("verdicts.tsv")).expect("verdicts.tsv");
    let rows = verdicts.lines().skip(1).map(|row| {
        let [path, verdict, line, message] = row.splitn(5, '\t').take(4).collect::<Vec<_>>()[..] else {
            panic!("short row: {row}")
        };
        let refused = (verdict == "reject").then(|| (line.parse().expect("line"), message.to_owned()));
        let text = fs::read(folder.join("jobs").join(path)).expect("job file");
        JobFile { path: path.to_owned(), text, refused }
    });
    rows.collect()
}

/// What `initctl show-config` printed for each accepted file, without the heading.
#[allow(dead_code, reason = "the measurement needs only the bytes")]
pub(crate) fn shown(folder: &std::path::Path, file: &str) -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut heading = String::new();
    for line in fs::read_to_string(folder.join(file)).expect("recording").lines() {
        match line.strip_prefix("# ") {
            Some(path) => {
                heading = path.to_owned();
                shown.insert(heading.clone(), Vec::new());
            }
            None if line.is_empty() => {}
            None => shown.get_mut(&heading).expect("heading").push(line.to_owned()),
        }
    }
    shown
}
