//! The command line.

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Usage: cargo demo [--kill] [--xclock] [--keep-journal DIR]
Restart the system init on a machine of its own, and watch every session follow while no job notices.

  --kill    then kill and crash everything that may die: the managers of the system and of the session, each and both at
            once, by SIGKILL and SIGSEGV, and both keepers (process 1 is one) by SIGSEGV
  --xclock  have the user's own job run xclock on $DISPLAY, and wait for Enter at the end
  --keep-journal DIR  copy the journals of both inits to DIR/system/journal and DIR/session/journal at the end, for
            initjournal
  --help    show this help and exit

Needs neither root nor dbus-daemon. Exit status: 0 if everything that must be true was seen to be, 1 if not, 77 if the
kernel does not let us make namespaces.
";

/// What is printed after a mistake.
pub(crate) const USAGE: &str = "Usage: cargo demo [--kill] [--xclock] [--keep-journal DIR]; see `cargo demo --help'.";

/// What to play.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) kill: bool,
    pub(crate) xclock: bool,
    pub(crate) keep_journal: Option<std::path::PathBuf>,
}

/// A command line, understood or not.
#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Options),
    Help,
    Wrong(String),
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Parsed {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--kill" => options.kill = true,
                "--xclock" => options.xclock = true,
                "--keep-journal" => match words.next() {
                    Some(directory) => options.keep_journal = Some(directory.into()),
                    None => return Parsed::Wrong("missing argument: --keep-journal".into()),
                },
                "--help" | "-h" => return Parsed::Help,
                _ => return Parsed::Wrong(format!("invalid option: {word}")),
            }
        }
        Parsed::Run(options)
    }
}
