//! A real keeper, whose manager is the test itself: the keeper starts this test program as the manager, which hands its
//! end of the link over to the test through a socket and then only waits to be ended.

#![allow(unsafe_code)] // a received number becomes a descriptor

use keeper::link::{Link, LinkError};
use keeper::protocol::{Entry, Environment, Occasion, SpawnRequest, Stage, Ticket, ToKeeper, ToManager};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, recv,
    send, socket, sockopt,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the manager finds the test.
pub(crate) const MEETING_PLACE: &str = "STAYUP_TEST_MEETING_PLACE";

/// How long anything may take that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test.
pub(crate) const INIT: &str = env!("CARGO_BIN_EXE_init");

/// This program.
pub(crate) fn own_path() -> PathBuf {
    std::env::current_exe().expect("own path")
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until there is something.
pub(crate) fn until_some<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(what, || {
        found = find();
        found.is_some()
    });
    found.expect("waited for")
}

/// Whether a process is there; a zombie is.
pub(crate) fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Fields of /proc/PID/stat after the name, from the state on.
pub(crate) fn stat(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// Children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Zombies among the children of a process.
pub(crate) fn zombies(pid: i32) -> Vec<i32> {
    children(pid).into_iter().filter(|&pid| stat(pid).is_some_and(|stat| stat[0] == "Z")).collect()
}

/// The keeper and where it meets the test.
pub(crate) struct World {
    directory: PathBuf,
    listener: OwnedFd,
    pub(crate) keeper: i32,
    /// None where it is another keeper's.
    child: Option<Child>,
}

/// How to start one.
#[derive(Default)]
pub(crate) struct Start {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) uid: Option<u32>,
    /// Runs this instead of `init --user`; the keeper is then whatever starts the manager.
    pub(crate) instead: Option<Vec<String>>,
    /// Another path of the keeper.
    pub(crate) program: Option<PathBuf>,
    /// Its standard error.
    pub(crate) errors: Option<OwnedFd>,
}

impl Start {
    /// Words and environment of a keeper that meets the test in this directory.
    fn command(&self, directory: &Path) -> (Vec<String>, Vec<(&'static str, String)>) {
        let text = |path: &Path| path.to_str().expect("utf-8").to_owned();
        let program = self.program.as_ref().map_or_else(|| INIT.to_owned(), |path| text(path));
        let words = ["--user", "--manager"].map(str::to_owned).into_iter().chain([text(&own_path())]);
        let mut words: Vec<String> =
            self.instead.clone().unwrap_or_else(|| [program].into_iter().chain(words).collect());
        words.extend(self.arguments.iter().cloned());
        let mut environment = vec![
            (MEETING_PLACE, text(&directory.join("meet"))),
            // The test is the manager, and does not answer while it looks at something else.
            ("STAYUP_HEARTBEAT_MS", "60000".to_owned()),
            // Nothing of a world before is to be taken over, nor is there a vault.
            ("XDG_RUNTIME_DIR", text(&directory.join("none"))),
        ];
        environment.retain(|(key, _)| self.environment.iter().all(|(other, _)| key != other));
        environment.extend(self.environment.iter().cloned());
        (words, environment)
    }
}

/// A directory of its own, and the socket in it where a manager finds the test.
fn meeting_place() -> (PathBuf, OwnedFd) {
    let directory = fresh_directory();
    let place = directory.join("meet");
    let listener = seqpacket();
    bind(listener.as_raw_fd(), &UnixAddr::new(&place).expect("address")).expect("bind");
    listen(&listener, Backlog::new(16).expect("backlog")).expect("listen");
    use std::os::unix::fs::PermissionsExt as _;
    for path in [&directory, &place] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("permissions");
    }
    (directory, listener)
}

impl World {
    /// A session's keeper.
    pub(crate) fn new() -> Self {
        Self::start(Start::default())
    }

    pub(crate) fn start(start: Start) -> Self {
        let (directory, listener) = meeting_place();
        let (words, environment) = start.command(&directory);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.env_remove("XDG_SESSION_ID").envs(environment);
        if std::env::var_os("STAYUP_TEST_VERBOSE").is_none() {
            command.stderr(std::fs::File::create(directory.join("stderr")).expect("stderr"));
        }
        if let Some(errors) = start.errors {
            command.stderr(errors);
        }
        if let Some(uid) = start.uid {
            use std::os::unix::process::CommandExt as _;
            command.uid(uid).gid(uid).current_dir("/");
        }
        let child = command.spawn().expect("init starts");
        Self { directory, listener, keeper: child.id().cast_signed(), child: Some(child) }
    }

    /// One that another keeper starts, for this ticket; what it leaves comes to that.
    pub(crate) fn start_under(start: &Start, manager: &mut Manager, ticket: Ticket) -> Self {
        let (directory, listener) = meeting_place();
        let (words, entries) = start.command(&directory);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut asked = request(ticket, &words);
        asked.environment = environment(&entries.iter().map(String::as_str).collect::<Vec<_>>());
        manager.spawn(asked);
        let keeper = manager.spawned(ticket);
        Self { directory, listener, keeper, child: None }
    }

    /// What the keeper has written to standard error.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.directory.join("stderr")).unwrap_or_default()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The next manager that the keeper starts, before its roll call.
    pub(crate) fn manager(&self) -> Manager {
        let what = format!("a manager; the keeper printed: {}", self.printed());
        await_readable(self.listener.as_fd(), &what);
        let connection = accept4(self.listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).expect("accept");
        // SAFETY: a fresh descriptor.
        let control = unsafe { OwnedFd::from_raw_fd(connection) };
        let pid = getsockopt(&control, sockopt::PeerCredentials).expect("credentials").pid();
        await_readable(control.as_fd(), "the manager's link");
        let (number, mut links) = Link::from(control.try_clone().expect("clone")).receive::<u32>().expect("the link");
        assert_eq!(number, 7);
        let link = Link::from(links.remove(0));
        link.set_nonblocking(true).expect("nonblocking");
        Manager { pid, control, link, backlog: Vec::new(), requests: 0 }
    }

    /// The next manager, after its roll call and ready.
    pub(crate) fn ready(&self) -> (Manager, RollCall) {
        let mut manager = self.manager();
        let roll_call = manager.roll_call();
        manager.send(ToKeeper::Ready);
        (manager, roll_call)
    }

    pub(crate) fn signal_keeper(&self, signal: Signal) {
        kill(Pid::from_raw(self.keeper), signal).expect("kill the keeper");
    }

    /// Waits for the end of the keeper: its exit status.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let child = self.child.as_mut().expect("a child of this program");
            if let Some(status) = child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the keeper does not end: {}", self.printed());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the keeper printed:\n{}---", self.printed());
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
        // This program is the next subreaper: what the keeper leaves comes here.
        let own = std::process::id().cast_signed();
        until("all processes have ended", || {
            for pid in children(own) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                if status == WaitStatus::StillAlive {
                    return false;
                }
            }
            children(own).is_empty()
        });
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn fresh_directory() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("stayup-keeper-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("directory");
    directory
}

fn seqpacket() -> OwnedFd {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("socket")
}

pub(crate) fn await_readable(descriptor: BorrowedFd<'_>, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(descriptor, PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::try_from(left).expect("timeout")) {
            Ok(0) => panic!("never came: {what}"),
            Ok(_) => return,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}

/// What the keeper said first.
#[derive(Debug)]
pub(crate) struct RollCall {
    pub(crate) occasion: Occasion,
    pub(crate) entries: Vec<Entry>,
    pub(crate) held: BTreeMap<String, OwnedFd>,
    pub(crate) highest_number: u64,
}

impl RollCall {
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        self.entries.iter().map(|entry| entry.ticket).collect()
    }
}

/// The test as a manager.
pub(crate) struct Manager {
    pub(crate) pid: i32,
    control: OwnedFd,
    pub(crate) link: Link,
    backlog: Vec<ToManager>,
    requests: u64,
}

impl Manager {
    pub(crate) fn send(&self, message: ToKeeper) {
        self.send_with(message, &[]);
    }

    pub(crate) fn send_with(&self, message: ToKeeper, descriptors: &[BorrowedFd<'_>]) {
        self.when_writable(|| self.link.send(&message, descriptors));
    }

    pub(crate) fn spawn(&self, request: SpawnRequest) {
        self.spawn_with(request, &[]);
    }

    pub(crate) fn spawn_with(&self, request: SpawnRequest, descriptors: &[BorrowedFd<'_>]) {
        self.when_writable(|| self.link.send_spawn(request.clone(), descriptors));
    }

    fn when_writable(&self, mut act: impl FnMut() -> Result<(), LinkError>) {
        until("the link takes a message", || match act() {
            Ok(()) => true,
            Err(LinkError::WouldBlock) => false,
            Err(error) => panic!("{error}"),
        });
    }

    /// The next message there is; pings are answered.
    fn next(&mut self, what: &str) -> (ToManager, Vec<OwnedFd>) {
        loop {
            match self.link.receive() {
                Ok((ToManager::Ping { number }, _)) => self.send(ToKeeper::Pong { number }),
                Ok(message) => return message,
                Err(LinkError::WouldBlock) => await_readable(self.link.as_fd(), what),
                Err(error) => panic!("waiting for {what}: {error}; there was {:?}", self.backlog),
            }
        }
    }

    /// The first message that this makes something of; the others stay for later.
    pub(crate) fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&ToManager) -> Option<T>) -> T {
        if let Some((index, found)) = self.backlog.iter().enumerate().find_map(|(index, one)| Some((index, pick(one)?)))
        {
            self.backlog.remove(index);
            return found;
        }
        loop {
            let (message, _) = self.next(what);
            match pick(&message) {
                Some(found) => return found,
                None => self.backlog.push(message),
            }
        }
    }

    /// Waits to be told of a signal to the keeper; who sent it.
    pub(crate) fn told_of(&mut self, wanted: Signal) -> i32 {
        self.wait("a signal", |message| sender_of(message, wanted))
    }

    /// Whether it was told of such a signal as well, and nobody has waited for it.
    pub(crate) fn was_told_of(&self, wanted: Signal) -> bool {
        self.backlog.iter().any(|message| sender_of(message, wanted).is_some())
    }

    /// Messages that came and were not waited for.
    pub(crate) fn backlog(&self) -> &[ToManager] {
        &self.backlog
    }

    pub(crate) fn roll_call(&mut self) -> RollCall {
        let (ToManager::RollCallBegin(occasion), _) = self.next("the roll call") else { panic!("not a roll call") };
        let mut roll_call = RollCall { occasion, entries: Vec::new(), held: BTreeMap::new(), highest_number: 0 };
        loop {
            match self.next("the rest of the roll call") {
                (ToManager::RollCallEntry(entry), _) => roll_call.entries.push(entry),
                (ToManager::RollCallHeld { names }, descriptors) => {
                    assert_eq!(names.len(), descriptors.len());
                    roll_call.held.extend(names.into_iter().zip(descriptors));
                }
                (ToManager::RollCallNumbers { highest }, _) => roll_call.highest_number = highest,
                (ToManager::RollCallEnd, _) => return roll_call,
                (other, _) => panic!("in the roll call: {other:?}"),
            }
        }
    }

    pub(crate) fn spawned(&mut self, wanted: Ticket) -> i32 {
        self.spawned_at(wanted).0
    }

    /// Its pid and when it started.
    pub(crate) fn spawned_at(&mut self, wanted: Ticket) -> (i32, u64) {
        let pick = |message: &ToManager| match message {
            ToManager::Spawned { ticket, pid, start_time_ticks } if *ticket == wanted => {
                Some(Ok((*pid, *start_time_ticks)))
            }
            ToManager::SpawnFailed { ticket, stage, errno } if *ticket == wanted => Some(Err((*stage, *errno))),
            _ => None,
        };
        self.wait(&format!("start of {wanted}"), pick).expect("starts")
    }

    pub(crate) fn failed(&mut self, wanted: Ticket) -> (Stage, i32) {
        self.wait(&format!("failure of {wanted}"), |message| match message {
            ToManager::SpawnFailed { ticket, stage, errno } if *ticket == wanted => Some((*stage, *errno)),
            ToManager::Spawned { ticket, .. } if *ticket == wanted => panic!("{wanted} starts"),
            _ => None,
        })
    }

    pub(crate) fn exited(&mut self, wanted: Ticket) -> keeper::protocol::ExitStatus {
        self.wait(&format!("end of {wanted}"), |message| match message {
            ToManager::Exited { ticket, status, .. } if *ticket == wanted => Some(*status),
            _ => None,
        })
    }

    /// The next fork of a ticket: its process, and how many forks are left.
    pub(crate) fn forked(&mut self, wanted: Ticket) -> (i32, u8) {
        self.wait(&format!("fork of {wanted}"), |message| match message {
            ToManager::Forked { ticket, pid, forks_left, .. } if *ticket == wanted => Some((*pid, *forks_left)),
            ToManager::Exited { ticket, status, .. } if *ticket == wanted => panic!("{wanted} ended: {status:?}"),
            _ => None,
        })
    }

    /// Signals a ticket; the errno of the answer.
    pub(crate) fn signal(&mut self, wanted: Ticket, signal: i32, whole_group: bool) -> i32 {
        self.requests += 1;
        let request = self.requests;
        self.send(ToKeeper::Signal { ticket: wanted, request, signal, whole_group });
        self.signalled(request)
    }

    pub(crate) fn signalled(&mut self, wanted: u64) -> i32 {
        self.wait("the answer to a signal", |message| match message {
            ToManager::Signalled { request, errno, .. } if *request == wanted => Some(*errno),
            _ => None,
        })
    }

    /// Dies like this: SIGKILL, and the link with it.
    pub(crate) fn die(self) {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).expect("kill the manager");
    }

    /// Exits with this status.
    pub(crate) fn exit(self, status: u8) {
        send(self.control.as_raw_fd(), &[status], MsgFlags::MSG_NOSIGNAL).expect("exit order");
    }
}

/// The program that the keeper starts: gives its link away, and ends when it is told to or the keeper has gone.
pub(crate) fn be_the_manager(place: &std::ffi::OsStr) -> ! {
    let link = Link::inherited().expect("descriptor 3");
    let control = seqpacket();
    connect(control.as_raw_fd(), &UnixAddr::new(Path::new(place)).expect("address")).expect("connect");
    let control = Link::from(control);
    control.send(&7_u32, &[link.as_fd()]).expect("hand over");
    loop {
        let flags = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
        let mut polled = [PollFd::new(link.as_fd(), flags), PollFd::new(control.as_fd(), PollFlags::POLLIN | flags)];
        let _ = poll(&mut polled, PollTimeout::NONE);
        // Not `revents`: nix does not know POLLRDHUP, and says nothing at all where it is set.
        let is_up = |descriptor: BorrowedFd<'_>, flags| recv(descriptor.as_raw_fd(), &mut [0], flags) != Ok(0);
        let mut status = [0];
        if recv(control.as_raw_fd(), &mut status, MsgFlags::MSG_DONTWAIT) == Ok(1) {
            std::process::exit(i32::from(status[0]));
        }
        if !is_up(control.as_fd(), MsgFlags::MSG_DONTWAIT) {
            // The test has let go of its manager; only the keeper ends it now.
            let _ = poll(&mut [PollFd::new(link.as_fd(), flags)], PollTimeout::NONE);
            std::process::exit(0);
        }
        if polled[0].any() != Some(false) {
            std::process::exit(0);
        }
    }
}

/// A request for this program and these arguments, and nothing else.
pub(crate) fn request(ticket: Ticket, argv: &[&str]) -> SpawnRequest {
    SpawnRequest {
        ticket,
        label: format!("label {ticket}"),
        argv: argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
        environment: environment(&["PATH=/usr/bin:/bin", &format!("TEST_TICKET={ticket}")]),
        umask: 0o022,
        ..SpawnRequest::default()
    }
}

/// An environment of these strings.
pub(crate) fn environment(entries: &[&str]) -> Environment {
    let mut environment = Environment::default();
    entries.iter().for_each(|entry| environment.push(entry.as_bytes()).expect("no NUL"));
    environment
}

/// Of a signal that the manager is told of: who sent it.
fn sender_of(message: &ToManager, wanted: Signal) -> Option<i32> {
    match message {
        ToManager::Signal { signal, sender_pid, .. } if *signal == wanted as i32 => Some(*sender_pid),
        _ => None,
    }
}
