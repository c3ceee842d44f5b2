//! The keeper itself: what it has, and the one loop in which everything happens.

use crate::child::{self, Lent};
use crate::crash;
use crate::emergency::Emergency;
use crate::ends::Ends;
use crate::home::{self, Home};
use crate::options::{Options, Role};
use crate::processes;
use crate::raw::Stack;
use crate::report::say;
use crate::signals::Signals;
use crate::spawn::{Attempt, Starting};
use crate::vault::{self, Vault};
use crate::watch::{Afterwards, Watch};
use keeper::container::is_container;
use keeper::link::{Link, LinkError};
use keeper::protocol::{Finish, Reason, ToKeeper, ToManager};
use keeper::table::{State, Table};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Messages taken from the manager before the loop looks at everything else again.
const MESSAGES_AT_ONCE: usize = 64;

/// Marks in epoll; all others are slots of the table, whose status pipe they are.
const SIGNALS: u64 = u64::MAX;
const LINK: u64 = u64::MAX - 1;
pub(crate) const MANAGER_PIPE: u64 = u64::MAX - 2;
pub(crate) const OLD_MANAGER: u64 = u64::MAX - 3;
pub(crate) const VAULT: u64 = u64::MAX - 4;
const ENDS: u64 = u64::MAX - 5;

/// Added to the slot of an adopted process, whose pidfd it is.
pub(crate) const ADOPTED: u64 = 1 << 32;

/// How long the processes of a given-up session have to end after SIGTERM.
const GIVE_UP: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Keeper {
    pub(crate) options: Options,
    pub(crate) own_path: PathBuf,
    pub(crate) is_system: bool,
    pub(crate) table: Table,
    pub(crate) epoll: Epoll,
    pub(crate) signals: Signals,
    /// Processes on their way to their program, by slot.
    pub(crate) starting: BTreeMap<usize, Starting>,
    /// When to look at those that epoll does not tell of yet.
    pub(crate) look_at: Option<Instant>,
    /// Whether what /proc says of a start is what the clock said then; found out with each start of a manager.
    pub(crate) is_clock_of_proc: bool,
    /// Memory that starting processes share, by pid.
    pub(crate) lent: BTreeMap<i32, Lent>,
    /// Stacks for the next ones.
    pub(crate) stacks: Vec<Stack>,
    /// Signals that this process was started with as ignored; see [`child::ignored_signals`].
    pub(crate) ignored_signals: u64,
    pub(crate) held: BTreeMap<String, OwnedFd>,
    /// Pidfds of processes that are no children of this one, by slot.
    pub(crate) adopted: BTreeMap<usize, OwnedFd>,
    /// Where there are such: processes that may be their parents now.
    pub(crate) reapers: Vec<i32>,
    /// How children ended that no ticket names.
    pub(crate) ends: Ends,
    /// See [`Keeper::status_pipe`].
    pub(crate) spare_pipe: Option<(OwnedFd, OwnedFd)>,
    /// Status pipes that have said all; closed when there is time for it.
    pub(crate) spent: Vec<OwnedFd>,
    /// /dev/null, which most processes begin with three times, so that it need not be looked for each time.
    pub(crate) null: Option<OwnedFd>,
    /// Processes that could not be made yet.
    pub(crate) attempts: Vec<Attempt>,
    /// The manager of a keeper that was killed, on its way out.
    pub(crate) old_manager: Option<OwnedFd>,
    pub(crate) vault: Vault,
    pub(crate) emergency: Emergency,
    pub(crate) watch: Watch,
    /// Messages for the manager that runs; all of them can be told anew from the table.
    pub(crate) outgoing: VecDeque<ToManager>,
    /// Some child may have changed its state.
    pub(crate) children_changed: bool,
    /// The session is given up: kill what is left at this time.
    given_up: Option<Instant>,
    pub(crate) exit_status: Option<u8>,
}

/// Runs until the session is over; as PID 1 for ever.
pub(crate) fn run(options: Options, role: Role, own_path: PathBuf) -> i32 {
    let is_system = role == Role::System;
    loop {
        let found = options.state.and_then(inherit_table);
        match Keeper::new(&options, is_system, own_path.clone(), found) {
            Ok(mut keeper) => return keeper.run(),
            Err(errno) => say!("cannot start: {}", errno.desc()),
        }
        if !is_system {
            return 1;
        }
        // Out of memory or descriptors, so early: nothing but hope is left to PID 1.
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The table that an earlier image has left, if it is one.
fn inherit_table(number: i32) -> Option<Table> {
    let found = processes::take_over_open(number);
    let Some(file) = found else {
        say!("no state on descriptor {number}; starting anew");
        return None;
    };
    match Table::adopt(file) {
        Ok((table, damages)) => {
            damages.iter().for_each(|damage| say!("{damage}"));
            Some(table)
        }
        Err(error) => {
            say!("{error}; starting anew");
            None
        }
    }
}

impl Keeper {
    fn new(options: &Options, is_system: bool, own_path: PathBuf, found: Option<Table>) -> Result<Self, Errno> {
        let has_past = found.is_some();
        let home = if has_past || is_system { None } else { home::find_or_make() };
        let (table, number, is_orphaned) = match (found, home) {
            (Some(table), _) => (table, None, false),
            (None, Some(Home::New(table, number))) => (table, Some(number), false),
            (None, Some(Home::Orphaned(mut table, number))) => {
                table.disown();
                (table, Some(number), true)
            }
            (None, None) => (Table::create()?, None, false),
        };
        if let Some(number) = number {
            table.head().session.store(number, Ordering::Relaxed);
        }
        let options = options.clone();
        crash::prepare(&own_path, &options.for_keeper(), table.view());
        processes::become_reaper(!is_system);
        if is_system {
            claim_machine();
        }
        raise_open_files(&table);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let signals = Signals::open()?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        let ends = Ends::open();
        if let Some(socket) = ends.socket() {
            epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, ENDS))?;
        }
        let mut keeper = Self {
            watch: Watch::new(options.heartbeat()),
            options,
            own_path,
            is_system,
            table,
            epoll,
            signals,
            starting: BTreeMap::new(),
            look_at: None,
            is_clock_of_proc: false,
            lent: BTreeMap::new(),
            stacks: Vec::new(),
            ignored_signals: child::ignored_signals(),
            held: BTreeMap::new(),
            adopted: BTreeMap::new(),
            reapers: Vec::new(),
            ends,
            spare_pipe: None,
            spent: Vec::new(),
            null: None,
            attempts: Vec::new(),
            old_manager: None,
            vault: Vault::default(),
            emergency: Emergency::default(),
            outgoing: VecDeque::new(),
            children_changed: true,
            given_up: None,
            exit_status: None,
        };
        if has_past {
            keeper.resume();
        } else if let Some(number) = number.filter(|_| is_orphaned) {
            keeper.fetch_from_vault(number);
            keeper.take_over(number);
        }
        keeper.open_vault();
        Ok(keeper)
    }

    /// Takes over what the image before has left: signals, descriptors, starting processes, the manager.
    fn resume(&mut self) {
        self.take_arrived();
        let held: Vec<(String, i32)> = self.table.held().map(|(name, number)| (name.to_owned(), number)).collect();
        for (name, number) in held {
            match processes::take_over(number) {
                Some(descriptor) => drop(self.held.insert(name, descriptor)),
                None => {
                    say!("held descriptor {name} is lost");
                    self.table.release(&name);
                }
            }
        }
        let slots: Vec<usize> = self.table.tickets().map(|(index, _)| index).collect();
        slots.into_iter().for_each(|index| self.resume_ticket(index));
        let head = self.table.head();
        let signal = head.crash_signal.swap(0, Ordering::Relaxed);
        let manager = head.manager_pid.load(Ordering::Relaxed);
        if signal != 0 {
            let name = Signal::try_from(signal).map_or("signal", Signal::as_str);
            say!("crashed with {name}; went on with {} processes", self.table.processes().count());
            head.set_reason(Reason::KeeperCrashed(signal));
        }
        if manager > 0 {
            // It may have been told things by the image before that nobody knows any more. One manager at a time: the
            // next one starts when this one is reaped.
            let _ = processes::kill(manager, libc::SIGKILL);
            self.watch.take_over(head.reason());
        }
    }

    fn resume_ticket(&mut self, index: usize) {
        let slot = &self.table.slots()[index];
        let (ticket, pid, pipe) = (slot.ticket(), slot.pid(), slot.descriptor());
        match slot.state() {
            Some(State::Starting) => {
                let pipe = processes::take_over(pipe);
                if pid == 0 {
                    // The crash was before the clone. The manager will ask again.
                    return self.table.remove_ticket(ticket);
                }
                self.table.set_cloned(index, pid);
                match pipe {
                    Some(pipe) => self.watch_pipe(index, pipe, None),
                    None => self.settle_started(index),
                }
            }
            Some(State::Running) if slot.is_adopted() => self.resume_adopted(index),
            Some(State::Running) => slot.set_start_time_ticks(crate::proc::start_time_ticks(pid)),
            _ => {}
        }
    }

    fn run(&mut self) -> i32 {
        loop {
            self.turn();
            if let Some(status) = self.exit_status {
                self.leave();
                return i32::from(status);
            }
        }
    }

    /// The number that the session goes by.
    pub(crate) fn number(&self) -> i32 {
        match self.table.head().session.load(Ordering::Relaxed) {
            0 => std::process::id().cast_signed(),
            number => number,
        }
    }

    /// The end of a session.
    fn leave(&self) {
        let number = self.table.head().session.load(Ordering::Relaxed);
        if number != 0 {
            vault::leave(number);
            home::leave(number);
        }
    }

    /// One turn of the loop: what is due, then wait, then what came.
    fn turn(&mut self) {
        if std::mem::take(&mut self.children_changed) {
            self.reap();
        }
        let now = Instant::now();
        self.watch_manager(now);
        self.attempt_again(now);
        self.finish_giving_up(now);
        self.send_outgoing();
        self.serve_vault(now);
        if self.exit_status.is_some() || self.children_changed {
            return;
        }
        self.keep_ready();
        if self.look_at.is_some_and(|at| !self.has_arrived_until(at)) {
            return self.look_at_starting();
        }
        let mut events = [EpollEvent::empty(); 64];
        let count = self.epoll.wait(&mut events, self.timeout()).unwrap_or(0);
        for event in &events[..count] {
            match event.data() {
                SIGNALS => self.read_signals(),
                LINK => drop(self.read_link()),
                MANAGER_PIPE => self.manager_executed(),
                OLD_MANAGER => self.old_manager_ended(),
                VAULT => self.vault_ended(),
                ENDS => self.ends.answer(),
                token if token >> 32 == ADOPTED >> 32 => self.adopted_ended((token & (ADOPTED - 1)) as usize),
                slot => self.status_arrived(usize::try_from(slot).unwrap_or(usize::MAX)),
            }
        }
    }

    /// Waits for something to arrive, in parts of the milliseconds that epoll_wait(2) knows.
    fn has_arrived_until(&self, limit: Instant) -> bool {
        let left = limit.saturating_duration_since(Instant::now());
        let mut all = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        !left.is_zero() && ppoll(&mut all, Some(left.into()), None) == Ok(1)
    }

    /// How long the loop may sleep.
    fn timeout(&self) -> EpollTimeout {
        let again = self.attempts.iter().filter_map(|attempt| attempt.at).min();
        let next = [self.watch.deadline(), self.given_up, self.vault.deadline(), again].into_iter().flatten().min();
        let Some(next) = next else { return EpollTimeout::NONE };
        // Rounded up, or it would spin through the last millisecond.
        let wait = next.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
    }

    /// A session whose manager cannot be started, and somebody insists that it ends.
    pub(crate) fn give_up(&mut self) {
        if self.given_up.is_none() {
            say!("no manager can be started: ending the session's processes");
            self.signal_all(libc::SIGTERM);
            self.given_up = Some(Instant::now() + GIVE_UP);
        }
    }

    fn finish_giving_up(&mut self, now: Instant) {
        let Some(deadline) = self.given_up else { return };
        if now >= deadline {
            self.signal_all(libc::SIGKILL);
        }
        if now >= deadline || self.table.processes().next().is_none() {
            self.exit_status = Some(1);
        }
    }

    fn signal_all(&self, signal: i32) {
        for (index, _) in self.table.processes() {
            let _ = self.send_signal(index, signal, true);
        }
    }

    /// Takes messages from the manager; whether there may be more at once.
    pub(crate) fn read_link(&mut self) -> bool {
        for _ in 0..MESSAGES_AT_ONCE {
            let Some(link) = &self.watch.link else { return false };
            match link.receive() {
                Ok((message, descriptors)) => self.obey(message, descriptors),
                Err(LinkError::WouldBlock) => return false,
                Err(LinkError::Closed) => {
                    self.link_closed();
                    return false;
                }
                Err(error @ (LinkError::Malformed(_) | LinkError::DescriptorsLost)) => say!("manager: {error}"),
                Err(error) => {
                    say!("manager: {error}");
                    self.link_closed();
                    return false;
                }
            }
        }
        true
    }

    fn obey(&mut self, message: ToKeeper, mut descriptors: Vec<OwnedFd>) {
        match message {
            ToKeeper::Ready => self.manager_ready(),
            ToKeeper::Spawn(request) => self.spawn(*request, descriptors),
            ToKeeper::SpawnLarge => match keeper::link::take_large(&mut descriptors) {
                Ok(request) => self.spawn(request, descriptors),
                Err(error) => say!("manager: a large request: {error}"),
            },
            ToKeeper::Signal { ticket, request, signal, whole_group } => {
                self.signal(ticket, request, signal, whole_group);
            }
            ToKeeper::Acknowledge { ticket } => self.acknowledge(ticket),
            ToKeeper::Hold { name } => match descriptors.pop() {
                Some(descriptor) => self.hold(name, descriptor),
                None => say!("manager: nothing to hold as {name}"),
            },
            ToKeeper::Release { name } => {
                self.table.release(&name);
                self.held.remove(&name);
                self.vault.release(&name);
            }
            ToKeeper::Pong { number } => {
                self.watch.answered(number);
                self.signals_answered(number);
            }
            ToKeeper::SignalTaken { signal } => self.signal_taken(signal),
            ToKeeper::Reexecute => self.end_manager(Afterwards::Reexecute),
            ToKeeper::Finish(Finish::Exit(status)) if self.is_system && !is_container() => {
                say!("process 1 cannot exit (with {status}): ask for a reboot");
            }
            ToKeeper::Finish(Finish::Reboot(_)) if !self.is_system => say!("only process 1 reboots"),
            ToKeeper::Finish(finish) => self.end_manager(Afterwards::Finish(finish)),
            ToKeeper::Settle { ticket } => {
                if let Some((_, slot)) = self.table.by_ticket(ticket) {
                    slot.settle();
                    // Zombies may have been kept for it.
                    self.children_changed = true;
                }
            }
        }
    }

    /// Keeps a descriptor; one that cannot be entered in the table would be lost by the next exec, so it is refused.
    pub(crate) fn hold(&mut self, name: String, descriptor: OwnedFd) {
        match self.table.hold(&name, descriptor.as_raw_fd()) {
            Ok(_) => {
                self.vault.hold(&name);
                self.held.insert(name, descriptor);
            }
            Err(errno) => say!("cannot hold {name}: {}", errno.desc()),
        }
    }

    /// Sends what can be sent without waiting.
    pub(crate) fn send_outgoing(&mut self) {
        let Some(link) = &self.watch.link else {
            return self.outgoing.clear();
        };
        let was_full = self.watch.is_full;
        self.watch.is_full = false;
        while let Some(message) = self.outgoing.front_mut() {
            let mut descriptors = Vec::new();
            if let ToManager::RollCallHeld { names } = message {
                names.retain(|name| self.held.contains_key(name));
                descriptors.extend(names.iter().filter_map(|name| self.held.get(name)).map(OwnedFd::as_fd));
            }
            match link.send(message, &descriptors) {
                Ok(()) => drop(self.outgoing.pop_front()),
                Err(LinkError::WouldBlock) => {
                    self.watch.is_full = true;
                    break;
                }
                // Its end will be noticed where it is read.
                Err(LinkError::Closed) => {
                    self.outgoing.clear();
                    break;
                }
                Err(error) => {
                    say!("manager: {error}");
                    self.outgoing.pop_front();
                }
            }
        }
        if was_full != self.watch.is_full {
            let wanted =
                if self.watch.is_full { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
            let _ = self.epoll.modify(link, &mut EpollEvent::new(wanted, LINK));
        }
    }

    /// The link to a new manager.
    pub(crate) fn connect(&mut self, link: Link) -> Result<(), Errno> {
        self.epoll.add(&link, EpollEvent::new(EpollFlags::EPOLLIN, LINK))?;
        self.watch.link = Some(link);
        self.watch.is_full = false;
        Ok(())
    }

    /// The limit of open files (soft, hard) that processes are to have.
    pub(crate) fn open_files(&self) -> (u64, u64) {
        let [soft, hard] = &self.table.head().open_files;
        (soft.load(Ordering::Relaxed), hard.load(Ordering::Relaxed))
    }
}

/// As PID 1: Ctrl-Alt-Del and the keyboard request become signals. In a container neither is ours, and that is fine.
fn claim_machine() {
    let _ = nix::unistd::setsid();
    let _ = nix::sys::reboot::set_cad_enabled(false);
    let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_NOCTTY | nix::fcntl::OFlag::O_CLOEXEC;
    if let Ok(console) = nix::fcntl::open("/dev/tty0", flags, nix::sys::stat::Mode::empty()) {
        processes::accept_keyboard_request(console.as_fd());
    }
}

/// Held descriptors and starting processes need room; children get back what the keeper was started with.
fn raise_open_files(table: &Table) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let [kept_soft, kept_hard] = &table.head().open_files;
    if kept_hard.load(Ordering::Relaxed) == 0 {
        kept_soft.store(soft, Ordering::Relaxed);
        kept_hard.store(hard, Ordering::Relaxed);
    }
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
}
