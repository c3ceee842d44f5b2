//! Reading processes from /proc, from outside: also those of a machine's own pid namespace. Knows no jobs.

use std::fs;
use std::path::Path;

/// One process, as it was when looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its pid as seen from here.
    pub outside: i32,
    /// Its pid in its own machine.
    pub inside: i32,
    /// Its parent, as seen from here.
    pub parent: i32,
    /// Short name (`comm` of proc(5)).
    pub name: String,
    /// State letter; `Z` is a zombie.
    pub state: char,
}

impl Process {
    /// Looks at one process; none if it is gone.
    #[must_use]
    pub fn at(outside: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{outside}/status")).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(Self {
            outside,
            inside: field("NSpid:")?.split_whitespace().last()?.parse().ok()?,
            parent: field("PPid:")?.parse().ok()?,
            name: field("Name:")?.to_owned(),
            state: field("State:")?.chars().next()?,
        })
    }

    /// Every process in the same pid namespace as this one.
    #[must_use]
    pub fn all_beside(outside: i32) -> Vec<Self> {
        let Some(own) = pid_namespace(outside) else { return Vec::new() };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| pid_namespace(*pid).is_some_and(|found| found == own)).filter_map(Self::at).collect()
    }
}

fn pid_namespace(pid: i32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// Memory of a process that is really there, in bytes (`Rss` of /proc/PID/smaps_rollup, proc(5)).
#[must_use]
pub fn resident_bytes(outside: i32) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc").join(outside.to_string()).join("smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
