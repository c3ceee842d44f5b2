//! The command line.

use std::path::PathBuf;

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Usage: cargo vm [--interactive|--times] [--init NAME] [--kernel-words WORDS] [--packages DIR] [--keep DIR]
Boot a Debian 12 on Stayup in QEMU, be hard on it, and see that it stays up and shuts down clean.

  --interactive   give the machine's console to this terminal; log in as root without password. Control-A X ends it
  --times         boot it on Stayup, sysvinit and systemd, and print when each has its login prompt
  --init NAME     stayup, sysvinit or systemd; for --interactive and --times
  --kernel-words  words for the kernel's command line, such as single or emergency
  --packages DIR  install the packages of stayup that are in DIR, instead of building them
  --keep DIR      leave what the serial lines said, and the image of the disk, in DIR
  --help          show this help and exit

Run it as root on Debian 12 with the packages debootstrap, e2fsprogs and qemu-system-x86. The root file system is made once, in
$XDG_CACHE_HOME/stayup or /var/cache/stayup. Exit status: 0 if everything that must be true was seen to be, 1 if not, 77 if
this machine lacks something.
";

/// What is printed after a mistake.
pub(crate) const USAGE: &str = "Usage: cargo vm [OPTION]...; see `cargo vm --help'.";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Scenario,
    Interactive,
    Times,
}

/// Whose /sbin/init it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    Stayup,
    Sysvinit,
    Systemd,
}

impl Init {
    pub(crate) const ALL: [Self; 3] = [Self::Stayup, Self::Sysvinit, Self::Systemd];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stayup => "stayup",
            Self::Sysvinit => "sysvinit",
            Self::Systemd => "systemd",
        }
    }
}

/// A command line.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) act: Act,
    pub(crate) init: Option<Init>,
    pub(crate) kernel_words: String,
    pub(crate) packages: Option<PathBuf>,
    pub(crate) keep: Option<PathBuf>,
}

/// A command line, understood or not.
#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Options),
    Help,
    Wrong(String),
}

pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Parsed {
    let mut options =
        Options { act: Act::Scenario, init: None, kernel_words: String::new(), packages: None, keep: None };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("missing argument: {word}"));
        let result = match word.as_str() {
            "--interactive" => {
                options.act = Act::Interactive;
                Ok(())
            }
            "--times" => {
                options.act = Act::Times;
                Ok(())
            }
            "--init" => value().and_then(|name| {
                let found = Init::ALL.into_iter().find(|init| init.name() == name);
                options.init = Some(found.ok_or_else(|| format!("no init of this name: {name}"))?);
                Ok(())
            }),
            "--kernel-words" => value().map(|text| options.kernel_words = text),
            "--packages" => value().map(|path| options.packages = Some(path.into())),
            "--keep" => value().map(|path| options.keep = Some(path.into())),
            "--help" | "-h" => return Parsed::Help,
            _ => Err(format!("invalid option: {word}")),
        };
        if let Err(what) = result {
            return Parsed::Wrong(what);
        }
    }
    Parsed::Run(options)
}
