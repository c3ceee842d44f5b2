//! What the keeper and the manager say to each other, and nothing else.
//!
//! One message is one `SOCK_SEQPACKET` packet: a bincode body (standard configuration, see [`encode`]) with the
//! descriptors it names as `SCM_RIGHTS`. The keeper knows tickets, processes and descriptors; the words *job*,
//! *instance* and *event* must never appear here except inside a [`SpawnRequest::label`], which it only carries.
//!
//! The manager is started with its end of the pair as descriptor [`MANAGER_FD`]. The first thing the keeper sends on
//! every connection is the roll call ([`ToManager::RollCallBegin`] … [`ToManager::RollCallEnd`]); the first thing the
//! manager sends back, once it has resumed and taken over, is [`ToKeeper::Ready`].

use bincode::{Decode, Encode};

/// Descriptor number of the manager's end of the socket pair.
pub const MANAGER_FD: i32 = 3;

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
    Signal { ticket: Ticket, request: u64, signal: i32, whole_group: bool },
    /// The exit (or failed spawn) of this ticket is in the journal and may be forgotten.
    Acknowledge { ticket: Ticket },
    /// Keep the packet's one descriptor under a name (at most [`NAME_MAX_BYTES`]); an older one of that name is closed.
    Hold { name: String },
    /// Close the descriptor that is held under a name.
    Release { name: String },
    /// Answer to [`ToManager::Ping`].
    Pong { number: u64 },
    /// Execute the keeper anew from its installed path (an upgrade), then start the manager anew.
    Reexecute,
    /// The session is over (or the machine goes down): end the manager, then do this.
    Finish(Finish),
}

/// How the keeper ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Finish {
    /// Exit with this status. A keeper that is PID 1 refuses this and says so.
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
    RollCallHeld { names: Vec<String> },
    /// The roll call is complete.
    RollCallEnd,
    /// Answer to a spawn: the process runs its program (its exec succeeded).
    Spawned { ticket: Ticket, pid: i32, start_time_ticks: u64 },
    /// Answer to a spawn: the process could not be made, or a stage before its exec failed.
    SpawnFailed { ticket: Ticket, stage: Stage, errno: i32 },
    /// Answer to a signal: it is sent, or there was no process any more.
    Signalled { ticket: Ticket, request: u64, errno: i32 },
    /// The followed process of a ticket ended and left a descendant that is now the ticket's process
    /// ([`SpawnRequest::follow_forks`] counted down by one).
    Forked { ticket: Ticket, pid: i32, start_time_ticks: u64, forks_left: u8 },
    /// The process stopped itself with SIGSTOP (only for requests with [`SpawnRequest::report_stop`]).
    Stopped { ticket: Ticket },
    /// The process of a ticket has ended. Kept by the keeper until it is acknowledged.
    Exited { ticket: Ticket, pid: i32, status: ExitStatus },
    /// A signal that reached the keeper itself (INT, WINCH, PWR, HUP, TERM, USR1).
    Signal { signal: i32, sender_pid: i32, sender_uid: u32 },
    /// Are you alive? Answer with the same number within the time of the heartbeat.
    Ping { number: u64 },
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
}

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum ExitStatus {
    /// It called exit with this status.
    Code(i32),
    /// This signal ended it.
    Signal { signal: i32, core_dumped: bool },
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
    Running { forks_left: u8, has_stopped: bool },
    /// It has ended and nobody has acknowledged it.
    Exited(ExitStatus),
    /// It could not be started and nobody has acknowledged it.
    Failed { stage: Stage, errno: i32 },
}

/// Longest label kept, in bytes.
pub const LABEL_MAX_BYTES: usize = 96;

/// Longest name of a held descriptor, in bytes.
pub const NAME_MAX_BYTES: usize = 48;

/// Everything the keeper needs to start one process; all names are resolved to numbers by the manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SpawnRequest {
    /// Names the process.
    pub ticket: Ticket,
    /// What to write into the table, for people and for a recovery without a journal.
    pub label: String,
    /// Program and arguments; a program without a slash is looked up in `PATH` of [`SpawnRequest::environment`].
    pub argv: Vec<Vec<u8>>,
    /// `KEY=VALUE` strings, complete.
    pub environment: Vec<Vec<u8>>,
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
