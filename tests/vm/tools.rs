//! Programs of the host, and directories.

use crate::error::VmError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that this machine lacks a program, if it does.
pub(crate) fn need(program: &str, package: &str) -> Result<(), VmError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let is_there = std::env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file());
    if is_there {
        return Ok(());
    }
    Err(VmError::Missing {
        what: format!("there is no {program} here"),
        remedy: format!("install the package {package}"),
    })
}

/// Runs a program to its end; gives what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String, VmError> {
    run_command(Command::new(program).args(arguments))
}

/// The same, prepared.
pub(crate) fn run_command(command: &mut Command) -> Result<String, VmError> {
    let line = format!("{command:?}");
    let output = command.output().map_err(|source| VmError::File { what: format!("run {line}"), source })?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(VmError::Program { line, output: text }) }
}

/// Where things are kept that take long to make.
pub(crate) fn cache() -> Result<PathBuf, VmError> {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = home.unwrap_or_else(|| "/var/cache".into()).join("stayup/vm");
    std::fs::create_dir_all(&directory).map_err(VmError::at("make", &directory))?;
    Ok(directory)
}

/// A directory that goes with its value.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self, VmError> {
        let path = cache()?.join(format!("run-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(VmError::at("make", &path))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
