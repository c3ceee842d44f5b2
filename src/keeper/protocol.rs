//! What the keeper and the manager say to each other, and nothing else.
//!
//! One message is one `SOCK_SEQPACKET` packet: a bincode body (see [`encode`]) with the descriptors it names as
//! `SCM_RIGHTS` (see [`crate::link`]). The keeper knows tickets, processes and descriptors; the words *job*,
//! *instance* and *event* must never appear here except inside a [`SpawnRequest::label`], which it only carries.
//!
//! The manager is started with its end of the pair as descriptor [`MANAGER_FD`]. The first thing the keeper sends on
//! every connection is the roll call ([`ToManager::RollCallBegin`] … [`ToManager::RollCallEnd`]); the first thing the
//! manager sends back, once it has resumed and taken over, is [`ToKeeper::Ready`].

use bincode::{Decode, Encode};
use nix::errno::Errno;

/// The manager exits with this status (`EX_USAGE` of sysexits.h), after writing why to standard error, when its options
/// are wrong: starting it again would not help. Before its first [`ToKeeper::Ready`] this ends a session's keeper with
/// exit status 1; PID 1 starts the manager without options instead.
pub const EXIT_USAGE: u8 = 64;

/// The signal (SIGUSR2) that asks a manager which does not answer to write its stack to the log and end; one that cannot is
/// killed soon after.
pub const DUMP: i32 = libc::SIGUSR2;

/// Descriptor number of the manager's end of the socket pair.
pub const MANAGER_FD: i32 = 3;

/// Name of a held descriptor with a meaning: a (sealed) memfd with a manager that worked. When the installed one has
/// failed [`IMAGE_AFTER`] times in a row to become ready, this one is started instead, every other time.
pub const MANAGER_IMAGE: &str = "manager-image";

/// See [`MANAGER_IMAGE`].
pub const IMAGE_AFTER: u32 = 4;

/// The largest packet either side sends, in bytes; a spawn request that does not fit is sent as a sealed memfd whose
/// content is the encoded request (see [`ToKeeper::SpawnLarge`]).
pub const PACKET_MAX_BYTES: usize = 64 * 1024;

/// How many descriptors one packet may carry: the kernel's `SCM_MAX_FD` (unix(7)).
pub const PACKET_MAX_FDS: usize = 253;

/// Names a process for ever: the journal sequence (or any never reused number) of the change that decided it.
pub type Ticket = u64;

/// Manager to keeper.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ToKeeper {
    /// The manager has resumed; crashes from here on count as crashes of a manager that worked.
    Ready,
    /// Start a process. Idempotent per ticket: asking again for a known ticket answers with what is known of it.
    Spawn(Box<SpawnRequest>),
    /// The same, encoded in the memfd that is the packet's first descriptor; the request's own descriptors follow it.
    SpawnLarge,
    /// Signal the process of a ticket, before it is reaped, so never a stranger. `request` numbers the signals of the
    /// manager's life time; a number not above the last one of that ticket is answered but not sent again.
    Signal {
        /// Whose process.
        ticket: Ticket,
        /// Number of this request, counting up over all managers.
        request: u64,
        /// Signal number.
        signal: i32,
        /// Its process group, if it leads one; else the process alone.
        whole_group: bool,
    },
    /// The exit (or failed spawn) of this ticket is in the journal and may be forgotten.
    Acknowledge {
        /// Which one.
        ticket: Ticket,
    },
    /// Keep the packet's one descriptor under a name (at most [`NAME_MAX_BYTES`]); an older one of that name is closed.
    Hold {
        /// Name to find it by.
        name: String,
    },
    /// Close the descriptor that is held under a name.
    Release {
        /// Name it was given.
        name: String,
    },
    /// Answer to [`ToManager::Ping`].
    Pong {
        /// The number of the ping.
        number: u64,
    },
    /// Execute the keeper anew from its installed path (an upgrade), then start the manager anew.
    Reexecute,
    /// The session is over (or the machine goes down): end the manager, then do this.
    Finish(Finish),
    /// Follow no more forks of this ticket: its process is the one it has now.
    Settle {
        /// Which one.
        ticket: Ticket,
    },
    /// What follows from a [`ToManager::Signal`] is in the journal: the next manager need not be told of it.
    SignalTaken {
        /// Signal number.
        signal: i32,
    },
}

/// How the keeper ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Finish {
    /// Exit with this status. A keeper that is PID 1 refuses this and says so, except in a container.
    Exit(u8),
    /// `reboot(2)` with this command (`RB_AUTOBOOT`, `RB_POWER_OFF`, `RB_HALT_SYSTEM`); only as PID 1.
    Reboot(i32),
}

/// Keeper to manager.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ToManager {
    /// Why this manager was started. Entries and held descriptors follow.
    RollCallBegin(Occasion),
    /// One ticket the keeper still knows.
    RollCallEntry(Entry),
    /// Held descriptors, as many names as the packet has descriptors, in that order (copies; the keeper keeps its own).
    RollCallHeld {
        /// Name of each of the packet's descriptors.
        names: Vec<String>,
    },
    /// The roll call is complete.
    RollCallEnd,
    /// Answer to a spawn: the process runs its program (its exec succeeded).
    Spawned {
        /// Which one.
        ticket: Ticket,
        /// Its process id.
        pid: i32,
        /// Field 22 of /proc/pid/stat, in clock ticks since boot; 0 if unknown.
        start_time_ticks: u64,
    },
    /// Answer to a spawn: the process could not be made, or a stage before its exec failed.
    SpawnFailed {
        /// Which one.
        ticket: Ticket,
        /// What failed.
        stage: Stage,
        /// Why, an errno.
        errno: i32,
    },
    /// Answer to a signal: it is sent, or there was no process any more.
    Signalled {
        /// Which one.
        ticket: Ticket,
        /// Number of the request.
        request: u64,
        /// 0, or why not: ESRCH for a process that has ended, or never was.
        errno: i32,
    },
    /// The followed process of a ticket ended and left a descendant that is now the ticket's process
    /// ([`SpawnRequest::follow_forks`] counted down by one).
    Forked {
        /// Which one.
        ticket: Ticket,
        /// Its process id.
        pid: i32,
        /// Field 22 of /proc/pid/stat, in clock ticks since boot; 0 if unknown.
        start_time_ticks: u64,
        /// How many forks are still to be followed.
        forks_left: u8,
    },
    /// The process stopped itself with SIGSTOP (only for requests with [`SpawnRequest::report_stop`]).
    Stopped {
        /// Which one.
        ticket: Ticket,
    },
    /// The process of a ticket has ended. Kept by the keeper until it is acknowledged.
    Exited {
        /// Which one.
        ticket: Ticket,
        /// Its process id.
        pid: i32,
        /// How it ended.
        status: ExitStatus,
    },
    /// A signal that reached the keeper itself (INT, WINCH, PWR, HUP, TERM, USR1, and what shuts a container down).
    Signal {
        /// Signal number.
        signal: i32,
        /// Who sent it; 0 for the kernel or another pid namespace.
        sender_pid: i32,
        /// Its user.
        sender_uid: u32,
    },
    /// Are you alive? Answer with the same number within the time of the heartbeat.
    Ping {
        /// To be answered.
        number: u64,
    },
    /// Before [`ToManager::RollCallEnd`]: the highest number that this keeper has ever been given for a ticket or a signal
    /// request, whether it still knows it or not.
    RollCallNumbers {
        /// That number; 0 if there was none.
        highest: u64,
    },
}

/// Why a manager is started.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Occasion {
    /// What happened.
    pub reason: Reason,
    /// How many managers in a row ended before they were [`ToKeeper::Ready`]; the recovery ladder's input.
    pub failed_starts: u32,
    /// How many managers this keeper has started before, over its own re-executions; 0 at boot.
    pub restarts: u64,
    /// The number that a session goes by, see [`crate::place`]; as process 1, 1.
    pub session: i32,
}

/// See [`Occasion::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reason {
    /// The first manager.
    Boot,
    /// It was asked for ([`ToKeeper::Reexecute`]).
    Reexecuted,
    /// The manager before it ended like this.
    ManagerEnded(ExitStatus),
    /// The manager before it did not answer the heartbeat and was killed.
    ManagerHung,
    /// The keeper itself crashed with this signal and executed itself anew.
    KeeperCrashed(i32),
    /// The keeper that began this session was killed; this one has taken over what it left, and those of the held
    /// descriptors that could be kept.
    KeeperLost,
}

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum ExitStatus {
    /// It called exit with this status.
    Code(i32),
    /// This signal ended it.
    Signal {
        /// Signal number.
        signal: i32,
        /// Whether it left a core file.
        core_dumped: bool,
    },
    /// Nobody can tell any more: it was the child of a keeper that was killed, and somebody else has reaped it.
    Unknown,
}

/// One line of the roll call.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Which process.
    pub ticket: Ticket,
    /// Its label, cut to [`LABEL_MAX_BYTES`].
    pub label: String,
    /// Its pid; 0 if it never had one.
    pub pid: i32,
    /// Field 22 of /proc/pid/stat, in clock ticks since boot; 0 if unknown.
    pub start_time_ticks: u64,
    /// The highest [`ToKeeper::Signal`] request that was carried out.
    pub last_signal_request: u64,
    /// How it is.
    pub condition: Condition,
}

/// See [`Entry::condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Condition {
    /// It runs; so many forks are still to be followed; whether it has stopped itself (see [`ToManager::Stopped`]).
    Running {
        /// Forks still to be followed.
        forks_left: u8,
        /// It has stopped itself.
        has_stopped: bool,
    },
    /// It has ended and nobody has acknowledged it.
    Exited(ExitStatus),
    /// It could not be started and nobody has acknowledged it.
    Failed {
        /// What failed.
        stage: Stage,
        /// Why, an errno.
        errno: i32,
    },
    /// It is being started; the answer to its request follows.
    Starting,
}

impl Condition {
    /// Whether there is a process.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running { .. } | Self::Starting)
    }
}

/// Longest label kept, in bytes.
pub const LABEL_MAX_BYTES: usize = 96;

/// Longest name of a held descriptor, in bytes.
pub const NAME_MAX_BYTES: usize = 96;

/// `KEY=VALUE` strings in one block, each with a NUL at its end, as execve(2) points into it: there are dozens in every
/// request, and nobody needs them one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Environment {
    block: Vec<u8>,
}

impl Environment {
    /// Without a string yet, but with room for so many bytes, NULs included.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { block: Vec::with_capacity(bytes) }
    }

    /// Appends a string.
    ///
    /// # Errors
    /// `EINVAL` when it has a NUL in it.
    pub fn push(&mut self, entry: &[u8]) -> Result<(), Errno> {
        if entry.contains(&0) {
            return Err(Errno::EINVAL);
        }
        self.block.extend_from_slice(entry);
        self.block.push(0);
        Ok(())
    }

    /// The strings, without their NULs.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.block.strip_suffix(&[0]).into_iter().flat_map(|block| block.split(|&byte| byte == 0))
    }

    /// The block; none if its last string has no end, as only a manager gone mad sends it.
    #[must_use]
    pub fn into_block(self) -> Option<Vec<u8>> {
        (self.block.last().is_none_or(|&last| last == 0)).then_some(self.block)
    }
}

/// Everything the keeper needs to start one process; all names are resolved to numbers by the manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SpawnRequest {
    /// Names the process.
    pub ticket: Ticket,
    /// What to write into the table, for people and for a recovery without a journal.
    pub label: String,
    /// Program and arguments; a program without a slash is looked up in `PATH` of [`SpawnRequest::environment`].
    pub argv: Vec<Vec<u8>>,
    /// Complete.
    pub environment: Environment,
    /// Where descriptors 0, 1 and 2 come from.
    pub console: Console,
    /// Further descriptors: (index into the packet's descriptors, number in the process).
    pub descriptors: Vec<(u16, i32)>,
    /// Descriptors to hold from before the process exists: (name, index into the packet's descriptors). Pseudo-terminal
    /// masters and pipe ends go here, so that they cannot die with the manager.
    pub hold: Vec<(String, u16)>,
    /// setpriority(2); none leaves the keeper's own.
    pub nice: Option<i32>,
    /// Value for /proc/self/oom_score_adj.
    pub oom_score_adj: Option<i32>,
    /// (resource, soft, hard) for setrlimit(2); `u64::MAX` is unlimited.
    pub limits: Vec<(u32, u64, u64)>,
    /// File mode creation mask.
    pub umask: u32,
    /// chroot(2) before chdir.
    pub chroot: Option<Vec<u8>>,
    /// Working directory, inside the chroot.
    pub working_directory: Option<Vec<u8>>,
    /// Group, supplementary groups and user; none leaves the keeper's own.
    pub identity: Option<Identity>,
    /// Index of a cgroup v2 directory descriptor for `CLONE_INTO_CGROUP`.
    pub cgroup: Option<u16>,
    /// AppArmor profile to change to on exec, ignored where the kernel has none.
    pub apparmor_profile: Option<String>,
    /// How many forks to follow (expect fork: 1, expect daemon: 2).
    pub follow_forks: u8,
    /// Report when the process stops itself (expect stop).
    pub report_stop: bool,
    /// Have it stop (SIGSTOP) when all is done but its exec (debug). It counts as spawned from then on, so that it can be
    /// seen and signalled; this stop is not reported, and an exec that fails later is exit status 127.
    pub stop_first: bool,
}

/// See [`SpawnRequest::identity`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Identity {
    /// Group id; none leaves it.
    pub gid: Option<u32>,
    /// Supplementary groups; none leaves them.
    pub groups: Option<Vec<u32>>,
    /// User id; none leaves it.
    pub uid: Option<u32>,
}

/// See [`SpawnRequest::console`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Console {
    /// /dev/null three times.
    #[default]
    Null,
    /// /dev/null for input, the packet's descriptor for output and errors (the slave of a pseudo-terminal).
    Log(u16),
    /// The console device for all three; /dev/null when it cannot be opened.
    Output,
    /// As `Output`, and it becomes the controlling terminal of the new session.
    Owner,
    /// The packet's three descriptors, starting with this index (a caller's own terminal).
    Given(u16),
}

/// The steps between clone and exec; what failed is told as one of these and an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Stage {
    /// The request itself: descriptors that are not there, a string with a NUL byte.
    Request,
    /// clone3(2).
    Clone,
    /// setsid(2).
    Session,
    /// The console could not be given.
    Console,
    /// A further descriptor could not be put in its place.
    Descriptor,
    /// setrlimit(2) of this resource.
    Limit(u32),
    /// umask, nice.
    Nice,
    /// /proc/self/oom_score_adj.
    OomScore,
    /// chroot(2).
    Chroot,
    /// chdir(2).
    WorkingDirectory,
    /// setgroups(2).
    Groups,
    /// setgid(2).
    Group,
    /// setuid(2).
    User,
    /// The AppArmor profile.
    AppArmor,
    /// execve(2).
    Execute,
}

/// The one bincode configuration. The limit bounds what a length inside a damaged message can make [`decode`] allocate.
const fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<REQUEST_MAX_BYTES>()
}

/// The largest message there can be, in bytes: a spawn request in a memfd. Above the kernel's `ARG_MAX` of 6 MiB.
pub const REQUEST_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What is wrong with the bytes of a message. The other side is at fault, or speaks a newer version.
#[derive(Debug)]
pub struct Malformed {
    what: &'static str,
    reason: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a message of kind {}: {} (do both programs have the same version?)", self.what, self.reason)
    }
}

impl std::error::Error for Malformed {}

/// The bytes of a message.
///
/// # Errors
/// [`Malformed`] when it is larger than [`REQUEST_MAX_BYTES`].
pub fn encode<T: Encode>(message: &T) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    encode_into(message, &mut bytes)?;
    Ok(bytes)
}

/// The same, behind what is there; who has many messages keeps the room for them.
///
/// # Errors
/// As [`encode`].
pub fn encode_into<T: Encode>(message: &T, bytes: &mut Vec<u8>) -> Result<(), Malformed> {
    match bincode::encode_into_std_write(message, bytes, configuration()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Malformed { what: std::any::type_name::<T>(), reason: error.to_string() }),
    }
}

/// The message of these bytes.
///
/// # Errors
/// [`Malformed`] when they are none, or more than one.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, Malformed> {
    let malformed = |reason| Malformed { what: std::any::type_name::<T>(), reason };
    match bincode::decode_from_slice(bytes, configuration()) {
        Ok((message, used)) if used == bytes.len() => Ok(message),
        Ok((_, used)) => Err(malformed(format!("{} bytes too many", bytes.len() - used))),
        Err(error) => Err(malformed(error.to_string())),
    }
}

/// A small value ([`Stage`], [`ExitStatus`], [`Reason`]) in one word, so that it can be stored with one instruction.
/// Allocates nothing: a child between clone and exec, and a signal handler, may call it.
pub(crate) fn to_word<T: Encode>(value: T) -> u64 {
    let mut bytes = [0; 8];
    // The largest, `Reason::ManagerEnded(ExitStatus::Signal { .. })`, takes 1 + 1 + 5 + 1 bytes; see the tests.
    let fits = bincode::encode_into_slice(value, &mut bytes, configuration());
    debug_assert!(fits.is_ok());
    u64::from_le_bytes(bytes)
}

/// The value of a word made by [`to_word`]; none if it is damaged.
pub(crate) fn from_word<T: Decode<()>>(word: u64) -> Option<T> {
    bincode::decode_from_slice(&word.to_le_bytes(), configuration()).ok().map(|(value, _)| value)
}

impl Stage {
    /// This stage in one word; async-signal-safe.
    #[must_use]
    pub fn to_word(self) -> u64 {
        to_word(self)
    }

    /// The stage of such a word.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        from_word(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_the_largest_values() {
        let status = ExitStatus::Signal { signal: i32::MAX, core_dumped: true };
        for reason in [Reason::ManagerEnded(status), Reason::KeeperCrashed(i32::MIN), Reason::KeeperLost, Reason::Boot]
        {
            assert_eq!(from_word(to_word(reason)), Some(reason));
        }
        for stage in [Stage::Limit(u32::MAX), Stage::Request, Stage::Execute] {
            assert_eq!(Stage::from_word(stage.to_word()), Some(stage));
        }
        assert_eq!(Stage::from_word(u64::MAX), None);
    }

    #[test]
    fn foreign_bytes_are_an_error_not_a_panic() {
        let good = encode(&ToKeeper::Hold { name: "journal".to_owned() }).expect("encodes");
        for cut in 0..good.len() {
            assert!(decode::<ToKeeper>(&good[..cut]).is_err());
        }
        let mut long = good;
        long.push(0);
        assert!(decode::<ToKeeper>(&long).is_err());
        assert!(decode::<ToKeeper>(&[1, 253, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }
}
