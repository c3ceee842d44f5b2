//! The command line: what the keeper itself must know of it, and what it hands on to the manager word by word.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version Upstart's clients are told, see the manager's D-Bus property.
const UPSTART_VERSION: &str = "1.13.2";

/// A manager that has not answered for so long is killed, unless `--heartbeat` or `STAYUP_HEARTBEAT_MS` says otherwise.
const HEARTBEAT_DEFAULT_MS: u64 = 5_000;

/// What this program is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// PID 1.
    System,
    /// A session's init.
    Session,
    /// Started by hand without `--user`: telinit.
    Telinit,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// The command line, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Arguments of the manager: all but the keeper's own.
    pub(crate) for_manager: Vec<OsString>,
    /// `--manager`.
    pub(crate) manager: Option<PathBuf>,
    /// `--state-fd`.
    pub(crate) state: Option<i32>,
    /// `--heartbeat`, as it was written.
    heartbeat: Option<OsString>,
    has_user: bool,
    wants: Option<Role>,
}

impl Options {
    /// Takes the arguments (without the program's name) apart. Never fails: what is not known here is the manager's.
    pub(crate) fn new(arguments: impl Iterator<Item = OsString>) -> Self {
        let mut options =
            Self { for_manager: Vec::new(), manager: None, state: None, heartbeat: None, has_user: false, wants: None };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let bytes = argument.as_bytes();
            let mut value_of = |name: &str| match bytes.strip_prefix(name.as_bytes()) {
                Some([]) => arguments.next(),
                Some([b'=', value @ ..]) => Some(OsStr::from_bytes(value).to_owned()),
                _ => None,
            };
            if let Some(path) = value_of("--manager") {
                options.manager = Some(path.into());
            } else if let Some(seconds) = value_of("--heartbeat") {
                options.heartbeat = Some(seconds);
            } else if let Some(number) = value_of("--state-fd") {
                options.state = number.to_str().and_then(|number| number.parse().ok());
            } else {
                match bytes {
                    b"--user" => options.has_user = true,
                    b"--help" => options.wants = Some(Role::Help),
                    b"--version" => options.wants = Some(Role::Version),
                    _ => {}
                }
                options.for_manager.push(argument);
            }
        }
        options
    }

    /// What to be, as this process.
    pub(crate) fn role(&self, pid: i32) -> Role {
        match self.wants {
            Some(role) => role,
            None if self.has_user => Role::Session,
            None if pid == 1 => Role::System,
            None => Role::Telinit,
        }
    }

    /// Arguments for another image of the keeper, its state not included.
    pub(crate) fn for_keeper(&self) -> Vec<OsString> {
        let manager = self.manager.iter().flat_map(|path| ["--manager".into(), path.clone().into_os_string()]);
        let heartbeat = self.heartbeat.iter().flat_map(|seconds| ["--heartbeat".into(), seconds.clone()]);
        manager.chain(heartbeat).chain(self.for_manager.iter().cloned()).collect()
    }

    /// How long a manager may be silent; none for ever (for debuggers): as told, or as `STAYUP_HEARTBEAT_MS` says.
    pub(crate) fn heartbeat(&self) -> Option<Duration> {
        let told = self.heartbeat.as_deref().and_then(milliseconds);
        let told = told.or_else(|| std::env::var("STAYUP_HEARTBEAT_MS").ok()?.parse().ok());
        match told.unwrap_or(HEARTBEAT_DEFAULT_MS) {
            0 => None,
            // Four timers have to fit, and they count in milliseconds.
            deadline_ms => Some(Duration::from_millis(deadline_ms.max(40))),
        }
    }

    /// Where the manager is: as told, or beside the keeper, or where packages put it.
    pub(crate) fn manager_path(&self, own_path: &Path) -> PathBuf {
        const NAME: &str = "init-manager";
        if let Some(path) = &self.manager {
            return path.clone();
        }
        let resolved = own_path.canonicalize();
        let own = [own_path.parent(), resolved.as_deref().ok().and_then(Path::parent)];
        let beside = own.iter().flatten().map(|directory| directory.join(NAME));
        let below = own.iter().flatten().map(|directory| directory.join("../lib/stayup").join(NAME));
        let packaged = Path::new("/usr/lib/stayup").join(NAME);
        beside.chain(below).find(|path| path.exists()).unwrap_or(packaged)
    }
}

/// `--heartbeat` in milliseconds; what is no number of seconds counts as not said, since PID 1 has nobody to complain to.
fn milliseconds(seconds: &OsStr) -> Option<u64> {
    let seconds: f64 = seconds.to_str()?.parse().ok()?;
    (0.0..=1e9).contains(&seconds).then_some((seconds * 1_000.0) as u64)
}

/// The line of `--version`.
pub(crate) fn version() -> String {
    format!("init (stayup {}, upstart {UPSTART_VERSION})", env!("CARGO_PKG_VERSION"))
}

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Usage: init [OPTION]...
The system's init as process 1; with --user, the init of a session. Started by hand without --user it acts as telinit.

  --user                     be the init of a session
  --confdir DIR              read job files from DIR (may be repeated)
  --prepend-confdir DIR      read job files from DIR before all others
  --append-confdir DIR       read job files from DIR after all others
  --logdir DIR               write the output of jobs to DIR
  --default-console VALUE    console of jobs that name none: none, log, output or owner
  --startup-event EVENT      emit EVENT instead of startup
  --no-startup-event         emit no event at start
  --no-dbus                  do not connect to D-Bus
  --no-log                   do not log the output of jobs
  --no-inherit-env           session: do not pass the environment on to jobs
  --chroot-sessions          let clients in a chroot have jobs of their own there
  --no-sessions              take --chroot-sessions back
  --no-cgroups               do not use control groups
  --session                  use the D-Bus session bus
  -q, --quiet                only report errors
  -v, --verbose              report state changes too
  --debug                    report everything
  --manager PATH             use this manager (default: init-manager beside this program)
  --heartbeat SECONDS        replace a manager that is silent for so long (default 5, 0: never)
  --help                     show this help and exit
  --version                  show the version and exit

Environment: STAYUP_HEARTBEAT_MS  the same in milliseconds, where the option is not given.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::new(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_keepers_own_options_do_not_reach_the_manager() {
        let options = options(&["--user", "--manager", "/m", "--confdir", "/c", "--state-fd=7", "wibble"]);
        assert_eq!(options.for_manager, ["--user", "--confdir", "/c", "wibble"]);
        assert_eq!(options.manager.as_deref(), Some(Path::new("/m")));
        assert_eq!(options.state, Some(7));
    }

    #[test]
    fn a_heartbeat_is_a_number_of_seconds_and_survives_an_exec() {
        for (text, expected_ms) in [("2", Some(2_000)), ("0.25", Some(250)), ("0", None), ("0.001", Some(40))] {
            let first = options(&["--user", "--heartbeat", text]);
            let again = Options::new(first.for_keeper().into_iter());
            assert_eq!(again.heartbeat(), expected_ms.map(Duration::from_millis), "{text}");
            assert_eq!(again.for_manager, ["--user"]);
        }
        for wrong in ["", "x", "-1", "nan", "1e99"] {
            assert_eq!(milliseconds(OsStr::new(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn another_pid_without_user_is_telinit() {
        assert_eq!(options(&["2"]).role(77), Role::Telinit);
        assert_eq!(options(&["2"]).role(1), Role::System);
        assert_eq!(options(&["--user"]).role(1), Role::Session);
        assert_eq!(options(&["--version"]).role(77), Role::Version);
        assert_eq!(options(&["--state-fd", "x", "--manager"]).role(1), Role::System);
    }
}
