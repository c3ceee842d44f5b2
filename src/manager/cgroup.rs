//! `cgroup`: control groups of jobs, on cgroup v2, without a manager of control groups.
//!
//! A process is in one group there, so a job has one: `<own group>/upstart/<job>[-<instance>]` (that is what
//! `$UPSTART_CGROUP` means), or the name that its first `cgroup` stanza with one gives. The group is made just before a
//! process is; its descriptor goes to the keeper, which clones right into it. It is removed with the instance.
//!
//! Nothing in here keeps a job from starting: what a kernel, a container or an ordinary user cannot have is said in the log,
//! once, and the job runs without. Controllers can only be enabled in a group without processes, unless it is the root; so
//! a system init in a container should be given a group of its own that has none.
//!
//! All of this is done within the turn: files of cgroupfs are in memory, and no disk is waited for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use machine::class::Cgroup;
use machine::environ::{self, Table};
use machine::job::ProcessKind;
use machine::parse::bytes_of;
use machine::spawn::Spawn;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, access};

mod settings;

use settings::Controller;

/// The variable that names a job's group.
const NAME: &str = "UPSTART_CGROUP";

/// The group of all groups of one session is called this and the pid of its keeper.
const SESSION: &str = "upstart-session-";

/// Groups that could not be removed because something lives in them, at most.
const LEFTOVERS_MAX: usize = 4096;

/// How deep a job may nest groups of its own and have them removed with its own one.
const DEPTH_MAX: usize = 16;

/// The groups of this init's jobs.
#[derive(Debug, Default)]
pub struct Cgroups {
    is_disabled: bool,
    /// Parts the groups of one session from those of another; none for the system.
    subtree: Option<String>,
    /// Where groups are made; found out when the first job asks.
    base: Option<Result<PathBuf, String>>,
    /// By class and instance.
    groups: HashMap<(String, String), PathBuf>,
    leftovers: Vec<PathBuf>,
    /// What was said already.
    said: HashSet<String>,
    complaints: Vec<String>,
}

impl Cgroups {
    /// The groups of an init; a session's is known by the pid of its keeper.
    #[must_use]
    pub fn new(is_disabled: bool, session: Option<i32>) -> Self {
        let subtree = session.map(|pid| format!("{SESSION}{pid}"));
        Self { is_disabled, subtree, ..Self::default() }
    }

    /// What is to be told to people since the last call.
    pub fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Makes the group of a job that has one; its directory, for the keeper.
    pub fn place(&mut self, spawn: &Spawn) -> Option<OwnedFd> {
        let path = self.path_of(spawn)?;
        let base = self.base()?;
        let title = title(spawn);
        if let Err(error) = fs::create_dir_all(&path) {
            self.complain(format!("{title}: no control group {}: {error}", path.display()));
            return None;
        }
        self.groups.insert(key(spawn), path.clone());
        self.enable_controllers(&title, &spawn.attributes.cgroups, &base, &path);
        self.write_settings(&title, spawn, &path);
        match open_for_clone(&base, &path) {
            Ok(directory) => Some(directory),
            Err(error) => {
                self.complain(format!("{title}: not put into control group {}: {error}", path.display()));
                None
            }
        }
    }

    /// Takes note of the group of a process that runs already.
    pub fn adopt(&mut self, spawn: &Spawn) {
        if let Some(path) = self.path_of(spawn) {
            self.groups.insert(key(spawn), path);
        }
    }

    /// The instance is gone; so is its group, as soon as nothing lives in it.
    pub fn forget(&mut self, class: &str, instance: &str) {
        let Some(path) = self.groups.remove(&(class.to_owned(), instance.to_owned())) else { return };
        let Some(base) = self.base() else { return };
        let mut waiting = std::mem::take(&mut self.leftovers);
        waiting.push(path);
        waiting.retain(|path| !self.groups.values().any(|used| used == path) && !remove(path, &base));
        waiting.truncate(LEFTOVERS_MAX);
        self.leftovers = waiting;
    }

    /// Where the group of a process is to be; none if it has none.
    fn path_of(&mut self, spawn: &Spawn) -> Option<PathBuf> {
        let stanzas = &spawn.attributes.cgroups;
        if stanzas.is_empty() || self.is_disabled || spawn.kind == ProcessKind::Security {
            return None;
        }
        let base = self.base()?;
        let table = table_of(spawn);
        let named = stanzas.iter().find_map(|stanza| stanza.name.as_deref());
        let name = match environ::expand(named.unwrap_or("$UPSTART_CGROUP"), &table) {
            Ok(name) => name,
            Err(error) => {
                self.complain(format!("{}: the name of its control group: {error}", title(spawn)));
                own_name(spawn)
            }
        };
        let mut path = base;
        for part in name.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                self.complain(format!("{}: control group {name}: `..' leads out of our own", title(spawn)));
                return None;
            }
            path.push(OsStr::from_bytes(&bytes_of(part)));
        }
        Some(path)
    }

    /// Where groups can be made; says why if nowhere.
    fn base(&mut self) -> Option<PathBuf> {
        let subtree = self.subtree.as_deref();
        match self.base.get_or_insert_with(|| find_base(subtree)) {
            Ok(base) => Some(base.clone()),
            Err(why) => {
                let text = format!("{why}; jobs run without control groups");
                self.complain(text);
                None
            }
        }
    }

    fn complain(&mut self, text: String) {
        if self.said.insert(text.clone()) {
            self.complaints.push(text);
        }
    }

    fn enable_controllers(&mut self, title: &str, stanzas: &[Cgroup], base: &Path, group: &Path) {
        let mut wanted = BTreeSet::new();
        for stanza in stanzas {
            match settings::controller(&stanza.controller) {
                Controller::Named(name) => drop(wanted.insert(name.to_owned())),
                Controller::BuiltIn => {}
                Controller::Missing => {
                    let controller = &stanza.controller;
                    self.complain(format!("{title}: cgroup {controller}: there is no such controller on cgroup v2"));
                }
            }
        }
        for controller in wanted {
            if let Err((directory, error)) = enable(&controller, base, group) {
                let why = match error.raw_os_error() {
                    Some(number) if number == Errno::EBUSY as i32 => {
                        "processes live there; start init in a control group of its own that has none".to_owned()
                    }
                    _ => error.to_string(),
                };
                let at = directory.display();
                self.complain(format!(
                    "{title}: cgroup {controller}: cannot be enabled in {at}: {why}; going on without"
                ));
            }
        }
    }

    fn write_settings(&mut self, title: &str, spawn: &Spawn, group: &Path) {
        let table = table_of(spawn);
        let mut expanded = Vec::new();
        for stanza in &spawn.attributes.cgroups {
            let Some((key, value)) = &stanza.setting else { continue };
            match environ::expand(value, &table) {
                Ok(value) => expanded.push((stanza.controller.clone(), key.clone(), value)),
                Err(error) => self.complain(format!("{title}: cgroup {} {key} {value}: {error}", stanza.controller)),
            }
        }
        let translated = settings::translate(&expanded);
        for refused in translated.refused {
            self.complain(format!("{title}: cgroup {refused}; going on without"));
        }
        for (file, text) in translated.writes {
            if let Err(error) = write_existing(&group.join(&file), &text) {
                let why = if error.kind() == io::ErrorKind::NotFound {
                    "there is no such file".into()
                } else {
                    error.to_string()
                };
                self.complain(format!("{title}: cgroup setting {file} = {text}: {why}; going on without"));
            }
        }
    }
}

fn key(spawn: &Spawn) -> (String, String) {
    (spawn.class.clone(), spawn.instance.clone())
}

fn title(spawn: &Spawn) -> String {
    if spawn.instance.is_empty() { spawn.class.clone() } else { format!("{} ({})", spawn.class, spawn.instance) }
}

/// What `$UPSTART_CGROUP` stands for.
fn own_name(spawn: &Spawn) -> String {
    let separator = if spawn.instance.is_empty() { "" } else { "-" };
    format!("upstart/{}", format!("{}{separator}{}", spawn.class, spawn.instance).replace('/', "_"))
}

/// The variables that names and values may refer to.
fn table_of(spawn: &Spawn) -> Table {
    let mut table = spawn.environment.clone();
    environ::put(&mut table, NAME, &own_name(spawn));
    table
}

/// Our own group, and whether groups can be made in it.
fn find_base(subtree: Option<&str>) -> Result<PathBuf, String> {
    let mounts = fs::read("/proc/self/mountinfo").map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let Some(own) = own_path(&mounts, &own) else { return Err("there is no cgroup v2 here".into()) };
    access(&own, AccessFlags::W_OK).map_err(|errno| format!("control group {}: {}", own.display(), errno.desc()))?;
    let Some(subtree) = subtree else { return Ok(own) };
    remove_dead_sessions(&own);
    Ok(own.join(subtree))
}

/// What sessions that were killed have left. Those of other pid namespaces may look dead; their groups cannot be removed
/// while something lives in them, and are made anew when they are wanted.
fn remove_dead_sessions(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(SESSION)).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&entry.path(), own);
        }
    }
}

/// The directory of a process's own group on cgroup v2, from its mountinfo and its cgroup file (proc_pid_mountinfo(5),
/// cgroups(7)).
fn own_path(mounts: &[u8], cgroup: &str) -> Option<PathBuf> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.split(|&byte| byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (place, kind) = line.split_once(" - ")?;
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = group.strip_prefix(root.trim_end_matches('/'))?;
        let is_outside = below.split('/').any(|part| part == "..") || !(below.is_empty() || below.starts_with('/'));
        (!is_outside).then(|| Path::new(&unescape(point)).join(below.trim_start_matches('/')))
    })
}

/// Blanks in mount points are written as three octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Has a controller work in a group, by enabling it in all groups above, from our own on.
fn enable(controller: &str, base: &Path, group: &Path) -> Result<(), (PathBuf, io::Error)> {
    let mut above: Vec<&Path> = group.ancestors().skip(1).take_while(|path| path.starts_with(base)).collect();
    // The session's own sub-tree lies in a group that is ours, too.
    above.extend(base.parent().filter(|_| is_subtree(base)));
    for directory in above.into_iter().rev() {
        let file = directory.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&file).unwrap_or_default();
        if !enabled.split_ascii_whitespace().any(|one| one == controller) {
            write_existing(&file, &format!("+{controller}")).map_err(|error| (directory.to_owned(), missing(error)))?;
        }
    }
    Ok(())
}

fn is_subtree(base: &Path) -> bool {
    base.file_name().is_some_and(|name| name.as_bytes().starts_with(SESSION.as_bytes()))
}

/// The kernel's word for a controller that is not there.
fn missing(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => io::Error::new(
            io::ErrorKind::NotFound,
            "this controller is not available there (is it in use on cgroup v1?)",
        ),
        _ => error,
    }
}

/// Writes to a file that must be there.
fn write_existing(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// The group's directory, if the kernel will let us clone into it: a clone that fails would fail the job.
fn open_for_clone(base: &Path, group: &Path) -> io::Result<OwnedFd> {
    let refuse = |text: &'static str| Err(io::Error::new(io::ErrorKind::Unsupported, text));
    let common = if is_subtree(base) { base.parent().unwrap_or(base) } else { base };
    for directory in [common, group] {
        access(&directory.join("cgroup.procs"), AccessFlags::W_OK)?;
    }
    if !fs::read_to_string(group.join("cgroup.subtree_control"))?.trim().is_empty() {
        return refuse("it has groups with controllers below it, so it can have no processes");
    }
    let kind = fs::read_to_string(group.join("cgroup.type")).unwrap_or_default();
    if kind.trim() == "domain invalid" {
        return refuse("it is a group for threads");
    }
    let flags = (OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).bits();
    Ok(File::options().read(true).custom_flags(flags).open(group)?.into())
}

/// Removes a group with all below it, and those above it that have become empty; whether it is gone.
fn remove(group: &Path, base: &Path) -> bool {
    remove_below(group, 0);
    let is_gone = match fs::remove_dir(group) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if is_gone {
        let above = group.ancestors().skip(1).take_while(|path| path.starts_with(base));
        let above = above.filter(|path| *path != base || is_subtree(base));
        let _ = above.map(fs::remove_dir).find(Result::is_err);
    }
    is_gone
}

/// Groups that a job has made for itself.
fn remove_below(group: &Path, depth: usize) {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if depth < DEPTH_MAX {
            remove_below(&entry.path(), depth + 1);
        }
        let _ = fs::remove_dir(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw shared:3 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found_wherever_it_is_mounted() {
        let own = |cgroup: &str| own_path(MOUNTS, cgroup);
        assert_eq!(own("8:pids:/x\n0::/\n"), Some("/sys/fs/cgroup/uni fied/".into()));
        assert_eq!(own("0::/user.slice/a b\n"), Some("/sys/fs/cgroup/uni fied/user.slice/a b".into()));
        assert_eq!(own("8:pids:/x\n"), None);
        assert_eq!(own("0::/../outside\n"), None);
        let part = b"41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_path(part, "0::/box/in\n"), Some("/sys/fs/cgroup/in".into()));
        assert_eq!(own_path(part, "0::/boxes\n"), None);
        assert_eq!(own_path(part, "0::/other\n"), None);
    }
}
