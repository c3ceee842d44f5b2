//! `init-checkconf`: whether init would take a job file, and if not, why.
//!
//! Reads files with the parser that init itself uses, and asks no init. It knows which files belong together and what is
//! printed; what a stanza means is the parser's business, and whether a script is one is the shell's.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use machine::class::{self, Class};
use machine::parse::{self, ParseError, bytes_of};

use crate::address::strerror;
use crate::options::{CommandLine, OptionSpec, UsageError, describe};

const SHELL: &str = "/bin/sh";

const fn option(short: char, long: &'static str, value: Option<&'static str>, help: &'static str) -> OptionSpec {
    OptionSpec { short: Some(short), long, value, help }
}

const OPTIONS: &[OptionSpec] = &[
    option('f', "file", Some("FILE"), "check this file, too; may be repeated"),
    option('s', "noscript", None, "do not have the shell look at scripts"),
    option('d', "debug", None, "accepted and without effect"),
    option('i', "initctl-path", Some("PATH"), "accepted and without effect: no init is asked"),
    option('x', "upstart-path", Some("PATH"), "accepted and without effect: no init is started"),
    option('h', "help", None, "print this text and exit"),
    OptionSpec { short: None, long: "version", value: None, help: "print the version and exit" },
];

const USAGE: &str = "\
Usage: init-checkconf [OPTION]... FILE...
Tell whether job files are sound, and if not, what is wrong with them. Exit with 1 if one is not.

With NAME.conf, NAME.override is looked at too where it lies beside it; an override is read on top of its .conf.
";

/// What is wrong with a file.
#[derive(Debug)]
enum Fault {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is no job file: what the parser says, and the display of it.
    Syntax(ParseError, String),
    /// The shell does not take a script: whose it is, and what the shell said.
    Script(&'static str, String),
    /// The shell cannot be asked.
    NoShell(io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(out, "{}", strerror(error)),
            Self::Syntax(error, display) => write!(out, "syntax invalid: {error}\n{}", display.trim_end()),
            Self::Script(process, text) => write!(out, "syntax invalid: script of {process}\n{}", text.trim_end()),
            Self::NoShell(error) => write!(out, "{SHELL} cannot check its scripts: {}", strerror(error)),
        }
    }
}

/// Runs the program; returns its exit status.
pub fn main(program: &str, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let line = match CommandLine::parse(arguments, OPTIONS) {
        Ok(line) => line,
        Err(error) => return misused(program, &error),
    };
    if line.has("help") {
        print!("{USAGE}{}", describe(OPTIONS));
        return 0;
    }
    if line.has("version") {
        print!("{}", crate::initctl::version(program));
        return 0;
    }
    let files: Vec<_> = line.values("file").chain(line.words.iter().map(String::as_str)).map(PathBuf::from).collect();
    if files.is_empty() {
        return misused(program, &UsageError::Missing("file"));
    }
    let mut status = 0;
    for file in &files {
        match check(file, !line.has("noscript")) {
            Ok(()) => println!("File {}: syntax ok", file.display()),
            Err((culprit, fault)) => {
                eprintln!("ERROR: File {}: {fault}", culprit.display());
                status = 1;
            }
        }
    }
    status
}

fn misused(program: &str, error: &UsageError) -> u8 {
    eprintln!("{program}: {error}\nTry `{program} --help' for more information.");
    1
}

/// Checks a file with what belongs to it. Fails with the file that is to blame, and why.
fn check(file: &Path, with_scripts: bool) -> Result<(), (PathBuf, Fault)> {
    let is_override = file.extension().is_some_and(|ending| ending == "override");
    let other = file.with_extension(if is_override { "conf" } else { "override" });
    let (conf, over) = if is_override { (other.as_path(), file) } else { (file, other.as_path()) };
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut class = Class::new(&name);
    for path in [conf, over] {
        // Only what was asked for has to be there.
        if path != file && !path.is_file() {
            continue;
        }
        class = read(path, &class, with_scripts).map_err(|fault| (path.to_owned(), fault))?;
    }
    Ok(())
}

/// The class with this file on top.
fn read(path: &Path, below: &Class, with_scripts: bool) -> Result<Class, Fault> {
    let text = std::fs::read(path).map_err(Fault::Unreadable)?;
    let class = parse::apply_override(below, &text)
        .map_err(|error| Fault::Syntax(error.clone(), error.render(&path.to_string_lossy(), &text)))?;
    if with_scripts {
        let processes = [
            ("main", &class.main, &below.main),
            ("pre-start", &class.pre_start, &below.pre_start),
            ("post-start", &class.post_start, &below.post_start),
            ("pre-stop", &class.pre_stop, &below.pre_stop),
            ("post-stop", &class.post_stop, &below.post_stop),
        ];
        for (process, command, before) in processes {
            if let Some(class::Command::Script(script)) = command
                && command != before
            {
                check_script(process, &bytes_of(script), &text)?;
            }
        }
    }
    Ok(class)
}

/// Has the shell read a script without running it.
fn check_script(process: &'static str, script: &[u8], file: &[u8]) -> Result<(), Fault> {
    let mut command = Command::new(SHELL);
    command.arg("-n").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut shell = command.spawn().map_err(Fault::NoShell)?;
    // With as many empty lines before it as there are lines in the file, the shell counts lines as the reader does.
    let mut text = vec![b'\n'; lines_before(script, file)];
    text.extend_from_slice(script);
    if let Some(mut input) = shell.stdin.take() {
        // A shell that has read enough to refuse the script does not wait for the rest.
        let _ = input.write_all(&text);
    }
    let output = shell.wait_with_output().map_err(Fault::NoShell)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Fault::Script(process, String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Lines of the file before its script, whose indentation the parser may have taken away; none if it is not there.
fn lines_before(script: &[u8], file: &[u8]) -> usize {
    let lines = |text| -> Vec<&[u8]> { <[u8]>::split(text, |byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect() };
    let (file, script) = (lines(file), lines(script.strip_suffix(b"\n").unwrap_or(script)));
    file.windows(script.len()).position(|window| window == script).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_found_by_whole_lines() {
        let file = b"exec true\nscript\n  true\n\n  x\nend script\n";
        assert_eq!(lines_before(b"true\n\nx\n", file), 2);
        assert_eq!(lines_before(b"false\n", file), 0);
        assert_eq!(lines_before(b"", b""), 0);
    }
}
