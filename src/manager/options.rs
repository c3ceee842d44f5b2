//! The command line of init, as the keeper passes it on.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use machine::class::ConsoleKind;
use machine::effect::Priority;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--user`: a session's init.
    pub is_session: bool,
    /// `--confdir`, each in its order; none for the defaults.
    pub conf_dirs: Vec<PathBuf>,
    /// `--prepend-confdir`.
    pub prepended_conf_dirs: Vec<PathBuf>,
    /// `--append-confdir`.
    pub appended_conf_dirs: Vec<PathBuf>,
    /// `--logdir`.
    pub log_dir: Option<PathBuf>,
    /// `--default-console`.
    pub default_console: ConsoleKind,
    /// `--no-dbus`: do not connect to a bus.
    pub no_dbus: bool,
    /// `--session`: use the session bus in place of the system bus.
    pub session_bus: bool,
    /// `--no-log`: `console log` means `console none`.
    pub no_log: bool,
    /// `--no-inherit-env`: jobs of a session do not have its init's environment.
    pub no_inherit_env: bool,
    /// `--no-cgroups`: `cgroup` means nothing.
    pub no_cgroups: bool,
    /// `--chroot-sessions`: clients that have changed their root have a session of their own there.
    pub chroot_sessions: bool,
    /// `--no-startup-event`.
    pub no_startup_event: bool,
    /// `emergency` or `-b` on the kernel's command line: a shell before anything else.
    pub is_emergency: bool,
    /// `--startup-event`.
    pub startup_event: String,
    /// `-q`, `-v`, `--debug`.
    pub priority: Option<Priority>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            is_session: false,
            conf_dirs: Vec::new(),
            prepended_conf_dirs: Vec::new(),
            appended_conf_dirs: Vec::new(),
            log_dir: None,
            default_console: ConsoleKind::Log,
            no_dbus: false,
            session_bus: false,
            no_log: false,
            no_inherit_env: false,
            no_cgroups: false,
            chroot_sessions: false,
            no_startup_event: false,
            is_emergency: false,
            startup_event: "startup".into(),
            priority: None,
        }
    }
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// There is no such option.
    Unknown(String),
    /// The option needs a value.
    MissingValue(String),
    /// `--default-console` does not know this.
    Console(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(option) => {
                write!(f, "invalid option: {option}\nTry `init --help' for more information.")
            }
            Self::MissingValue(option) => {
                write!(f, "missing argument: {option}\nTry `init --help' for more information.")
            }
            Self::Console(value) => write!(f, "invalid console type specified: {value}"),
        }
    }
}

impl Options {
    /// Reads a command line without the program's name.
    ///
    /// As PID 1, words that are no options are not ours: the kernel passes what it does not know (`quiet`, `ro`) to init.
    ///
    /// # Errors
    /// When an option is unknown, lacks its value or has a wrong one.
    pub fn parse(words: Vec<OsString>) -> Result<Self, UsageError> {
        let mut options = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy().into_owned();
            let (name, given) = match text.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(OsString::from(value))),
                _ => (text.clone(), None),
            };
            let mut value = || given.clone().or_else(|| words.next()).ok_or(UsageError::MissingValue(name.clone()));
            match name.as_str() {
                "--user" => options.is_session = true,
                "--confdir" => options.conf_dirs.push(value()?.into()),
                "--prepend-confdir" => options.prepended_conf_dirs.push(value()?.into()),
                "--append-confdir" => options.appended_conf_dirs.push(value()?.into()),
                "--logdir" => options.log_dir = Some(value()?.into()),
                "--default-console" => options.default_console = console(&value()?.to_string_lossy())?,
                "--startup-event" => options.startup_event = value()?.to_string_lossy().into_owned(),
                "--state-fd" | "--manager" | "--heartbeat" => {
                    value()?;
                }
                "--no-dbus" => options.no_dbus = true,
                "--session" => options.session_bus = true,
                "--no-log" => options.no_log = true,
                "--no-inherit-env" => options.no_inherit_env = true,
                "--no-startup-event" => options.no_startup_event = true,
                "--no-cgroups" => options.no_cgroups = true,
                "--chroot-sessions" => options.chroot_sessions = true,
                "--no-sessions" => options.chroot_sessions = false,
                "--restart" | "--write-state-file" => {}
                "emergency" | "-b" => options.is_emergency = true,
                // For the jobs of the boot, which read them on the kernel's command line (sysvinit's init(8)).
                "-s" | "-S" | "-a" => {}
                "-q" | "--quiet" => options.priority = Some(Priority::Error),
                "-v" | "--verbose" => options.priority = Some(Priority::Info),
                "--debug" => options.priority = Some(Priority::Debug),
                _ if text.starts_with('-') && text.len() > 1 => return Err(UsageError::Unknown(text)),
                _ => {}
            }
        }
        Ok(options)
    }
}

fn console(word: &str) -> Result<ConsoleKind, UsageError> {
    match word {
        "none" => Ok(ConsoleKind::None),
        "log" => Ok(ConsoleKind::Log),
        "output" => Ok(ConsoleKind::Output),
        "owner" => Ok(ConsoleKind::Owner),
        _ => Err(UsageError::Console(word.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, UsageError> {
        Options::parse(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn values_may_follow_or_be_attached() {
        let options = parse(&["--user", "--confdir", "a", "--confdir=b", "--logdir=l", "-v", "quiet"]).unwrap();
        assert!(options.is_session);
        assert_eq!(options.conf_dirs, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(options.log_dir, Some("l".into()));
        assert_eq!(options.priority, Some(Priority::Info));
    }

    #[test]
    fn words_of_the_kernels_command_line_are_no_mistakes() {
        let options = parse(&["single", "-s", "ro", "splash", "3"]).unwrap();
        assert_eq!(options, Options::default());
        for word in ["emergency", "-b"] {
            assert!(parse(&["quiet", word]).unwrap().is_emergency);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse(&["--wibble"]), Err(UsageError::Unknown("--wibble".into())));
        assert_eq!(parse(&["--confdir"]), Err(UsageError::MissingValue("--confdir".into())));
        let error = parse(&["--default-console", "wibble"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid console type specified: wibble");
    }
}
