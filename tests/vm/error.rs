//! What can go wrong.

use std::fmt;
use std::io;
use std::path::Path;

/// See the module.
#[derive(Debug)]
pub(crate) enum VmError {
    /// This machine lacks something.
    Missing { what: String, remedy: String },
    /// A program that was needed for the preparations failed.
    Program { line: String, output: String },
    /// A file or directory, and what was to be done with it.
    File { what: String, source: io::Error },
    /// It was waited for in vain; the last of what was seen instead.
    Never { what: String, seen: String },
    /// It is not as it must be.
    Wrong(String),
}

impl VmError {
    /// What was to be done with this path, as a function for `map_err`.
    pub(crate) fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |source| Self::File { what, source }
    }
}

impl fmt::Display for VmError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what, remedy } => write!(out, "{what}; {remedy}"),
            Self::Program { line, output } => write!(out, "{line}: failed\n{output}"),
            Self::File { what, source } => write!(out, "cannot {what}: {source}"),
            Self::Never { what, seen } => write!(out, "never happened: {what}; the last that was seen:\n{seen}"),
            Self::Wrong(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for VmError {}
