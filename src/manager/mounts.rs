//! File systems that the system init needs before any job, mounted where they are missing.
//!
//! An initramfs has usually done this. In a container or a bare boot nobody has. /proc and /dev are the keeper's own need, and
//! are there by now.

use std::path::Path;

use keeper::container::is_container;
use nix::mount::{MsFlags, mount};

/// What, where, type, flags, data.
const MOUNTS: [(&str, &str, &str, MsFlags, &str); 4] = [
    ("sysfs", "/sys", "sysfs", NO_PROGRAMS, ""),
    ("devpts", "/dev/pts", "devpts", NO_EXEC, "gid=5,mode=620,ptmxmode=666"),
    ("tmpfs", "/run", "tmpfs", NO_DEVICES, "mode=755,size=10%"),
    ("cgroup2", "/sys/fs/cgroup", "cgroup2", NO_PROGRAMS, "nsdelegate"),
];

const NO_EXEC: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);
const NO_DEVICES: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
const NO_PROGRAMS: MsFlags = NO_DEVICES.union(MsFlags::MS_NOEXEC);

/// What must be there for a file system to count as mounted.
fn sign(target: &str) -> &'static str {
    match target {
        "/sys" => "/sys/kernel",
        "/dev/pts" => "/dev/pts/ptmx",
        _ => "/run/.",
    }
}

/// Mounts what is missing; returns what could not be mounted and is needed. In a container that is nothing: what it lacks, it was
/// not given.
#[must_use]
pub fn mount_missing() -> Vec<String> {
    let mut problems = Vec::new();
    for (source, target, kind, flags, data) in MOUNTS {
        let is_there = match target {
            "/run" => is_in_memory(Path::new(target)),
            // Somebody may have put the groups of old there, or nothing may be mounted there at all.
            "/sys/fs/cgroup" => !is_empty(target),
            _ => Path::new(sign(target)).exists(),
        };
        if is_there {
            continue;
        }
        if target == "/dev/pts" {
            // Fails where it exists, which is as good.
            let _ = std::fs::create_dir(target);
        }
        if let Err(errno) = mount(Some(source), target, Some(kind), flags, Some(data))
            // Init does without; a job that asks for a group is told.
            && kind != "cgroup2"
            && !is_container()
        {
            problems.push(format!("{target}: cannot mount {kind}: {}", errno.desc()));
        }
    }
    problems
}

/// Whether there is a directory with nothing in it.
fn is_empty(path: &str) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whether a directory is on a tmpfs or ramfs (statfs(2)).
#[must_use]
pub fn is_in_memory(path: &Path) -> bool {
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    nix::sys::statfs::statfs(path).is_ok_and(|found| {
        let kind = found.filesystem_type();
        kind == nix::sys::statfs::TMPFS_MAGIC || kind.0 == RAMFS_MAGIC
    })
}
