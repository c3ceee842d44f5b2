//! Job output: from pseudo-terminals to log files, on a thread of its own, with nothing lost when we are killed.
//!
//! The keeper holds a copy of every pseudo-terminal's master, so a job never notices that its manager is gone. Bytes go
//! from the terminal to the file without ever being in our memory: splice(2) moves them into a pipe that the keeper holds
//! too, and from the pipe into the file. Each splice is one system call, and SIGKILL takes effect between system calls, so
//! at any instant every byte is in the terminal, the pipe or the file. Whose bytes are in the pipe is written, before they
//! are moved there, into a small memory file that the keeper holds as well (the *cursor*).
//!
//! While a log file cannot be written (its directory is missing, its disk full) output is kept in a memory file, held by
//! the keeper, and written later. What the thread cannot do: block anything else, because nothing waits for it.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

mod sink;
pub mod times;

use sink::Sink;

/// Where output goes.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory of the logs.
    pub logs: PathBuf,
    /// Whether it is made if it is missing.
    pub makes_logs: bool,
    /// The directory of the notes on them, see [`record::log_notes`].
    pub notes: PathBuf,
}

/// How much one splice moves at the most, in bytes: what a pipe holds by default.
const CHUNK_BYTES: usize = 64 * 1024;

/// How often a terminal is read for a process that has ended: more than it can hold (4 KiB, tty(4)).
const DRAINED_AT_ONCE: u32 = 64;

/// How often a log file that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Names under which the keeper holds what the thread needs.
const PIPE_READ: &str = "output-pipe-read";
const PIPE_WRITE: &str = "output-pipe-write";
const CURSOR: &str = "output-cursor";
const STREAM: &str = "log:";
const SPOOL: &str = "spool:";

/// The token of the eventfd in epoll; streams are numbered from 1.
const WAKE: u64 = 0;

/// The name a pseudo-terminal is held under: its ticket, and the file its output goes to.
#[must_use]
pub fn hold_name(ticket: u64, log_file: &str) -> String {
    cut(format!("{STREAM}{ticket}:{log_file}"))
}

/// The name a spool is held under.
fn spool_name(log_file: &str) -> String {
    cut(format!("{SPOOL}{log_file}"))
}

fn cut(mut name: String) -> String {
    let mut end = name.len().min(keeper::protocol::NAME_MAX_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// The file of a job's output: `<job>[-<instance>].log`, with `/` as `_`.
#[must_use]
pub fn file_name(class: &str, instance: &str) -> String {
    let separator = if instance.is_empty() { "" } else { "-" };
    let mut name = format!("{class}{separator}{instance}").replace('/', "_");
    let mut end = name.len().min(NAME_MAX_BYTES - ".log".len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name + ".log"
}

/// The longest name of a file, in bytes (`NAME_MAX`, limits.h).
const NAME_MAX_BYTES: usize = 255;

/// The ticket in the name of a held pseudo-terminal; 0 if there is none.
fn ticket_of_held(name: &str) -> u64 {
    let ticket = name.strip_prefix(STREAM).and_then(|rest| rest.split(':').next());
    ticket.and_then(|ticket| ticket.parse().ok()).unwrap_or(0)
}

/// The file of a ticket's output, if its process is still known.
pub type FileOf<'a> = &'a dyn Fn(u64) -> Option<String>;

/// The file that a held pseudo-terminal's output goes to. The name it is held under may be cut, so what is known of the
/// process comes first.
fn file_of_held(name: &str, file_of: FileOf<'_>) -> String {
    let Some((ticket, file)) = name.strip_prefix(STREAM).and_then(|rest| rest.split_once(':')) else {
        return "unknown.log".into();
    };
    ticket.parse().ok().and_then(file_of).unwrap_or_else(|| file.to_owned())
}

/// What the thread asks the main loop for.
#[derive(Debug)]
pub enum Request {
    /// Have the keeper hold this.
    Hold(String, OwnedFd),
    /// Have the keeper let this go.
    Release(String),
    /// What the process of this ticket has printed is in its log, if it can be.
    Logged(u64),
    /// Tell people.
    Warn(String),
}

#[derive(Debug)]
enum Command {
    Adopt { name: String, file: String, master: OwnedFd },
    Drain(u64),
    Retry,
    Finish,
}

/// The thread, from outside.
#[derive(Debug)]
pub struct Output {
    commands: Sender<Command>,
    wake: std::sync::Arc<EventFd>,
    requests: UnboundedReceiver<Request>,
    /// Tickets of the processes whose terminals the thread has.
    logged: HashSet<u64>,
    thread: Option<JoinHandle<()>>,
}

impl Output {
    /// Starts the thread. `held` is what outlived the manager before, of which the thread takes what is its own.
    ///
    /// # Errors
    /// When there are no more descriptors or threads.
    pub fn start(places: Places, held: &mut Vec<(String, OwnedFd)>, file_of: FileOf<'_>) -> io::Result<Self> {
        let (commands, commanded) = channel();
        let (ask, requests) = unbounded_channel();
        let wake = std::sync::Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let sink = Sink::new(places, ask.clone());
        let mut worker = Worker::new(sink, held, commanded, ask, wake.clone())?;
        let (ours, others): (Vec<_>, Vec<_>) =
            held.drain(..).partition(|(name, _)| name.starts_with(STREAM) || name.starts_with(SPOOL));
        held.extend(others);
        let (spools, streams): (Vec<_>, Vec<_>) = ours.into_iter().partition(|(name, _)| name.starts_with(SPOOL));
        let logged = streams.iter().map(|(name, _)| ticket_of_held(name)).collect();
        let with_file = |(name, master): (String, OwnedFd)| (file_of_held(&name, file_of), name, master);
        let streams: Vec<_> = streams.into_iter().map(with_file).collect();
        // The disk may be slow or gone, so this begins on the thread, too.
        let run = move || {
            worker.resume(spools, streams);
            worker.run();
        };
        let thread = thread::Builder::new().name("output".into()).stack_size(256 * 1024).spawn(run)?;
        Ok(Self { commands, wake, requests, logged, thread: Some(thread) })
    }

    /// Logs what comes out of a pseudo-terminal from now on.
    pub fn adopt(&mut self, name: String, file: String, master: OwnedFd) {
        self.logged.insert(ticket_of_held(&name));
        self.command(Command::Adopt { name, file, master });
    }

    /// Has everything logged that the process of a ticket has printed by now; [`Request::Logged`] tells when. False if its
    /// output is not logged, or is already.
    pub fn drain(&mut self, ticket: u64) -> bool {
        let is_logged = self.logged.contains(&ticket);
        if is_logged {
            self.command(Command::Drain(ticket));
        }
        is_logged
    }

    /// Tries again to write what could not be written.
    pub fn retry(&self) {
        self.command(Command::Retry);
    }

    fn command(&self, command: Command) {
        // The thread ends only when it is told to; a wake-up that is already pending serves as well.
        let _ = self.commands.send(command);
        let _ = self.wake.write(1);
    }

    /// The next request. Cancel-safe.
    pub async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => {
                if let Request::Release(name) = &request {
                    self.logged.remove(&ticket_of_held(name));
                }
                request
            }
            None => std::future::pending().await,
        }
    }

    /// Writes out what is there and ends the thread; gives up after `patience`.
    pub fn finish(&mut self, patience: Duration) {
        self.command(Command::Finish);
        let limit = Instant::now() + patience;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < limit {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

/// One pseudo-terminal.
struct Stream {
    name: String,
    master: File,
    file: String,
}

struct Worker {
    epoll: Epoll,
    wake: std::sync::Arc<EventFd>,
    commands: Receiver<Command>,
    requests: UnboundedSender<Request>,
    streams: HashMap<u64, Stream>,
    next_stream: u64,
    pipe: (OwnedFd, OwnedFd),
    cursor: File,
    sink: Sink,
    retry_at: Option<Instant>,
    /// Streams that are not read because too much of their output is in memory already.
    paused: Vec<u64>,
}

impl Worker {
    fn new(
        sink: Sink,
        held: &mut Vec<(String, OwnedFd)>,
        commands: Receiver<Command>,
        requests: UnboundedSender<Request>,
        wake: std::sync::Arc<EventFd>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(wake.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let mut take = |name: &str| held.iter().position(|(held, _)| held == name).map(|at| held.swap_remove(at).1);
        let (pipe, cursor) = match (take(PIPE_READ), take(PIPE_WRITE), take(CURSOR)) {
            (Some(read), Some(write), Some(cursor)) => ((read, write), cursor),
            _ => make_transfer(&requests)?,
        };
        let (streams, retry_at, paused) = (HashMap::new(), None, Vec::new());
        let cursor = File::from(cursor);
        Ok(Self { epoll, wake, commands, requests, streams, next_stream: 1, pipe, cursor, sink, retry_at, paused })
    }

    /// Takes up what the manager before left: spools first, then what is in the pipe, then the terminals.
    fn resume(&mut self, spools: Vec<(String, OwnedFd)>, streams: Vec<(String, String, OwnedFd)>) {
        self.sink.sweep();
        for (name, descriptor) in spools {
            self.sink.resume_spool(name.strip_prefix(SPOOL).unwrap_or(&name), File::from(descriptor));
        }
        let mut owner = [0_u8; 2 * NAME_MAX_BYTES];
        let length = self.cursor.read_at(&mut owner, 0).unwrap_or(0);
        let owner = String::from_utf8_lossy(&owner[..length]);
        let mut owner = owner.lines();
        if let Some(file) = owner.next().filter(|file| !file.is_empty()) {
            // The ticket is missing where an older manager has written it.
            self.empty_pipe(file, owner.next().and_then(|ticket| ticket.parse().ok()).unwrap_or(0));
        }
        for (file, name, descriptor) in streams {
            self.adopt(name, file, descriptor);
        }
    }

    fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let timeout = match self.retry_at {
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now()).as_millis();
                    EpollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX).max(1))
                }
                None => EpollTimeout::NONE,
            };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    self.warn(format!("job output is not logged any longer: {}", errno.desc()));
                    return;
                }
            };
            for event in &events[..count] {
                if event.data() == WAKE {
                    let _ = self.wake.read();
                } else {
                    self.move_output(event.data());
                }
            }
            if self.obey() {
                self.finish();
                return;
            }
            if self.retry_at.is_some_and(|at| at <= Instant::now()) {
                self.write_spools();
            }
        }
    }

    /// Does what was commanded; whether that is to end.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Adopt { name, file, master } => self.adopt(name, file, master),
                Command::Drain(ticket) => self.drain(ticket),
                Command::Retry => self.write_spools(),
                Command::Finish => return true,
            }
        }
        false
    }

    /// Logs what the terminal of a ticket has now. Others may go on printing on it, so there is an end to that.
    fn drain(&mut self, ticket: u64) {
        let is_of = |stream: &Stream| ticket_of_held(&stream.name) == ticket;
        let found = self.streams.iter().find(|(_, stream)| is_of(stream)).map(|(number, _)| *number);
        if let Some(number) = found {
            let mut left = DRAINED_AT_ONCE;
            while left > 0 && self.move_output(number) {
                left -= 1;
            }
        }
        let _ = self.requests.send(Request::Logged(ticket));
    }

    fn finish(&mut self) {
        let numbers: Vec<u64> = self.streams.keys().copied().collect();
        numbers.into_iter().for_each(|number| while self.move_output(number) {});
        self.write_spools();
    }

    fn adopt(&mut self, name: String, file: String, master: OwnedFd) {
        let stream = Stream { file, master: master.into(), name };
        let number = self.next_stream;
        self.next_stream += 1;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
        if let Err(errno) = self.epoll.add(stream.master.as_fd(), event) {
            self.warn(format!("the output that belongs to {} is not logged: {}", stream.file, errno.desc()));
            return;
        }
        self.streams.insert(number, stream);
    }

    /// Moves what a terminal has; whether there may be more.
    fn move_output(&mut self, number: u64) -> bool {
        let Some(stream) = self.streams.get(&number) else { return false };
        let (file, ticket) = (stream.file.clone(), ticket_of_held(&stream.name));
        if self.sink.is_full(&file) {
            let _ = self.epoll.delete(stream.master.as_fd());
            self.paused.push(number);
            return false;
        }
        if self
            .cursor
            .set_len(0)
            .and_then(|()| self.cursor.write_all_at(format!("{file}\n{ticket}\n").as_bytes(), 0))
            .is_err()
        {
            return false;
        }
        match splice_some(stream.master.as_fd(), self.pipe.1.as_fd()) {
            Ok(0) | Err(Errno::EIO) => {
                // All copies of the other end are closed: the job and its children are done with it.
                self.end_stream(number);
                false
            }
            Ok(_) => {
                self.empty_pipe(&file, ticket);
                true
            }
            Err(Errno::EAGAIN | Errno::EINTR) => false,
            Err(errno) => {
                self.warn(format!("cannot read output for {file}: {}", errno.desc()));
                self.end_stream(number);
                false
            }
        }
    }

    fn end_stream(&mut self, number: u64) {
        if let Some(stream) = self.streams.remove(&number) {
            let _ = self.epoll.delete(stream.master.as_fd());
            let ticket = ticket_of_held(&stream.name);
            let _ = self.requests.send(Request::Release(stream.name));
            let _ = self.requests.send(Request::Logged(ticket));
            // A file system cannot be unmounted while a file in it is open for writing.
            if self.streams.values().all(|other| other.file != stream.file) {
                self.sink.close(|file| file == stream.file);
            }
        }
    }

    /// Writes what is in the pipe to where it belongs.
    fn empty_pipe(&mut self, file: &str, ticket: u64) {
        let problem = loop {
            match self.sink.take(file, ticket, self.pipe.0.as_fd()) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = problem {
            // The pipe must be empty before the next stream's turn.
            let mut lost = [0_u8; 4096];
            let mut count = 0;
            while let Ok(length @ 1..) = nix::unistd::read(self.pipe.0.as_fd(), &mut lost) {
                count += length;
            }
            self.warn(format!(
                "{count} bytes of output for {file} are lost, neither file nor memory takes them: {error}"
            ));
        }
        if self.sink.has_spools() && self.retry_at.is_none() {
            self.retry_at = Some(Instant::now() + RETRY);
        }
    }

    fn write_spools(&mut self) {
        self.sink.write_spools();
        // Also those of jobs that have ended meanwhile.
        let Self { sink, streams, .. } = self;
        sink.close(|file| streams.values().all(|stream| stream.file != file));
        for number in std::mem::take(&mut self.paused) {
            if let Some(stream) = self.streams.get(&number) {
                let _ = self.epoll.add(stream.master.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, number));
            }
        }
        self.retry_at = self.sink.has_spools().then(|| Instant::now() + RETRY);
    }

    fn warn(&self, text: String) {
        let _ = self.requests.send(Request::Warn(text));
    }
}

/// Moves up to [`CHUNK_BYTES`] between two descriptors of which one is a pipe, without waiting.
fn splice_some(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> nix::Result<usize> {
    splice(from, None, to, None, CHUNK_BYTES, SpliceFFlags::SPLICE_F_NONBLOCK)
}

/// The pipe and the cursor, made anew and given to the keeper as well.
fn make_transfer(requests: &UnboundedSender<Request>) -> io::Result<((OwnedFd, OwnedFd), OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let cursor = memfd_create(c"output-cursor", MFdFlags::MFD_CLOEXEC)?;
    for (name, descriptor) in [(PIPE_READ, &read), (PIPE_WRITE, &write), (CURSOR, &cursor)] {
        // The receiver is the main loop, which outlives the thread.
        let _ = requests.send(Request::Hold(name.into(), descriptor.try_clone()?));
    }
    Ok(((read, write), cursor))
}
