//! The files that jobs wait for, and which of them are there.
//!
//! Knows files and interests; says what changed and is worth an event. Notices of the kernel and a look at the
//! directories lead to the same state, so that what happens between them is neither lost nor told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::interest::{Change, Interest, Target};
use super::notices::{Kind, nearest};

/// All that is watched, by `FILE`.
#[derive(Debug, Default)]
pub struct Watches {
    home: Option<PathBuf>,
    /// Object path of a class, and what it waits for.
    classes: BTreeMap<String, Vec<Interest>>,
    files: BTreeMap<String, Watch>,
}

#[derive(Debug)]
struct Watch {
    target: Target,
    interests: Vec<Interest>,
    /// Names in the directory that fit and exist.
    present: BTreeSet<String>,
}

/// The variables of a `file` event.
pub type Variables = Vec<String>;

impl Watches {
    /// Nothing yet; `~/` will be this directory.
    pub fn new(home: Option<PathBuf>) -> Self {
        Self { home, ..Self::default() }
    }

    /// Sets what a class waits for.
    pub fn set_class(&mut self, path: String, interests: Vec<Interest>) {
        if interests.is_empty() {
            self.classes.remove(&path);
        } else {
            self.classes.insert(path, interests);
        }
        self.regroup();
    }

    /// Forgets a class.
    pub fn remove_class(&mut self, path: &str) {
        self.classes.remove(path);
        self.regroup();
    }

    /// Forgets all classes but these.
    pub fn retain_classes(&mut self, paths: &[String]) {
        self.classes.retain(|path, _| paths.contains(path));
        self.regroup();
    }

    /// A file that is watched already stays so, with what is known of it.
    fn regroup(&mut self) {
        let mut old = std::mem::take(&mut self.files);
        for interest in self.classes.values().flatten() {
            let file = &interest.file;
            if !self.files.contains_key(file) {
                let Some(target) = Target::of(file, self.home.as_deref()) else {
                    continue;
                };
                let present = old.remove(file).map(|watch| watch.present).unwrap_or_default();
                self.files.insert(file.clone(), Watch { target, interests: Vec::new(), present });
            }
            if let Some(watch) = self.files.get_mut(file) {
                watch.interests.push(interest.clone());
            }
        }
    }

    /// The directories to watch: those of the files, or the nearest above them that exist.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        self.files.values().map(|watch| nearest(&watch.target.directory)).collect()
    }

    /// Looks at all files, and tells what has changed since the last time.
    pub fn look(&mut self) -> Vec<Variables> {
        let mut events = Vec::new();
        for (file, watch) in &mut self.files {
            let found = existing(&watch.target);
            for name in found.difference(&watch.present) {
                events.extend(watch.event(file, name, Change::Create));
            }
            for name in watch.present.difference(&found) {
                events.extend(watch.event(file, name, Change::Delete));
            }
            watch.present = found;
        }
        events
    }

    /// Takes in a notice of the kernel.
    pub fn notice(&mut self, directory: &Path, name: &str, kind: Kind) -> Vec<Variables> {
        let mut events = Vec::new();
        for (file, watch) in &mut self.files {
            if watch.target.directory != directory || !watch.target.fits(name) {
                continue;
            }
            let change = match kind {
                Kind::Gone => watch.present.remove(name).then_some(Change::Delete),
                _ if watch.present.insert(name.to_owned()) => Some(Change::Create),
                // A look was quicker than the notice.
                Kind::Created => None,
                Kind::MovedTo | Kind::Written => Some(Change::Modify),
            };
            events.extend(change.and_then(|change| watch.event(file, name, change)));
        }
        events
    }
}

impl Watch {
    fn event(&self, file: &str, name: &str, change: Change) -> Option<Variables> {
        if !self.interests.iter().any(|interest| interest.wants(change)) {
            return None;
        }
        let mut variables = vec![format!("FILE={file}"), format!("EVENT={}", change.name())];
        if self.target.is_pattern() {
            let path = self.target.directory.join(name);
            variables.push(format!("MATCH={}", path.display()));
        }
        Some(variables)
    }
}

fn existing(target: &Target) -> BTreeSet<String> {
    if !target.is_pattern() {
        let path = target.directory.join(&target.name);
        let there = path.symlink_metadata().is_ok();
        return there.then(|| target.name.clone()).into_iter().collect();
    }
    let Ok(entries) = target.directory.read_dir() else {
        return BTreeSet::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| target.fits(name))
        .collect()
}
