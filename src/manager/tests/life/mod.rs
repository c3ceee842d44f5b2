//! A life of a session's init in which every kind of change is made, as the frames of its journal.

use std::collections::BTreeSet;

use machine::change::Change;
use machine::effect::{Caller, Priority};
use machine::input::{Call, InitSignal, Input, Settings};
use machine::job::{Cause, ProcessKind};
use machine::parse::parse_class;

use crate::journals::{KINDS, kind};
use crate::world::{Crash, Stage, World};

const JOBS: [(&str, &str); 7] = [
    ("web", "start on go\nstop on halt\nexec serve\nrespawn\nrespawn limit 3 30\nexport X\nenv X=1\n"),
    (
        "daemon",
        "start on (started web and net IFACE=eth*)\nstop on (stopping web and halt)\nexpect daemon\nexec daemon\n",
    ),
    ("task", "task\nstart on work\ninstance $N\nenv N=0\nexec work\npre-start exec prepare\npost-stop exec tidy\n"),
    ("slow", "exec slow\nkill timeout 7\npre-stop exec warn\npost-start script\n  echo started\nend script\n"),
    ("gone", "exec gone\n"),
    ("lost", "exec lost\n"),
    ("waiting", "start on starting slow\ntask\nexec wait\n"),
];

struct Life {
    world: World,
    calls: u32,
}

impl Life {
    fn call(&mut self, connection: u64, call: Call) {
        self.calls += 1;
        let caller = Caller { connection, serial: self.calls, sender: (connection == 9).then(|| ":1.7".into()) };
        self.world.feed(Input::Call(caller, call));
    }

    fn start(&mut self, class: &str, wait: bool) {
        self.call(1, Call::Start { class: class.into(), environment: vec![], wait });
    }

    fn stop(&mut self, class: &str, wait: bool) {
        self.call(2, Call::Stop { class: class.into(), environment: vec!["WHY=told".into()], wait });
    }

    fn emit(&mut self, name: &str, environment: &[&str], wait: bool) {
        let environment = environment.iter().map(|entry| (*entry).into()).collect();
        self.call(3, Call::Emit { name: name.into(), environment, wait, file: None });
    }

    fn define(&mut self, name: &str, text: &str) {
        self.world.feed(Input::Define(Box::new(parse_class(name, text.as_bytes()).unwrap())));
    }

    fn exit(&mut self, kind: ProcessKind, class: &str, instance: &str, cause: Cause) {
        let ticket =
            self.world.keeper.running(kind, class, instance).unwrap_or_else(|| panic!("{class} {kind:?} runs"));
        let input = self.world.keeper.exit(ticket, cause).unwrap();
        self.world.feed(input);
    }

    fn fork(&mut self, class: &str) {
        let ticket = self.world.keeper.running(ProcessKind::Main, class, "").unwrap();
        let input = self.world.keeper.fork(ticket).unwrap();
        self.world.feed(input);
    }

    fn crash(&mut self) {
        self.world.crash();
        self.world.resume();
    }
}

/// Lives, and returns the frames.
pub(crate) fn frames() -> Vec<Vec<Change>> {
    let settings = Settings {
        is_session: true,
        origin: vec!["HOME=/home/user".into()],
        base: vec!["PATH=/bin".into()],
        session_address: Some("unix:abstract=/session/1".into()),
        ..Settings::default()
    };
    // Its own checks are off, because a piece of the journal is made to be lost below.
    let never = Crash { turn: Some(usize::MAX), stage: Stage::Decided, times: 1 };
    let mut life = Life { world: World::new(settings, Some(never)), calls: 0 };
    for (name, text) in JOBS {
        life.define(name, text);
    }
    life.world.feed(Input::Startup(Some("startup".into())));
    jobs_come_up(&mut life);
    definitions_change(&mut life);
    things_go_wrong(&mut life);
    the_journal_loses_a_piece(&mut life);
    the_session_ends(&mut life);
    let frames = std::mem::take(&mut life.world.journal);
    let kinds: BTreeSet<&str> = frames.iter().flatten().map(kind).collect();
    let missing: Vec<_> = KINDS.iter().filter(|kind| !kinds.contains(**kind)).collect();
    assert!(missing.is_empty(), "the life lacks {missing:?}");
    frames
}

fn jobs_come_up(life: &mut Life) {
    life.emit("go", &["Y=\u{e9}"], true);
    life.emit("net", &["IFACE=eth0"], false);
    life.fork("daemon");
    life.fork("daemon");
    life.start("gone", false);
    life.start("slow", true);
    life.exit(ProcessKind::Main, "waiting", "", Cause::Status(0));
    life.exit(ProcessKind::PostStart, "slow", "", Cause::Status(0));
    life.emit("work", &["N=1"], true);
    life.exit(ProcessKind::PreStart, "task", "1", Cause::Status(0));
    life.call(4, Call::SetEnvironment { job: None, entries: vec!["LANG=C".into()], replace: true });
    let web = Some(("web".into(), String::new()));
    life.call(4, Call::SetEnvironment { job: web, entries: vec!["Z=2".into()], replace: true });
    life.call(9, Call::SetLogPriority(Priority::Info));
    life.world.feed(Input::Disconnected(4));
    life.crash();
}

fn definitions_change(life: &mut Life) {
    life.define("web", "start on go\nexec serve --better\n");
    life.define("web", JOBS[0].1);
    life.define("daemon", "expect daemon\nexec daemon --new\n");
    life.world.feed(Input::Remove("gone".into()));
    life.define("passing", "exec passing\n");
    life.world.feed(Input::Remove("passing".into()));
    life.call(1, Call::RestartInit);
}

fn things_go_wrong(life: &mut Life) {
    life.exit(ProcessKind::Main, "web", "", Cause::Signal(11));
    life.world.pass(500);
    life.exit(ProcessKind::Main, "task", "1", Cause::Status(3));
    life.exit(ProcessKind::PostStop, "task", "1", Cause::Status(0));
    life.stop("slow", true);
    life.exit(ProcessKind::PreStop, "slow", "", Cause::Status(0));
    life.world.pass(2000);
    // Half of a condition holds its event.
    life.emit("halt", &[], false);
    life.world.keeper.refuse(machine::spawn::label(ProcessKind::Main, "lost", ""), "unable to execute: No such file");
    life.start("lost", true);
    life.crash();
}

/// Nothing of this happens to a journal that is whole: frames that a repair has set aside.
fn the_journal_loses_a_piece(life: &mut Life) {
    life.world.crash();
    // An event that an instance waits for is gone, and so are the frames that knew these processes.
    let slow = life.world.state.find("slow", "").map(|_| ()).is_some();
    assert!(slow, "slow is on its way down");
    let number = life.world.state.classes().find_map(|(name, record)| (name == "slow").then(|| record.instances[""]));
    life.world.journal.push(vec![Change::Blocked { instance: number.unwrap(), event: 100_000 }]);
    life.world.keeper.add_stranger(200_000, machine::spawn::label(ProcessKind::Main, "lost", ""));
    life.world.keeper.add_stranger(200_001, machine::spawn::label(ProcessKind::Main, "never-heard-of", ""));
    life.world.keeper.add_stranger(200_002, machine::spawn::label(ProcessKind::PostStop, "never-heard-of", ""));
    life.world.resume();
    let input = life.world.keeper.exit(200_001, Cause::Status(0)).unwrap();
    life.world.feed(input);
}

fn the_session_ends(life: &mut Life) {
    life.call(9, Call::EndSession);
    life.world.feed(Input::Signal(InitSignal::Reload));
    life.emit("net", &["IFACE=eth1"], true);
}
