//! What the simulator found once, each as small as it can be; the seeds are in `src/sim/tests/promises.rs`.
#![allow(clippy::unwrap_used)]

use std::io;

use journal::{Durability, Identity, Log, MemoryStorage, Options};
use keeper::protocol::{Condition, Entry, ExitStatus, Occasion, Reason, ToKeeper, ToManager};
use machine::class::Class;
use machine::effect::{Announcement, Caller, Priority};
use machine::input::{Call, Input};
use machine::job::JobState;
use machine::state::State;
use manager::resume::{Recovery, Resumed, go_on};
use manager::turn::{Arrival, Memory, Turn, World};

const OPTIONS: Options = Options {
    segment_bytes: 8192,
    checkpoint_bytes: 1 << 20,
    durability: Durability::None,
    identity: Identity { boot_id: [1; 16], pid_namespace: 1 },
};

/// As little as a turn needs.
struct Small {
    memory: Memory<MemoryStorage>,
    now_ms: u64,
    sent: Vec<ToKeeper>,
    log: Vec<String>,
    /// Numbers of the announcements that were told.
    told: Vec<u64>,
    /// How many they were each time they left.
    pushed: Vec<usize>,
    /// Processes that the keeper was to start.
    spawned: Vec<u64>,
    /// What the job files say.
    files: Vec<Class>,
}

impl World for Small {
    type Storage = MemoryStorage;

    fn memory(&mut self) -> &mut Memory<MemoryStorage> {
        &mut self.memory
    }
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn send(&mut self, message: ToKeeper) -> io::Result<()> {
        self.sent.push(message);
        Ok(())
    }
    fn spawn(&mut self, ticket: u64) -> io::Result<()> {
        self.spawned.push(ticket);
        Ok(())
    }
    fn announce(&mut self, number: u64, announcement: &Announcement) {
        self.told.push(number);
        if let Announcement::Log(_, text) = announcement {
            self.log.push(text.clone());
        }
    }
    fn push(&mut self) {
        let all = self.told.len();
        if self.pushed.last() != Some(&all) {
            self.pushed.push(all);
        }
    }
    fn performed(&mut self, through: u64) -> u64 {
        through
    }
    fn done(&mut self, _caller: &Caller) {}
    fn let_go(&mut self, _name: &str) {}
    fn reexecute(&mut self) {}
    fn finish(&mut self, _status: u8) {}
    fn rescan(&mut self) {}
    fn job_files(&mut self) -> Vec<Class> {
        self.files.clone()
    }
    fn reconnect_bus(&mut self) {}
    fn adopt(&mut self) {}
    fn report(&mut self, _priority: Priority, text: &str) {
        self.log.push(text.to_owned());
    }
}

/// What the next manager finds, after so many that failed.
fn come_back(disk: &MemoryStorage, failed_starts: u32) -> (Small, Recovery) {
    let reason = Reason::ManagerEnded(ExitStatus::Signal { signal: 9, core_dumped: false });
    let occasion = Occasion { reason, failed_starts, restarts: 1, session: 1 };
    let resumed: Resumed<_> = go_on(Some(Log::open(disk.clone(), OPTIONS).unwrap()), &occasion, Recovery::default());
    let (memory, recovery) = Memory::of(resumed);
    let (sent, log, told, pushed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (spawned, files) = (Vec::new(), Vec::new());
    (Small { memory, now_ms: 1_000, sent, log, told, pushed, spawned, files }, recovery)
}

/// A manager that has begun, on a disk of its own.
fn begin() -> (MemoryStorage, Small) {
    let disk = MemoryStorage::new();
    let (mut world, recovery) = come_back(&disk, 0);
    world.take_over(arrival(Reason::Boot, Vec::new()), &recovery).unwrap();
    (disk, world)
}

fn arrival(reason: Reason, entries: Vec<Entry>) -> Arrival {
    Arrival {
        reason,
        settings: machine::input::Settings { is_session: true, ..Default::default() },
        entries,
        highest_number: 0,
        connections: Vec::new(),
        files: Vec::new(),
        log_priority: None,
    }
}

fn set(world: &mut Small, serial: u32, length: usize) {
    let caller = Caller { connection: 1, serial, sender: None };
    let entries = vec![format!("V{serial}={}", "x".repeat(length))];
    world.take(Input::Call(caller, Call::SetEnvironment { job: None, entries, replace: true })).unwrap();
}

fn digest(state: &State) -> u32 {
    record::digest(state).unwrap()
}

/// What a manager would find now.
fn found(disk: &MemoryStorage) -> u32 {
    digest(&come_back(&disk.snapshot(), 0).0.memory.state)
}

/// There is no room for another file.
fn fill(disk: &MemoryStorage) {
    disk.set_capacity(Some(disk.files().values().map(|content| content.len() as u64).sum()));
}

/// One turn can be neither appended nor put into a checkpoint, and there is room for the next, smaller one.
#[test]
fn behind_a_turn_that_is_missing_no_frame_is_appended() {
    let (disk, mut world) = begin();
    set(&mut world, 1, 10);
    let before = digest(&world.memory.state);
    fill(&disk);
    set(&mut world, 2, 20_000);
    assert!(world.log.iter().any(|line| line.contains("going on without")), "{:?}", world.log);
    set(&mut world, 3, 10);
    assert_eq!(found(&disk), before, "the past, and not one with a hole");
    disk.set_capacity(None);
    set(&mut world, 4, 10);
    assert_eq!(found(&disk), digest(&world.memory.state));
}

#[test]
fn a_checkpoint_from_before_the_first_event_is_a_past() {
    let disk = MemoryStorage::new();
    {
        let (mut log, _) = Log::open(disk.clone(), OPTIONS).unwrap();
        log.checkpoint(&record::encode_state(&State::default()).unwrap()).unwrap();
    }
    let (world, recovery) = come_back(&disk, 0);
    assert!(!recovery.is_rebuilt, "{recovery:?}");
    assert_eq!(digest(&world.memory.state), digest(&State::default()));
}

/// The newest frame is not believed, and there is no room to set it aside.
#[test]
fn behind_frames_that_are_not_believed_no_frame_is_appended() {
    let (disk, mut world) = begin();
    set(&mut world, 1, 10);
    set(&mut world, 2, 10);
    drop(world);
    fill(&disk);
    let before = disk.files();
    let (mut world, recovery) = come_back(&disk, 3);
    assert!(recovery.needs_checkpoint, "{recovery:?}");
    set(&mut world, 3, 10);
    drop(world);
    assert_eq!(disk.files(), before, "nothing stands behind what was not believed");
    disk.set_capacity(None);
    let (mut world, _) = come_back(&disk, 3);
    set(&mut world, 4, 10);
    assert_eq!(found(&disk), digest(&world.memory.state));
}

/// The journal is lost, and the process was between its clone and its exec when the roll was called.
#[test]
fn a_process_whose_start_is_told_late_is_a_stray() {
    let (_, mut world) = begin();
    world.hear(ToManager::Spawned { ticket: 7, pid: 70, start_time_ticks: 5 }).unwrap();
    let strays: Vec<(u64, i32)> = world.memory.state.strays().map(|(ticket, stray)| (ticket, stray.pid)).collect();
    assert_eq!(strays, [(7, 70)]);
    world.hear(ToManager::Exited { ticket: 7, pid: 70, status: ExitStatus::Code(0) }).unwrap();
    assert_eq!(world.memory.state.strays().count(), 0);
    assert!(world.sent.contains(&ToKeeper::Acknowledge { ticket: 7 }));
}

/// A job with this `expect` whose process was asked for; its ticket.
fn start_daemon(expect: &str) -> (MemoryStorage, Small, u64) {
    let (disk, mut world) = begin();
    let text = format!("expect {expect}\nexec daemon\n");
    let class = machine::parse::parse_class("daemon", text.as_bytes()).unwrap();
    world.take(Input::Define(Box::new(class))).unwrap();
    let caller = Caller { connection: 1, serial: 1, sender: None };
    let start = Call::Start { class: "daemon".into(), environment: Vec::new(), wait: false };
    world.take(Input::Call(caller, start)).unwrap();
    let ticket = world.memory.state.find("daemon", "").unwrap().processes[0].ticket;
    (disk, world, ticket)
}

/// The next manager finds that process under the pid 101.
fn come_back_to_fork(disk: &MemoryStorage, ticket: u64, condition: Condition) -> Small {
    let (mut world, recovery) = come_back(disk, 0);
    let label = "main\tdaemon\t".into();
    let entry = Entry { ticket, label, pid: 101, start_time_ticks: 6, last_signal_request: 0, condition };
    let reason = Reason::ManagerEnded(ExitStatus::Code(1));
    world.take_over(arrival(reason, vec![entry]), &recovery).unwrap();
    world
}

/// It forks and ends while no manager is there.
#[test]
fn an_end_is_told_of_the_process_that_has_ended() {
    let (disk, mut world, ticket) = start_daemon("fork");
    world.hear(ToManager::Spawned { ticket, pid: 100, start_time_ticks: 5 }).unwrap();
    drop(world);
    let world = come_back_to_fork(&disk, ticket, Condition::Exited(ExitStatus::Code(3)));
    let told: Vec<&String> = world.log.iter().filter(|line| line.contains("terminated with status 3")).collect();
    assert!(told.len() == 1 && told[0].contains("main process (101)"), "{:?}", world.log);
}

/// Started, and forked as often as it was to, before anybody had heard that it was started: the process is known under its last pid
/// only. Found by a machine that killed its manager while it booted.
#[test]
fn what_has_forked_before_its_start_was_heard_of_is_ready() {
    for (expect, forks_left, is_ready) in
        [("fork", 0, true), ("daemon", 0, true), ("daemon", 1, false), ("notify", 0, false), ("stop", 0, false)]
    {
        let (disk, world, ticket) = start_daemon(expect);
        drop(world);
        let world = come_back_to_fork(&disk, ticket, Condition::Running { forks_left, has_stopped: false });
        let instance = world.memory.state.find("daemon", "").unwrap();
        assert_eq!(instance.state == JobState::Running, is_ready, "expect {expect}, {forks_left} left: {instance:?}");
        assert_eq!(instance.processes[0].pid, 101);
    }
}

/// Two jobs that start each other for ever; gives back the number of the first announcement of it.
fn begin_cascade(world: &mut Small) -> u64 {
    for (name, text) in [("one", "start on stopped other\ntask\n"), ("other", "start on stopped one\ntask\n")] {
        let class = machine::parse::parse_class(name, text.as_bytes()).unwrap();
        world.take(Input::Define(Box::new(class))).unwrap();
    }
    world.note().unwrap();
    let first = world.told.last().unwrap() + 1;
    let caller = Caller { connection: 1, serial: 1, sender: None };
    let start = Call::Start { class: "one".into(), environment: Vec::new(), wait: false };
    world.take(Input::Call(caller, start)).unwrap();
    assert_eq!(world.memory.state.next_deadline_ms(), Some(0), "there is more to do than one turn does");
    first
}

/// A manager dies amid a cascade that takes several turns, and has told nothing of the first one. The next one goes on with the
/// second, and must not take the first for told.
#[test]
fn what_was_not_told_amid_a_cascade_is_told_by_the_next_manager() {
    let (disk, mut world) = begin();
    let first = begin_cascade(&mut world);
    drop(world);
    // That so much is told is noted in the next frame; without it, nobody knows that it was told.
    let mut frames = 0;
    let log = Log::open(disk.clone(), OPTIONS).unwrap();
    for frame in &log.1.frames {
        frames = frame.sequence;
    }
    let mut log = log.0;
    log.quarantine_from(frames).unwrap();
    drop(log);
    let (mut world, recovery) = come_back(&disk, 0);
    assert!(world.memory.state.has_outbox());
    let mut arrival = arrival(Reason::ManagerEnded(ExitStatus::Code(1)), Vec::new());
    // Anything that is new about the surroundings.
    arrival.settings.has_tmpfiles = true;
    arrival.connections = vec![1];
    world.take_over(arrival, &recovery).unwrap();
    let told: Vec<u64> = (first..=*world.told.last().unwrap()).collect();
    let missing: Vec<&u64> = told.iter().filter(|number| !world.told.contains(number)).collect();
    assert!(missing.is_empty(), "never told: {missing:?}");
    assert_eq!(world.told[0], first, "in their order");
}

/// Where managers keep ending, the newest frames are not believed; and if a job was defined in these, its process was a stranger
/// from then on.
#[test]
fn a_job_whose_definition_is_not_believed_any_more_keeps_its_process() {
    let (disk, mut world) = begin();
    (1..=20).for_each(|serial| set(&mut world, serial, 10));
    let class = machine::parse::parse_class("daemon", b"exec daemon\n").unwrap();
    world.take(Input::Define(Box::new(class.clone()))).unwrap();
    let start = Call::Start { class: "daemon".into(), environment: Vec::new(), wait: false };
    world.take(Input::Call(Caller { connection: 1, serial: 21, sender: None }, start)).unwrap();
    let ticket = world.memory.state.find("daemon", "").unwrap().processes[0].ticket;
    world.hear(ToManager::Spawned { ticket, pid: 100, start_time_ticks: 5 }).unwrap();
    drop(world);
    let (mut world, recovery) = come_back(&disk, 4);
    assert!(world.memory.state.class("daemon").is_none() && !recovery.is_rebuilt && recovery.has_lost());
    world.files = vec![class];
    let condition = Condition::Running { forks_left: 0, has_stopped: false };
    let label = machine::spawn::label(machine::job::ProcessKind::Main, "daemon", "");
    let entry = Entry { ticket, pid: 100, start_time_ticks: 5, label, last_signal_request: 0, condition };
    world.take_over(arrival(Reason::ManagerEnded(ExitStatus::Code(1)), vec![entry]), &recovery).unwrap();
    let instance = world.memory.state.find("daemon", "").expect("its file is still there");
    assert_eq!((instance.state, instance.processes[0].pid), (JobState::Running, 100));
    assert!(world.spawned.is_empty(), "{:?}", world.spawned);
}

/// The newest frames are not believed, and what is left ends amid a cascade. What the job files say now has to be known before the
/// roll call's processes are looked at; but the cascade must not go on before the keeper has said which numbers it knows.
#[test]
fn a_number_that_the_keeper_knows_is_not_given_out_before_the_roll_call() {
    const HIGHEST: u64 = 1_000_000;
    let (disk, mut world) = begin();
    begin_cascade(&mut world);
    let mut files: Vec<Class> =
        ["one", "other"].map(|name| world.memory.state.class(name).unwrap().definition.clone()).into();
    files.push(machine::parse::parse_class("daemon", b"start on stopped one\nexec daemon\n").unwrap());
    world.take(Input::Tick).unwrap();
    drop(world);
    let (mut world, recovery) = come_back(&disk, 3);
    assert!(recovery.has_lost() && world.memory.state.next_deadline_ms() == Some(0));
    world.files = files;
    let arrival = Arrival { highest_number: HIGHEST, ..arrival(Reason::ManagerEnded(ExitStatus::Code(1)), Vec::new()) };
    world.take_over(arrival, &recovery).unwrap();
    assert!(!world.spawned.is_empty() && world.spawned.iter().all(|&ticket| ticket > HIGHEST), "{:?}", world.spawned);
}

/// The keeper tells the next manager of it, until it hears that.
#[test]
fn a_signal_is_dealt_with_when_what_follows_from_it_is_in_the_journal() {
    let (disk, mut world) = begin();
    let signal = nix::libc::SIGTERM;
    let before = digest(&world.memory.state);
    world.hear(ToManager::Signal { signal, sender_pid: 1, sender_uid: 0 }).unwrap();
    assert_eq!(world.sent.last(), Some(&ToKeeper::SignalTaken { signal }));
    assert_eq!((found(&disk), before == digest(&world.memory.state)), (digest(&world.memory.state), false));
}

/// A process that ends at once has two messages of the keeper waiting: who listens is woken once. None of what is told may leave
/// before all that it says is in the journal, or be noted as told before it has left.
#[test]
fn what_comes_together_is_told_together() {
    let (disk, mut world, ticket) = start_daemon("none");
    world.note().unwrap();
    let (before, pushes) = (world.told.len(), world.pushed.len());
    world
        .together(|world| {
            world.hear(ToManager::Spawned { ticket, pid: 100, start_time_ticks: 5 })?;
            world.hear(ToManager::Exited { ticket, pid: 100, status: ExitStatus::Code(0) })?;
            assert!(world.told.len() > before && world.pushed.len() == pushes, "nothing has left yet");
            let next = come_back(&disk.snapshot(), 0).0.memory.state;
            assert!(
                next.outbox().map(|(number, _)| number).eq(world.told[before..].iter().copied()),
                "nothing is lost"
            );
            Ok(())
        })
        .unwrap();
    assert_eq!(world.pushed[pushes..], [world.told.len()], "all leaves at once");
    assert!(world.memory.has_to_note());
}

/// Work that never ends must not keep a manager from noting what it has told: the next one would tell all of it again.
#[test]
fn what_is_told_is_noted_when_there_is_time_or_when_it_is_much() {
    let (disk, mut world) = begin();
    let emit = |world: &mut Small, serial| {
        let caller = Caller { connection: 1, serial, sender: None };
        let (name, environment) = ("news".to_owned(), Vec::new());
        world.take(Input::Call(caller, Call::Emit { name, environment, wait: true, file: None })).unwrap();
    };
    let untold = |disk: &MemoryStorage| come_back(&disk.snapshot(), 0).0.memory.state.outbox().count();
    let mut most = 0;
    for serial in 1..=200 {
        emit(&mut world, serial);
        most = most.max(untold(&disk));
    }
    assert!((2..100).contains(&most), "{most} announcements would be made once more");
    emit(&mut world, 201);
    assert!(world.memory.has_to_note() && untold(&disk) > 0);
    world.note().unwrap();
    assert!(!world.memory.has_to_note() && untold(&disk) == 0);
}

/// A process that will not end is to be killed, and a reload is asked for just then: both are on their way when the manager dies.
#[test]
fn every_signal_that_was_on_its_way_is_sent_by_the_next_manager() {
    let (disk, mut world) = begin();
    let class = machine::parse::parse_class("stubborn", b"exec stubborn\nkill timeout 1\n").unwrap();
    world.take(Input::Define(Box::new(class))).unwrap();
    let mut serial = 0;
    let mut call = |world: &mut Small, call: Call| {
        serial += 1;
        world.take(Input::Call(Caller { connection: 1, serial, sender: None }, call)).unwrap();
    };
    let (class, environment) = ("stubborn".to_owned(), Vec::new());
    call(&mut world, Call::Start { class: class.clone(), environment: environment.clone(), wait: false });
    let ticket = world.memory.state.find("stubborn", "").unwrap().processes[0].ticket;
    world.hear(ToManager::Spawned { ticket, pid: 100, start_time_ticks: 5 }).unwrap();
    call(&mut world, Call::Stop { class: class.clone(), environment, wait: false });
    world.hear(ToManager::Signalled { ticket, request: request_of(&world, 15), errno: 0 }).unwrap();
    world.now_ms += 1_000;
    world.take(Input::Tick).unwrap();
    call(&mut world, Call::ReloadInstance { class, instance: String::new() });
    let (kill, hang_up) = (request_of(&world, 9), request_of(&world, 1));
    drop(world);

    let (mut world, recovery) = come_back(&disk, 0);
    let entry = Entry {
        ticket,
        label: "main\tstubborn\t".into(),
        pid: 100,
        start_time_ticks: 5,
        last_signal_request: kill - 1,
        condition: Condition::Running { forks_left: 0, has_stopped: false },
    };
    world.take_over(arrival(Reason::ManagerEnded(ExitStatus::Code(1)), vec![entry]), &recovery).unwrap();
    assert!(kill < hang_up && request_of(&world, 9) == kill && request_of(&world, 1) == hang_up, "{:?}", world.sent);
}

/// Under which number the keeper was asked for this signal.
fn request_of(world: &Small, wanted: i32) -> u64 {
    let mut asked = world.sent.iter().filter_map(|message| match message {
        ToKeeper::Signal { request, signal, .. } if *signal == wanted => Some(*request),
        _ => None,
    });
    asked.next_back().unwrap_or_else(|| panic!("signal {wanted} is not sent: {:?}", world.sent))
}
