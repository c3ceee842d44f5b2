//! A journal to read, and the programs that read it.

use std::path::{Path, PathBuf};
use std::process::Command;

use journal::{FileStorage, Identity, Log, Options};
use machine::effect::Caller;
use machine::input::{Call, Input, RollCall};
use machine::job::Cause;
use machine::state::State;
use record::{Origin, Stamp, Who};

/// A directory that goes with the test.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stayup-history-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An init in small: the real machine and the real journal, and a keeper that does what it is told at once.
pub(crate) struct Init {
    pub(crate) state: State,
    pub(crate) log: Log<FileStorage>,
    pub(crate) sequence: u64,
    now_us: u64,
    serial: u32,
}

/// When the first turn is taken, in microseconds since 1970.
pub(crate) const BEGIN_US: u64 = 1_800_000_000_000_000;

impl Init {
    pub(crate) fn new(directory: &Path) -> Self {
        let options =
            Options { segment_bytes: 16 << 10, ..Options::new(Identity { boot_id: [7; 16], pid_namespace: 1 }) };
        let log = Log::open(FileStorage::at(directory).unwrap(), options).unwrap().0;
        let mut init = Self { state: State::default(), log, sequence: 0, now_us: 0, serial: 0 };
        init.take(Input::Settings(Box::default()));
        init.take(Input::RollCall(RollCall::default()));
        init
    }

    /// Defines a job from the text of its file.
    pub(crate) fn define(&mut self, name: &str, text: &str) {
        let class = machine::parse::parse_class(name, text.as_bytes()).unwrap();
        self.take(Input::Define(Box::new(class)));
    }

    pub(crate) fn call(&mut self, call: Call) {
        self.serial += 1;
        self.take(Input::Call(Caller { connection: 5, serial: self.serial, sender: None }, call));
    }

    pub(crate) fn emit(&mut self, name: &str) {
        self.call(Call::Emit { name: name.into(), environment: vec![], wait: false, file: None });
    }

    /// The main process of a job ends.
    pub(crate) fn exit(&mut self, class: &str, cause: Cause) {
        let found = self.state.find(class, "").unwrap();
        let ticket = found.process(machine::job::ProcessKind::Main).unwrap().ticket;
        self.take(Input::Exited { ticket, cause });
    }

    /// One turn, journaled, and all that the keeper answers.
    pub(crate) fn take(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.now_us += 1_000_000;
            let who = Who { uid: 1000, pid: 4711, program: "initctl".into() };
            let origin = Origin::of(&input, |_| Some(who));
            let outcome = machine::turn(&mut self.state, self.now_us / 1000, input);
            if !outcome.changes.is_empty() {
                let stamp = Stamp { boot_us: self.now_us, wall_us: BEGIN_US + self.now_us };
                let mut bytes = Vec::new();
                record::encode_turn(stamp, &origin, &outcome.changes, &mut bytes).unwrap();
                self.sequence = self.log.append(&bytes).unwrap();
            }
            for effect in outcome.effects {
                use machine::effect::Effect;
                match effect {
                    Effect::Spawn(ticket) => {
                        let pid = 1000 + i32::try_from(ticket).unwrap();
                        inputs.push_back(Input::Spawned { ticket, pid, start_time_ticks: 9 });
                    }
                    Effect::Signal { ticket, request, signal, .. } => {
                        inputs.push_back(Input::Signalled { ticket, request });
                        inputs.push_back(Input::Exited { ticket, cause: Cause::Signal(signal) });
                    }
                    Effect::Announce(number, _) => inputs.push_back(Input::Performed(number)),
                    _ => {}
                }
            }
            if self.state.next_deadline_ms() == Some(0) && inputs.is_empty() {
                inputs.push_back(Input::Tick);
            }
        }
    }
}

/// What a program printed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `initjournal`.
pub(crate) fn initjournal(arguments: &[&str]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_initjournal"));
    let output = command.args(arguments).env("TZ", "UTC").env_remove("UPSTART_SESSION").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}
