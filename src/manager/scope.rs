//! System or session: the one value that holds every path and default that differs between the two.

use std::path::{Path, PathBuf};

use keeper::place;
use machine::environ::Table;
use machine::input::Settings;
use nix::unistd::{Uid, getppid};

use crate::early;
use crate::options::Options;
use crate::output::Places;

/// Address of the system init's private socket, as in D-Bus addresses (`unix:abstract=…`).
pub const SYSTEM_SOCKET: &str = "/com/ubuntu/upstart";

/// Where systemd-tmpfiles may be.
const TMPFILES: [&str; 3] = ["/usr/bin/systemd-tmpfiles", "/bin/systemd-tmpfiles", "/usr/sbin/systemd-tmpfiles"];

/// Where things are.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whether this is a session's.
    pub is_session: bool,
    /// The number that a session goes by: the pid of the keeper that began it, see [`place`].
    pub number: i32,
    /// The private socket's abstract name.
    pub socket: String,
    /// Directories of job files, the most important one first.
    pub conf_dirs: Vec<PathBuf>,
    /// Where job output goes.
    pub log_dir: PathBuf,
    /// The journal.
    pub journal_dir: PathBuf,
    /// Where it is to be as soon as it can, see [`early`].
    pub journal_home: PathBuf,
    /// The session file, if there is a place for it: clients look for it under the pid of the keeper that they see.
    pub session_file: Option<PathBuf>,
    /// That of the keeper before, which was killed.
    pub old_session_file: Option<PathBuf>,
}

impl Scope {
    /// The scope that the options and the environment mean, of the session that goes by this number.
    #[must_use]
    pub fn of(options: &Options, number: i32) -> Self {
        let keeper_pid = getppid().as_raw();
        let uid = Uid::effective();
        let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let socket = if options.is_session {
            format!("/com/ubuntu/upstart-session/{uid}/{number}")
        } else {
            SYSTEM_SOCKET.into()
        };
        let defaults = if options.is_session { session_conf_dirs() } else { vec!["/etc/init".into()] };
        let named = if options.conf_dirs.is_empty() { defaults } else { options.conf_dirs.clone() };
        let conf_dirs = options.prepended_conf_dirs.iter().cloned();
        let conf_dirs = conf_dirs.chain(named).chain(options.appended_conf_dirs.iter().cloned());
        let log_dir = options.log_dir.clone().unwrap_or_else(|| {
            if options.is_session { cache_home().join("upstart") } else { "/var/log/upstart".into() }
        });
        let journal_dir = match options.is_session {
            false => "/run/stayup/journal".into(),
            true => place::session(number).join("journal"),
        };
        let runtime = runtime.filter(|_| options.is_session);
        let session_file = |pid: i32| runtime.as_ref().map(|dir| dir.join(format!("upstart/sessions/{pid}.session")));
        Self {
            is_session: options.is_session,
            number,
            socket,
            conf_dirs: conf_dirs.map(|path| absolute(&path)).collect(),
            log_dir: absolute(&log_dir),
            journal_home: journal_dir.clone(),
            journal_dir,
            session_file: session_file(keeper_pid),
            old_session_file: session_file(number).filter(|_| number != keeper_pid),
        }
    }

    /// The private socket's D-Bus address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:abstract={}", self.socket)
    }

    /// The socket on which jobs say that they are ready, by path.
    #[must_use]
    pub fn notify_path(&self) -> PathBuf {
        if self.is_session { self.journal_dir.with_file_name("notify") } else { early::notify_path(&self.journal_dir) }
    }

    /// The directory that the journal belongs into, with what is kept beside it.
    #[must_use]
    pub fn state_dir(&self) -> Option<&Path> {
        self.journal_home.parent()
    }

    /// Where the output of jobs goes.
    #[must_use]
    pub fn output(&self) -> Places {
        Places {
            logs: self.log_dir.clone(),
            // The system's is made by its packages, and its disk may not be mounted yet.
            makes_logs: self.is_session,
            notes: record::log_notes(self.is_session, &self.log_dir),
        }
    }

    /// What the machine is told.
    #[must_use]
    pub fn settings(&self, options: &Options) -> Settings {
        let origin: Vec<String> = std::env::vars_os()
            .map(|(key, value)| format!("{}={}", key.to_string_lossy(), value.to_string_lossy()))
            .filter(|entry| !entry.starts_with("UPSTART_") && !entry.starts_with("NOTIFY_SOCKET="))
            .collect();
        let mut base = Table::new();
        if !self.is_session || options.no_inherit_env {
            base.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin".into());
            base.push("TERM=linux".into());
        } else {
            base.extend(origin.iter().map(|entry| entry.as_str().into()));
        }
        Settings {
            is_session: self.is_session,
            origin,
            base,
            session_address: self.is_session.then(|| self.address()),
            has_tmpfiles: TMPFILES.iter().any(|path| Path::new(path).exists()),
            has_apparmor: Path::new("/sys/kernel/security/apparmor").exists(),
            default_console: if options.no_log && options.default_console == machine::class::ConsoleKind::Log {
                machine::class::ConsoleKind::None
            } else {
                options.default_console
            },
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn home() -> PathBuf {
    variable("HOME").map_or_else(|| "/".into(), PathBuf::from)
}

fn cache_home() -> PathBuf {
    variable("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from)
}

/// Where a session's jobs are, in order (contract, "Job files").
fn session_conf_dirs() -> Vec<PathBuf> {
    let config_home = variable("XDG_CONFIG_HOME").map_or_else(|| home().join(".config"), PathBuf::from);
    let config_dirs = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    let mut dirs = vec![config_home.join("upstart"), home().join(".init")];
    dirs.extend(config_dirs.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join("upstart")));
    dirs.push("/usr/share/upstart/sessions".into());
    dirs
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
