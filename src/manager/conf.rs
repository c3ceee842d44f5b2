//! Job files: found, watched, read; on a thread of its own, because directories may be on a disk that is slow or gone.
//!
//! inotify only says *when* to look. What there is comes from walking the directories again, with the files' stamps (device,
//! inode, size, times) deciding which to read, so that editors that rename, queues that overflow and directories that come
//! and go all end the same way. A file that inotify has named is read whatever its stamp says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use machine::class::Class;
use machine::root;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

mod files;

use files::{Found, walk};
pub use files::{Source, Stamp};

/// How long to wait for more events before looking: programs write several files at once.
const SETTLE: Duration = Duration::from_millis(10);

/// While something cannot be watched, everything is looked at this often, and watching is tried again: inotify instances and watches
/// are few, and an ordinary user shares them with all of the same user's programs (inotify(7), /proc/sys/fs/inotify).
const UNWATCHED: Duration = Duration::from_secs(5);

/// What the thread has found.
#[derive(Debug)]
pub enum Finding {
    /// A job file is new or was changed.
    Define(Box<Class>),
    /// A job file is gone.
    Remove(String),
    /// A file is broken; the text names it, the line and what is wrong.
    Complaint(String),
    /// One look is over; these are the names of all jobs, and where they came from.
    Looked(Look),
}

/// The result of one look at all directories.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Names of all jobs that have a file, broken ones included.
    pub names: BTreeSet<String>,
    /// The directories with the files found in each.
    pub sources: Vec<Source>,
    /// The other roots that were looked at.
    pub roots: BTreeSet<String>,
}

/// What the thread is asked for.
enum Command {
    /// To look again.
    Look,
    /// To look in another root, too, from now on.
    Root(String),
}

/// The thread, from outside.
#[derive(Debug)]
pub struct Conf {
    findings: UnboundedReceiver<Finding>,
    commands: Sender<Command>,
    wake: Arc<EventFd>,
}

impl Conf {
    /// Starts the thread; its first look, in these directories and those of the same names in other roots, begins at once.
    ///
    /// # Errors
    /// When there can be no more threads or descriptors.
    pub fn start(directories: Vec<PathBuf>, roots: BTreeSet<String>) -> io::Result<Self> {
        let (found, findings) = unbounded_channel();
        let (commands, commanded) = channel();
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let watcher = Watcher::new((directories, roots), found, commanded, wake.clone());
        thread::Builder::new().name("conf".into()).stack_size(512 * 1024).spawn(move || watcher.run())?;
        Ok(Self { findings, commands, wake })
    }

    /// Looks again at everything.
    pub fn rescan(&self) {
        self.command(Command::Look);
    }

    /// Looks in another root, too.
    pub fn add_root(&self, root: String) {
        self.command(Command::Root(root));
    }

    fn command(&self, command: Command) {
        let _ = self.commands.send(command);
        let _ = self.wake.write(1);
    }

    /// The next finding. Cancel-safe.
    pub async fn next(&mut self) -> Finding {
        match self.findings.recv().await {
            Some(finding) => finding,
            None => std::future::pending().await,
        }
    }
}

/// Reads all job files of a root at once, and says nothing of broken ones; only for a recovery that has lost its journal. Goes on after
/// `patience` with the directories that have been read by then; gives the others, too.
#[must_use]
pub fn read_all(directories: &[PathBuf], root: Option<&str>, patience: Duration) -> (Vec<Class>, Vec<PathBuf>) {
    let directories = rooted(directories, root);
    let limit = Instant::now() + patience;
    let mut found = BTreeMap::new();
    let mut silent = Vec::new();
    // Each on a thread of its own: a disk that is gone is no reason to do without the others. The first one that has a name wins.
    let read = directories.iter().map(|directory| {
        let (done, result) = channel();
        let (own, root) = (directory.clone(), root.map(str::to_owned));
        let spawned = thread::Builder::new().name("conf-read".into()).stack_size(512 * 1024).spawn(move || {
            let jobs = walk(&[own]).jobs;
            let read = |(name, found): (&String, &Found)| files::read(&root::within(root.as_deref(), name), found).0;
            let classes: Vec<Class> = jobs.iter().filter_map(read).collect();
            let _ = done.send(classes);
        });
        (directory, spawned.is_ok().then_some(result))
    });
    for (directory, result) in read.collect::<Vec<_>>() {
        let left = limit.saturating_duration_since(Instant::now());
        match result.and_then(|result| result.recv_timeout(left).ok()) {
            Some(classes) => classes.into_iter().for_each(|class| {
                found.entry(class.name.clone()).or_insert(class);
            }),
            None => silent.push(directory.clone()),
        }
    }
    (found.into_values().collect(), silent)
}

struct Watcher {
    directories: Vec<PathBuf>,
    roots: BTreeSet<String>,
    findings: UnboundedSender<Finding>,
    commands: Receiver<Command>,
    wake: Arc<EventFd>,
    /// None as long as there can be none; `is_missed` when that was told.
    inotify: Option<Inotify>,
    is_missed: bool,
    watched: HashMap<WatchDescriptor, PathBuf>,
    /// Directories that cannot be watched, which was told.
    unwatched: BTreeSet<PathBuf>,
    /// Files that inotify has named since the last look.
    touched: BTreeSet<PathBuf>,
    /// What is known of each job: the stamps of its files, and whether it could be read.
    known: BTreeMap<String, Known>,
}

#[derive(Clone, PartialEq, Eq)]
struct Known {
    found: Found,
    is_defined: bool,
}

impl Watcher {
    fn new(
        (directories, roots): (Vec<PathBuf>, BTreeSet<String>),
        findings: UnboundedSender<Finding>,
        commands: Receiver<Command>,
        wake: Arc<EventFd>,
    ) -> Self {
        Self {
            directories,
            roots,
            findings,
            commands,
            wake,
            inotify: None,
            is_missed: false,
            watched: HashMap::new(),
            unwatched: BTreeSet::new(),
            touched: BTreeSet::new(),
            known: BTreeMap::new(),
        }
    }

    fn run(mut self) {
        while self.look() {
            let looked = Instant::now();
            loop {
                if !self.wait() {
                    return;
                }
                let asked = self.hear();
                let changed = self.read_events();
                let is_overdue = self.is_blind() && looked.elapsed() >= UNWATCHED;
                if asked || changed || is_overdue {
                    thread::sleep(SETTLE);
                    self.read_events();
                    break;
                }
            }
        }
    }

    /// Takes what was asked for; whether there was anything.
    fn hear(&mut self) -> bool {
        let mut asked = false;
        while let Ok(command) = self.commands.try_recv() {
            asked = true;
            if let Command::Root(root) = command {
                self.roots.insert(root);
            }
        }
        asked
    }

    /// Whether there is something that inotify will not tell of.
    fn is_blind(&self) -> bool {
        self.inotify.is_none() || !self.unwatched.is_empty()
    }

    /// Waits for an event or a command, or until it is time to look without; false when nobody listens any longer.
    fn wait(&self) -> bool {
        let patience = if self.is_blind() { PollTimeout::try_from(UNWATCHED) } else { Ok(PollTimeout::NONE) };
        let mut waits = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        waits.extend(self.inotify.as_ref().map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waits, patience.unwrap_or(PollTimeout::NONE)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        let _ = self.wake.read();
        !self.findings.is_closed()
    }

    /// Reads what inotify has; whether it is a reason to look.
    fn read_events(&mut self) -> bool {
        let mut changed = false;
        while let Some(Ok(events)) = self.inotify.as_ref().map(Inotify::read_events) {
            if events.is_empty() {
                break;
            }
            for event in events {
                changed |= self.take_event(&event);
            }
        }
        changed
    }

    fn take_event(&mut self, event: &InotifyEvent) -> bool {
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            return self.watched.remove(&event.wd).is_some();
        }
        let (Some(directory), Some(name)) = (self.watched.get(&event.wd), &event.name) else { return true };
        let path = directory.join(name);
        let is_directory = event.mask.contains(AddWatchFlags::IN_ISDIR);
        // A plain file that was just made is being written; the close will tell. A link is complete at once.
        let is_new_plain = event.mask.contains(AddWatchFlags::IN_CREATE)
            && !is_directory
            && std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && is_single(&found));
        if is_new_plain || !(is_directory || files::is_job_file(&path) || self.is_above_a_directory(&path)) {
            return false;
        }
        self.touched.insert(path);
        true
    }

    fn is_above_a_directory(&self, path: &Path) -> bool {
        let is_above = |root: Option<&str>| rooted(&self.directories, root).iter().any(|found| found.starts_with(path));
        is_above(None) || self.roots.iter().any(|root| is_above(Some(root)))
    }

    /// Looks at all directories and tells what is different; false when nobody listens.
    fn look(&mut self) -> bool {
        let mut walked = walk_roots(&self.directories, &self.roots);
        // A directory that appears while we look may have been filled before it was watched: look until none does.
        for _ in 0..16 {
            if !self.watch(&walked.directories) {
                break;
            }
            walked = walk_roots(&self.directories, &self.roots);
        }
        for complaint in walked.complaints {
            let _ = self.findings.send(Finding::Complaint(complaint));
        }
        let touched = std::mem::take(&mut self.touched);
        let gone: Vec<String> = self.known.keys().filter(|name| !walked.jobs.contains_key(*name)).cloned().collect();
        for name in gone {
            self.known.remove(&name);
            let _ = self.findings.send(Finding::Remove(name));
        }
        let names = walked.jobs.keys().cloned().collect();
        for (name, found) in walked.jobs {
            let is_touched = found.paths().any(|path| touched.contains(path));
            let is_same = self.known.get(&name).is_some_and(|known| known.found == found);
            if !is_same || is_touched {
                self.read(name, found);
            }
        }
        self.findings.send(Finding::Looked(Look { names, sources: walked.sources, roots: self.roots.clone() })).is_ok()
    }

    /// Reads a job's files. A broken one is reported; what was known of the job before stays.
    fn read(&mut self, name: String, found: Found) {
        let (class, complaints) = files::read(&name, &found);
        for complaint in complaints {
            let _ = self.findings.send(Finding::Complaint(complaint));
        }
        let was_defined = self.known.get(&name).is_some_and(|known| known.is_defined);
        let is_defined = was_defined || class.is_some();
        if let Some(class) = class {
            let _ = self.findings.send(Finding::Define(Box::new(class)));
        }
        self.known.insert(name, Known { found, is_defined });
    }

    /// Watches directories; whether one was not watched before.
    fn watch(&mut self, directories: &BTreeSet<PathBuf>) -> bool {
        self.begin_to_watch();
        let Some(inotify) = &self.inotify else { return false };
        self.unwatched.retain(|directory| directories.contains(directory));
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let mut is_new = false;
        for directory in directories {
            match inotify.add_watch(directory, flags) {
                Ok(watch) => {
                    self.unwatched.remove(directory);
                    is_new |= self.watched.insert(watch, directory.clone()).as_ref() != Some(directory);
                }
                Err(Errno::ENOENT | Errno::ENOTDIR) => is_new = true,
                Err(errno) => {
                    if self.unwatched.insert(directory.clone()) {
                        let (path, cause) = (directory.display(), errno.desc());
                        let text = format!("{path}: cannot be watched, changes are noticed late: {cause}");
                        let _ = self.findings.send(Finding::Complaint(text));
                    }
                }
            }
        }
        is_new
    }

    fn begin_to_watch(&mut self) {
        if self.inotify.is_some() {
            return;
        }
        let text = match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => {
                self.inotify = Some(inotify);
                std::mem::take(&mut self.is_missed).then(|| "job directories are watched again".to_owned())
            }
            Err(errno) => {
                let is_news = !std::mem::replace(&mut self.is_missed, true);
                let text = || format!("job directories cannot be watched, changes are noticed late: {}", errno.desc());
                is_news.then(text)
            }
        };
        let _ = text.map(|text| self.findings.send(Finding::Complaint(text)));
    }
}

/// The directories as they are called from outside of a root.
fn rooted(directories: &[PathBuf], root: Option<&str>) -> Vec<PathBuf> {
    let inside = |path: &PathBuf, root: &str| Path::new(root).join(path.strip_prefix("/").unwrap_or(path));
    directories.iter().map(|path| root.map_or_else(|| path.clone(), |root| inside(path, root))).collect()
}

/// Walks over the directories, and those of the other roots.
fn walk_roots(directories: &[PathBuf], roots: &BTreeSet<String>) -> files::Walked {
    let mut all = walk(directories);
    for root in roots {
        let walked = walk(&rooted(directories, Some(root)));
        all.jobs.extend(walked.jobs.into_iter().map(|(name, found)| (root::within(Some(root), &name), found)));
        all.directories.extend(walked.directories);
        all.sources.extend(walked.sources);
        all.complaints.extend(walked.complaints);
    }
    all
}

fn is_single(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) <= 1
}
