//! Running a program with a fake init, and saying what it printed.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::fake_init::{FakeInit, Job, Place, World};

pub struct Stage {
    pub place: Place,
    pub init: FakeInit,
}

impl Stage {
    pub fn new(prepare: impl FnOnce(&mut World)) -> Self {
        let place = Place::new();
        let init = FakeInit::new(place.path("socket"));
        prepare(&mut init.world());
        Self { place, init }
    }

    /// What `initctl` with these arguments says, in the form of the transcripts: errors after `! `, and the status.
    pub fn initctl(&self, arguments: &str) -> String {
        self.run("initctl", arguments, &[])
    }

    pub fn run(&self, name: &str, arguments: &str, env: &[(&str, &str)]) -> String {
        let mut command = program(name, arguments);
        command.env("UPSTART_SESSION", self.init.address());
        command.env("XDG_RUNTIME_DIR", self.place.path("run"));
        command.envs(env.iter().copied());
        transcript(&command.output().unwrap())
    }

    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.init.world().calls)
    }
}

/// A program of this package under one of its names, without the environment of an init.
pub fn program(name: &str, arguments: &str) -> Command {
    let path = match name {
        "telinit" | "init" => env!("CARGO_BIN_EXE_telinit"),
        _ => env!("CARGO_BIN_EXE_initctl"),
    };
    let mut command = Command::new(Path::new(path));
    command.arg0(name).args(arguments.split_whitespace());
    for variable in ["UPSTART_SESSION", "UPSTART_JOB", "UPSTART_INSTANCE", "RUNLEVEL"] {
        command.env_remove(variable);
    }
    command
}

pub fn transcript(output: &Output) -> String {
    let mut text = String::from_utf8(output.stdout.clone()).unwrap();
    for line in std::str::from_utf8(&output.stderr).unwrap().lines() {
        text.push_str(&format!("! {}\n", line.trim_end()));
    }
    match output.status.code() {
        Some(0) => text,
        status => format!("{text}[exit {}]\n", status.unwrap_or(-1)),
    }
}

pub fn job() -> Job {
    Job::default()
}

pub fn many() -> Job {
    Job { many: true, ..Job::default() }
}
