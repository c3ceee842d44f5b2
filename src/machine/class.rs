//! What a job file says: the definition that instances are made from.
//!
//! A [`Class`] is plain data. It is written to the journal with every instance that uses it, because the file it came
//! from may have changed by the time the journal is replayed. It knows nothing of files beyond the name of its own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// One job file, with its override applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Name of the job: the path below the configuration directory without `.conf`, such as `net/apache`.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `author`.
    pub author: Option<String>,
    /// `version`.
    pub version: Option<String>,
    /// `usage`.
    pub usage: Option<String>,
    /// `instance`: the template of the instance name; empty for a job with a single instance.
    pub instance: String,
    /// `env`: `KEY=VALUE`, or `KEY` alone to take the value from init's own environment; in file order.
    pub env: Vec<String>,
    /// `export`: names whose values go into the job's events.
    pub export: Vec<String>,
    /// `import`: names the job takes from what starts it (ChromeOS).
    pub import: Vec<String>,
    /// `emits`: event names, for people and for check-config.
    pub emits: Vec<String>,
    /// `tmpfiles`: tmpfiles.d fragments to apply before pre-start (ChromeOS).
    pub tmpfiles: Vec<String>,
    /// `start on`; none when absent or `manual`.
    pub start_on: Option<Condition>,
    /// `stop on`.
    pub stop_on: Option<Condition>,
    /// `task`.
    pub task: bool,
    /// `respawn`.
    pub respawn: bool,
    /// `respawn limit`; none for `unlimited`.
    pub respawn_limit: Option<RespawnLimit>,
    /// `normal exit`, besides status 0.
    pub normal_exit: Vec<ExitCause>,
    /// `expect`.
    pub expect: Expect,
    /// `exec` or `script`.
    pub main: Option<Command>,
    /// `pre-start`.
    pub pre_start: Option<Command>,
    /// `post-start`.
    pub post_start: Option<Command>,
    /// `pre-stop`.
    pub pre_stop: Option<Command>,
    /// `post-stop`.
    pub post_stop: Option<Command>,
    /// `kill signal`, as a number.
    pub kill_signal: i32,
    /// `kill timeout`, in seconds.
    pub kill_timeout_s: u32,
    /// `reload signal`, as a number.
    pub reload_signal: i32,
    /// `console`; none when absent, for init's default.
    pub console: Option<ConsoleKind>,
    /// How its processes are set up.
    pub attributes: Box<Attributes>,
    /// `debug`: processes stop themselves before their program is executed.
    pub debug: bool,
}

/// What a process is given besides its program and environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// `umask`.
    pub umask: u32,
    /// `nice`, -20 to 19.
    pub nice: Option<i32>,
    /// `oom score` as a value for oom_score_adj, -1000 to 1000 (`never` is -1000).
    pub oom_score_adj: Option<i32>,
    /// `chroot`.
    pub chroot: Option<String>,
    /// `chdir`.
    pub chdir: Option<String>,
    /// `limit`, the last of each resource.
    pub limits: Vec<Limit>,
    /// `setuid`: a user name.
    pub setuid: Option<String>,
    /// `setgid`: a group name.
    pub setgid: Option<String>,
    /// `cgroup`.
    pub cgroups: Vec<Cgroup>,
    /// `apparmor load`: path of a profile to load before pre-start.
    pub apparmor_load: Option<String>,
    /// `apparmor switch`: profile of the main process.
    pub apparmor_switch: Option<String>,
}

/// `limit NAME SOFT HARD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// Soft limit; `u64::MAX` for `unlimited`.
    pub soft: u64,
    /// Hard limit; `u64::MAX` for `unlimited`.
    pub hard: u64,
}

/// The resources of setrlimit(2) under their names in job files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of getrlimit(2)")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Sigpending,
    Stack,
}

/// `cgroup CONTROLLER [NAME] [KEY VALUE]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Controller, such as `memory`.
    pub controller: String,
    /// Name of the group; none for one named after the instance. May contain `$UPSTART_CGROUP` and other variables.
    pub name: Option<String>,
    /// One setting: (key, value).
    pub setting: Option<(String, String)>,
}

/// `respawn limit COUNT INTERVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RespawnLimit {
    /// So many respawns are allowed
    pub count: u32,
    /// within so many seconds.
    pub interval_s: u32,
}

/// One word of `normal exit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitCause {
    /// An exit status.
    Status(i32),
    /// A signal number.
    Signal(i32),
}

/// `expect`: what tells that the main process is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// Its execution is enough.
    None,
    /// It raises SIGSTOP.
    Stop,
    /// It forks once.
    Fork,
    /// It forks twice.
    Daemon,
    /// It says `READY=1` to `$NOTIFY_SOCKET` (sd_notify(3)); Stayup's own.
    Notify,
}

/// A program of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// `exec`: the rest of the line, quotes as written.
    Exec(String),
    /// `script`: the lines of the block, each ending in a newline.
    Script(String),
}

/// `console`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsoleKind {
    /// /dev/null.
    None,
    /// A pseudo-terminal whose output goes to the job's log file.
    Log,
    /// /dev/console.
    Output,
    /// /dev/console as controlling terminal.
    Owner,
}

/// SIGKILL's milder brother, and other numbers of signal(7) that are the same on every Linux architecture Rust targets
/// but for MIPS and SPARC.
pub const SIGTERM: i32 = 15;
/// Hang up: the default reload signal.
pub const SIGHUP: i32 = 1;

impl Class {
    /// A job file without a single stanza.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            description: None,
            author: None,
            version: None,
            usage: None,
            instance: String::new(),
            env: Vec::new(),
            export: Vec::new(),
            import: Vec::new(),
            emits: Vec::new(),
            tmpfiles: Vec::new(),
            start_on: None,
            stop_on: None,
            task: false,
            respawn: false,
            respawn_limit: Some(RespawnLimit { count: 10, interval_s: 5 }),
            normal_exit: Vec::new(),
            expect: Expect::None,
            main: None,
            pre_start: None,
            post_start: None,
            pre_stop: None,
            post_stop: None,
            kill_signal: SIGTERM,
            kill_timeout_s: 5,
            reload_signal: SIGHUP,
            console: None,
            attributes: Box::default(),
            debug: false,
        }
    }
}

impl Expect {
    /// As in job files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stop => "stop",
            Self::Fork => "fork",
            Self::Daemon => "daemon",
            Self::Notify => "notify",
        }
    }

    /// How many things are waited for: forks, or the one stop or notification.
    #[must_use]
    pub const fn awaits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Stop | Self::Fork | Self::Notify => 1,
            Self::Daemon => 2,
        }
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            umask: 0o022,
            nice: None,
            oom_score_adj: None,
            chroot: None,
            chdir: None,
            limits: Vec::new(),
            setuid: None,
            setgid: None,
            cgroups: Vec::new(),
            apparmor_load: None,
            apparmor_switch: None,
        }
    }
}
