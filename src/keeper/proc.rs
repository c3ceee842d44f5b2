//! What /proc says about processes: parents, sessions, start times, environments. Without /proc it says nothing, and
//! the keeper goes on without: start times are 0 and no daemon is found.

use keeper::protocol::Environment;
use keeper::table::{MARKERS, hash};
use std::fs::{File, read, read_dir, read_link};
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a process is called: by its program's file, or as it has called itself (prctl(2), `PR_SET_NAME`). A fork does not change
/// it, and it can still be read of a zombie.
pub(crate) type Name = [u8; 16];

/// The parts of /proc/PID/stat that the keeper uses (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) name: Name,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) start_time_ticks: u64,
    pub(crate) is_zombie: bool,
    pub(crate) is_stopped: bool,
    /// No zombie yet, but on the way: its memory may be gone, and its children are not its parent's yet.
    pub(crate) is_ending: bool,
}

/// Of one process; none if it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    // Longer than any (proc_pid_stat(5)): 52 numbers, and a name of at most 64 bytes.
    let mut text = [0; 1280];
    let length = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut text)).ok()?;
    parse_stat(pid, &text[..length])
}

fn parse_stat(pid: i32, text: &[u8]) -> Option<Stat> {
    // The program's name, in parentheses, may contain anything, parentheses and spaces too.
    let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
    let before_name = text.iter().position(|&byte| byte == b'(')? + 1;
    let mut name = Name::default();
    name.iter_mut().zip(text.get(before_name..after_name - 1)?).for_each(|(into, &byte)| *into = byte);
    let rest = std::str::from_utf8(&text[after_name..]).ok()?;
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
    let number = |index| field(index).and_then(|text| text.parse().ok());
    // include/linux/sched.h; set before a process gives up anything.
    const PF_EXITING: u32 = 4;
    let is_exiting = field(9)?.parse().is_ok_and(|flags: u32| flags & PF_EXITING != 0);
    Some(Stat {
        pid,
        name,
        parent: number(4)?,
        group: number(5)?,
        session: number(6)?,
        start_time_ticks: field(22)?.parse().ok()?,
        is_zombie: field(3)? == "Z",
        is_stopped: field(3)? == "T",
        is_ending: is_exiting && field(3)? != "Z",
    })
}

/// Of one process that has this pid in the namespace of this one.
pub(crate) fn own_stat(pid: i32) -> Option<Stat> {
    if is_of_this_namespace() { stat(pid) } else { None }
}

/// If the process of this pid and start time is a zombie: its status as wait(2) will give it, if we may see it (field 52).
pub(crate) fn zombie_status(pid: i32, start_time_ticks: u64) -> Option<Option<i32>> {
    let text = read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &text).filter(|stat| stat.is_zombie && stat.start_time_ticks == start_time_ticks)?;
    let status = std::str::from_utf8(&text).ok()?.split_ascii_whitespace().next_back()?.parse().ok()?;
    // 0 also where it is not for our eyes; what we may see of a zombie of our own user is true.
    Some(is_own(pid).then_some(status))
}

/// Whether a process is one of this user's.
fn is_own(pid: i32) -> bool {
    uid(pid) == Some(nix::unistd::geteuid().as_raw())
}

/// The effective user of a process; a zombie has one, too.
pub(crate) fn uid(pid: i32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|found| found.uid())
}

/// All processes of this pid namespace.
pub(crate) fn all() -> Vec<i32> {
    if !is_of_this_namespace() {
        return Vec::new();
    }
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The processes above this one, its parent first. Whoever takes orphans here is among them.
pub(crate) fn ancestors() -> Vec<i32> {
    let parent = |pid: i32| own_stat(pid).map(|stat| stat.parent).filter(|&parent| parent > 0);
    // More than any session has; a chain that changes under the look must not be endless.
    std::iter::successors(parent(std::process::id().cast_signed()), |&pid| parent(pid)).take(32).collect()
}

/// When a process started; 0 if unknown.
pub(crate) fn start_time_ticks(pid: i32) -> u64 {
    own_stat(pid).map_or(0, |stat| stat.start_time_ticks)
}

/// Whether /proc numbers processes as this process does: a new pid namespace begins with the /proc of the old one.
fn is_of_this_namespace() -> bool {
    // Once it is, it stays so: a process does not change its pid namespace.
    static IS_KNOWN: AtomicBool = AtomicBool::new(false);
    if !IS_KNOWN.load(Ordering::Relaxed) {
        let is_ours = read_link("/proc/self").is_ok_and(|link| link.to_str() == Some(&std::process::id().to_string()));
        IS_KNOWN.store(is_ours, Ordering::Relaxed);
    }
    IS_KNOWN.load(Ordering::Relaxed)
}

/// All children of this process, zombies too. Complete as long as nobody reaps meanwhile (proc_tid_children(5)), and
/// nobody but the caller can.
pub(crate) fn children() -> Vec<i32> {
    if !is_of_this_namespace() {
        return Vec::new();
    }
    if let Ok(text) = read("/proc/thread-self/children") {
        return String::from_utf8_lossy(&text).split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    }
    // A kernel without CONFIG_PROC_CHILDREN.
    let own = std::process::id();
    all().into_iter().filter(|&pid| stat(pid).is_some_and(|stat| stat.parent.cast_unsigned() == own)).collect()
}

/// Hashes of the strings of a process's environment; empty if it may not be read, or the process has none (any more).
pub(crate) fn environment_hashes(pid: i32) -> Vec<u32> {
    let text = read(format!("/proc/{pid}/environ")).unwrap_or_default();
    text.split(|&byte| byte == 0).filter(|string| !string.is_empty()).map(marker).collect()
}

/// The markers of a new process: its last strings, which are the most particular ones.
pub(crate) fn markers(environment: &Environment) -> [u32; MARKERS] {
    let mut markers = [0; MARKERS];
    for (into, string) in markers.iter_mut().zip(environment.iter().rev()) {
        *into = marker(string);
    }
    markers
}

fn marker(string: &[u8]) -> u32 {
    // 0 says that there is none.
    hash(string.iter().copied()).max(1)
}

/// What a process is in the middle of, for the log, as far as the kernel tells it: its state, where in the kernel it waits
/// (`wchan`), its system call with arguments, stack and instruction pointer (`syscall`), and the kernel's stack. None of these
/// waits for the process (proc_pid_stack(5), proc_pid_syscall(5), proc_pid_wchan(5)).
pub(crate) fn whereabouts(pid: i32) -> String {
    let line = |name: &str| {
        let text = read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(16).collect();
        if words.is_empty() { "unknown".to_owned() } else { words.join(" < ") }
    };
    let stat = read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.iter().rposition(|&byte| byte == b')').map_or(0, |at| at + 1);
    let state = stat[after_name..].iter().copied().find(u8::is_ascii_uppercase).map_or('?', char::from);
    format!(
        "state {state}, waits in {}, system call {}, kernel stack {}",
        line("wchan"),
        line("syscall"),
        line("stack")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_traps_does_not_confuse_the_parser() {
        let text = b"42 (a) Z (b c) S 7 41 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2 3";
        let stat = parse_stat(42, text).expect("parses");
        let expected = Stat {
            pid: 42,
            name: *b"a) Z (b c\0\0\0\0\0\0\0",
            parent: 7,
            group: 41,
            session: 40,
            start_time_ticks: 123_456,
            is_zombie: false,
            is_stopped: false,
            is_ending: false,
        };
        assert_eq!(stat, expected);
        let ending = |state: &str, flags: u32| {
            let text = format!("42 (x) {state} 7 41 40 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2 3");
            parse_stat(42, text.as_bytes()).expect("parses").is_ending
        };
        assert!(ending("R", 4_194_564) && !ending("R", 4_194_560) && !ending("Z", 4_194_564));
        assert_eq!(parse_stat(42, b"42 (x"), None);
        assert_eq!(parse_stat(42, b"42 (x) S 1"), None);
    }

    #[test]
    fn whereabouts_of_a_process_that_is_gone_are_unknown() {
        assert_eq!(whereabouts(0), "state ?, waits in unknown, system call unknown, kernel stack unknown");
        let own = std::process::id().cast_signed();
        assert!(whereabouts(own).starts_with("state "));
    }

    #[test]
    fn this_process_is_found() {
        let own = std::process::id().cast_signed();
        assert!(stat(own).is_some_and(|stat| stat.start_time_ticks > 0 && !stat.is_zombie));
        assert_eq!(stat(0), None);
    }
}
