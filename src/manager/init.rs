//! The manager's loop: one thing that happened at a time, and the world its turns take place in.
//!
//! Everything the manager does happens in this loop, on one thread; what could block has threads of its own ([`conf`],
//! [`output`], [`users`]) and comes in as messages. The order within a turn is that of [`crate::turn`].

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

use journal::FileStorage;
use keeper::protocol::{Entry, Finish, Identity, MANAGER_IMAGE, Reason, ToKeeper, ToManager};
use machine::class::Class;
use machine::effect::{Announcement, Caller, Priority};
use machine::input::Input;
use machine::state::State;
use record::{Stamp, Who};

use crate::cgroup::Cgroups;
use crate::conf::{Conf, Finding, Look};
use crate::dbus::{self, Control, Dbus, DbusConfig, Incoming};
use crate::image::Image;
use crate::link::{Greeting, KeeperLink};
use crate::notify::{self, Notify, Sender};
use crate::options::Options;
use crate::output::{self, Output};
use crate::resume;
use crate::scope::Scope;
use crate::times::Times;
use crate::turn::{Arrival, Memory, Turn, World};
use crate::users::Users;
use crate::{conf, crash, early, emergency, last_words, mounts, origin, report, session, spawner, times};

mod beginning;
mod endings;
mod hearing;

/// The name under which the keeper holds the private socket.
const LISTENER: &str = "listener";

/// Names of descriptors that events have brought along begin with this.
const EVENT_FILE: &str = "event-file-";

/// How long a recovery that lacks a part of the journal waits for the job files.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// How long clients and log files are given at the end, and before a re-exec.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// So many messages of the keeper, at most, are heard after the first one before what they lead to is told.
const TOGETHER: usize = 32;

/// A manager under way.
struct Init {
    options: Options,
    scope: Scope,
    memory: Memory<FileStorage>,
    link: KeeperLink,
    dbus: Dbus,
    conf: Conf,
    output: Output,
    users: Users,
    image: Image,
    notify: Notify,
    cgroups: Cgroups,
    /// Descriptors that events have brought along, by the name they are held under.
    files: HashMap<String, OwnedFd>,
    /// Calls of `ReloadConfiguration` that are answered after the next look.
    reloads: Vec<Caller>,
    /// Why processes cannot be started that the keeper was told to refuse.
    refusals: HashMap<u64, String>,
    endings: endings::Endings,
    began: Instant,
    has_looked: bool,
    /// The other roots that jobs were known of in the beginning.
    roots: BTreeSet<String>,
    /// The keeper has a copy of a manager that worked.
    has_image: bool,
    /// What the keeper is told last.
    farewell: Option<ToKeeper>,
    times: Times,
}

/// Runs the manager of a keeper until it is to end or its keeper is gone.
///
/// # Errors
/// When it cannot begin, or must not go on. The keeper then starts another.
pub async fn run(options: Options) -> io::Result<()> {
    let (link, greeting) = KeeperLink::open()?;
    let mut init = Init::begin(options, link, greeting)?;
    loop {
        if let Some(farewell) = init.farewell.take() {
            return init.hand_over(farewell).await;
        }
        init.step().await?;
    }
}

/// Time since boot, in milliseconds; goes on during suspend.
fn now_ms() -> u64 {
    origin::since_boot_us() / 1000
}

impl Init {
    fn begin(options: Options, link: KeeperLink, greeting: Greeting) -> io::Result<Self> {
        let Greeting { occasion, entries, mut held, highest_number } = greeting;
        let mut scope = Scope::of(&options, occasion.session);
        if !scope.is_session {
            report::use_kernel_log();
            if occasion.reason == Reason::Boot && nix::unistd::getppid().as_raw() == 1 {
                mounts::mount_missing().iter().for_each(|problem| report::warn(problem));
            }
            scope.journal_dir = early::journal_dir(&scope.journal_home, occasion.reason == Reason::Boot);
            if scope.journal_dir != scope.journal_home {
                let (early, home) = (scope.journal_dir.display(), scope.journal_home.display());
                report::warn(&format!("{home} cannot be made yet; the journal is in {early} meanwhile"));
            }
        }
        let last_words = scope.state_dir().map(last_words::begin).transpose();
        let last_words = last_words.unwrap_or_default().unwrap_or_default();
        let (memory, mut recovery) = Memory::of(resume::resume(&scope.journal_dir, &occasion)?);
        recovery.keep(entries.iter().filter(|entry| entry.condition.is_alive()).count());
        let summary = recovery.summary();
        recovery.findings.iter().chain(&summary).for_each(|finding| report::warn(finding));
        let has_image = held.iter().any(|(name, _)| name == MANAGER_IMAGE);
        let state = &memory.state;
        let file_of = |ticket| state.process(ticket).map(|(_, found, _)| output::file_name(&found.class, &found.name));
        let output = Output::start(scope.output(), &mut held, &file_of)?;
        let roots = roots_of(state, &entries);
        let conf = Conf::start(scope.conf_dirs.clone(), roots.clone())?;
        let mut dbus = Dbus::new(dbus_config(&scope, &options), state.last_connection() + 1)?;
        dbus.view_mut().recovery = recovery.details();
        crash::keep(&scope, occasion.reason, &recovery, state.generation(), last_words);
        let notify = Notify::start(&scope, &mut held);
        notify.problems.iter().for_each(|problem| report::warn(problem));
        let cgroups = Cgroups::new(options.no_cgroups, scope.is_session.then_some(scope.number));
        let (listener, is_new) = listener(&scope, &mut held)?;
        let listener_copy = is_new.then(|| listener.try_clone()).transpose()?;
        dbus.listen(listener)?;
        let (files, connections): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(name, _)| name.starts_with(EVENT_FILE));
        dbus.resume(connections);
        if memory.state.classes().next().is_none() {
            dbus.await_jobs();
        }
        let mut init = Self {
            options,
            scope,
            memory,
            link,
            dbus,
            conf,
            output,
            users: Users::start()?,
            image: Image::none(),
            notify: notify.notify,
            cgroups,
            files: files.into_iter().collect(),
            reloads: Vec::new(),
            refusals: HashMap::new(),
            endings: endings::Endings::default(),
            began: Instant::now(),
            has_looked: false,
            roots,
            has_image,
            farewell: None,
            times: Times::default(),
        };
        if let Some(copy) = listener_copy {
            init.link.send(ToKeeper::Hold { name: LISTENER.into() }, vec![copy.into()])?;
        }
        for (name, descriptor) in notify.to_hold {
            init.link.send(ToKeeper::Hold { name }, vec![descriptor])?;
        }
        let arrival = Arrival {
            reason: occasion.reason,
            settings: init.scope.settings(&init.options),
            entries,
            highest_number,
            connections: init.dbus.connections(),
            files: init.files.keys().cloned().collect(),
            log_priority: init.options.priority,
        };
        init.take_over(arrival, &recovery)?;
        Ok(init)
    }

    /// Groups that the manager before has made are removed by this one.
    fn adopt_cgroups(&mut self) {
        let tickets =
            self.memory.state.instances().flat_map(|instance| &instance.processes).map(|process| process.ticket);
        for spawn in tickets.filter_map(|ticket| machine::spawn::describe(&self.memory.state, ticket)) {
            self.cgroups.adopt(&spawn);
        }
    }

    /// Waits for the next thing that happens, and deals with it.
    async fn step(&mut self) -> io::Result<()> {
        let deadline =
            self.memory.state.next_deadline_ms().map(|at| Duration::from_millis(at.saturating_sub(now_ms())));
        let (overdue, now) = (self.endings.deadline().map(tokio::time::Instant::from_std), tokio::time::Instant::now());
        tokio::select! {
            biased;
            message = self.link.next() => {
                let (message, _) = message?;
                if matches!(message, ToManager::Ping { .. }) {
                    self.tend_journal();
                    self.tend_clients();
                    self.times.tell(self.scope.state_dir());
                }
                self.together(|init| {
                    init.hear_keeper(message)?;
                    // The next ones are for the next time: clients are to hear of something meanwhile.
                    for _ in 0..TOGETHER {
                        let Some((message, _)) = init.link.try_next()? else { break };
                        init.hear_keeper(message)?;
                    }
                    Ok(())
                })?;
                self.notify.keeper_has_spoken();
                Ok(())
            }
            message = self.notify.next() => self.heed(&message),
            incoming = self.dbus.next(&self.memory.state) => self.receive(incoming),
            finding = self.conf.next() => self.find(finding),
            (ticket, identity) = self.users.next() => self.identify(ticket, identity),
            request = self.output.next() => self.oblige(request),
            image = self.image.next() => {
                self.link.send(ToKeeper::Hold { name: MANAGER_IMAGE.into() }, vec![image])
            }
            () = tokio::time::sleep(deadline.unwrap_or_default()), if deadline.is_some() => self.take(Input::Tick),
            () = tokio::time::sleep_until(overdue.unwrap_or(now)), if overdue.is_some() => self.hear_overdue(),
            // After a look whether anything else has come.
            () = tokio::task::yield_now(), if self.memory.has_to_note() => self.note(),
        }
    }

    /// Hands a process to the keeper.
    fn spawn_as(&mut self, spawn: &machine::spawn::Spawn, identity: Option<Identity>) -> io::Result<()> {
        let log_file = output::file_name(&spawn.class, &spawn.instance);
        let files = &self.files;
        let open = |name: &str| files.get(name).and_then(|file| file.try_clone().ok());
        let cgroup = self.cgroups.place(spawn);
        self.cgroups.complaints().iter().for_each(|complaint| report::warn(complaint));
        let extras = spawner::Extras { identity, cgroup, notify_address: self.notify.address_for(spawn) };
        match spawner::prepare(spawn, extras, &log_file, open) {
            Ok(prepared) => {
                let request = ToKeeper::Spawn(Box::new(prepared.request));
                self.link.send(request, prepared.descriptors)?;
                if let Some((name, master)) = prepared.output {
                    self.output.adopt(name, log_file, master);
                }
                Ok(())
            }
            Err(reason) => self.give_up(spawn, reason),
        }
    }

    /// Who a job runs as has been found out.
    fn identify(&mut self, ticket: u64, identity: Result<Identity, crate::users::LookupError>) -> io::Result<()> {
        let Some(spawn) = machine::spawn::describe(&self.memory.state, ticket) else { return Ok(()) };
        match identity {
            Ok(identity) => self.spawn_as(&spawn, Some(identity)),
            Err(error) => self.give_up(&spawn, error.to_string()),
        }
    }

    /// A job says something of itself; it is taken from its socket when what it led to is in the journal.
    fn heed(&mut self, message: &notify::Message) -> io::Result<()> {
        match notify::sender(&self.memory.state, message) {
            Sender::Unheard => {
                self.notify.wait_for_keeper();
                return Ok(());
            }
            Sender::Of(ticket) => {
                if let (Some(status), Some((_, instance, _))) = (message.status(), self.memory.state.process(ticket))
                    && self.memory.state.log_priority() <= Priority::Info
                {
                    report::write(Priority::Info, &format!("{} says: {status}", instance.title()));
                }
                if message.is_ready() {
                    self.take(Input::Ready(ticket))?;
                }
            }
            Sender::Stranger => {}
        }
        self.notify.consume(message);
        Ok(())
    }

    /// Something has come over D-Bus.
    fn receive(&mut self, incoming: Incoming) -> io::Result<()> {
        match incoming {
            Incoming::Opened { name, descriptor, .. } | Incoming::Hold { name, descriptor, .. } => {
                self.link.send(ToKeeper::Hold { name }, vec![descriptor])
            }
            Incoming::Release { name, .. } => self.link.send(ToKeeper::Release { name }, Vec::new()),
            Incoming::Closed { connection, name } => {
                self.link.send(ToKeeper::Release { name }, Vec::new())?;
                self.take(Input::Disconnected(connection))
            }
            Incoming::Call { caller, mut call, file } => {
                if let (Some(file), machine::input::Call::Emit { file: name, .. }) = (file, &mut call) {
                    let held = format!("{EVENT_FILE}{}-{}", caller.connection, caller.serial);
                    self.link.send(ToKeeper::Hold { name: held.clone() }, vec![file.try_clone()?])?;
                    self.files.insert(held.clone(), file);
                    *name = Some(held);
                }
                self.answer(&caller, call)
            }
            Incoming::Control { caller, control } => {
                self.control(&caller, control);
                Ok(())
            }
            Incoming::Root(root) => {
                self.conf.add_root(root);
                Ok(())
            }
            Incoming::Log(priority, text) => {
                if priority >= self.memory.state.log_priority() {
                    report::write(priority, &text);
                }
                Ok(())
            }
        }
    }

    fn control(&mut self, caller: &Caller, control: Control) {
        match control {
            Control::ReloadConfiguration => {
                self.reloads.push(caller.clone());
                self.conf.rescan();
                return;
            }
            Control::NotifyDiskWriteable => self.output.retry(),
            Control::NotifyDBusAddress(address) => {
                match self.dbus.set_bus_address(address) {
                    Ok(()) => self.dbus.reply_on_bus(caller),
                    error => self.dbus.reply(caller, error),
                }
                return;
            }
            // There is no cgroup manager; control groups are made without one.
            Control::NotifyCGroupManagerAddress(_) => {}
        }
        self.dbus.reply(caller, Ok(()));
    }

    /// The job directories have been looked at.
    fn find(&mut self, finding: Finding) -> io::Result<()> {
        match finding {
            Finding::Define(class) => self.take(Input::Define(class)),
            Finding::Remove(name) => self.take(Input::Remove(name)),
            Finding::Complaint(text) => {
                report::warn(&text);
                Ok(())
            }
            Finding::Looked(look) => self.looked(look),
        }
    }

    fn looked(&mut self, look: Look) -> io::Result<()> {
        if !self.has_looked {
            self.has_looked = true;
            self.tell_sources(&look);
            let event = self.startup_event(&look)?;
            let is_system = !self.scope.is_session;
            self.settle_job_files(|name| look.names.contains(name) || (is_system && name == emergency::JOB), event)?;
            self.write_session_file();
            self.image = Image::begin(self.scope.is_session, self.has_image);
        }
        self.dbus.view_mut().sources = look
            .sources
            .iter()
            .map(|source| dbus::Source {
                path: source.path.display().to_string(),
                files: source.files.iter().map(|file| file.display().to_string()).collect(),
            })
            .collect();
        self.dbus.jobs_are_read(&look.roots);
        for caller in std::mem::take(&mut self.reloads) {
            self.dbus.reply(&caller, Ok(()));
        }
        self.dbus.push();
        Ok(())
    }

    fn tell_sources(&self, look: &Look) {
        if self.memory.state.log_priority() <= Priority::Info {
            for source in &look.sources {
                report::write(Priority::Info, &format!("Loading configuration from {}", source.path.display()));
            }
        }
    }

    fn write_session_file(&self) {
        if let Some(old) = &self.scope.old_session_file {
            session::remove(old);
        }
        let Some(path) = &self.scope.session_file else { return };
        if let Err(error) = session::write(path, &self.scope.address()) {
            report::warn(&format!("{}: {error}; clients cannot find this session by themselves", path.display()));
        }
    }
}

fn dbus_config(scope: &Scope, options: &Options) -> DbusConfig {
    let bus_address = match (options.no_dbus, options.session_bus, scope.is_session) {
        (true, ..) => None,
        (false, true, _) => dbus::session_bus_address(),
        // A session's init waits to be told (NotifyDBusAddress).
        (false, false, true) => None,
        (false, false, false) => Some(dbus::system_bus_address()),
    };
    DbusConfig {
        own_uid: nix::unistd::geteuid().as_raw(),
        is_session: scope.is_session,
        may_exit: scope.is_session || keeper::container::is_container(),
        version: env!("CARGO_PKG_VERSION").into(),
        has_chroot_sessions: options.chroot_sessions && !scope.is_session,
        bus_address,
    }
}

/// The other roots that jobs are known of, by what is in the journal or by what runs.
fn roots_of(state: &State, entries: &[Entry]) -> BTreeSet<String> {
    let defined = state.classes().map(|(name, _)| name);
    let labels = entries.iter().filter_map(|entry| machine::spawn::read_label(&entry.label));
    defined.chain(labels.map(|(_, class, _)| class)).filter_map(machine::root::of).map(str::to_owned).collect()
}

/// The private socket: the one that the keeper holds, or a new one.
fn listener(scope: &Scope, held: &mut Vec<(String, OwnedFd)>) -> io::Result<(UnixListener, bool)> {
    if let Some(at) = held.iter().position(|(name, _)| name == LISTENER) {
        return Ok((held.swap_remove(at).1.into(), false));
    }
    let address = SocketAddr::from_abstract_name(&scope.socket)?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => Ok((listener, true)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let text = format!(
                "the socket @{} is taken: another init runs in this network namespace; stop it, or start this one in a network namespace of its own (unshare --net)",
                scope.socket
            );
            Err(io::Error::new(error.kind(), text))
        }
        Err(error) => Err(error),
    }
}

impl World for Init {
    type Storage = FileStorage;

    fn memory(&mut self) -> &mut Memory<FileStorage> {
        &mut self.memory
    }

    fn now_ms(&self) -> u64 {
        now_ms()
    }

    fn stamp(&self) -> Stamp {
        origin::stamp()
    }

    fn who(&self, caller: &Caller) -> Option<Who> {
        origin::who(caller, &self.dbus)
    }

    fn send(&mut self, message: ToKeeper) -> io::Result<()> {
        match message {
            // The keeper only keeps an end for longer, and the next manager is told of it once more.
            ToKeeper::Acknowledge { .. } => self.link.send_later(message),
            _ => self.link.send(message, Vec::new()),
        }
    }

    fn spawn(&mut self, ticket: u64) -> io::Result<()> {
        let Some(spawn) = machine::spawn::describe(&self.memory.state, ticket) else { return Ok(()) };
        let (setuid, setgid) = (&spawn.attributes.setuid, &spawn.attributes.setgid);
        if setuid.is_some() || setgid.is_some() {
            self.users.ask(ticket, setuid.clone(), setgid.clone());
            return Ok(());
        }
        self.spawn_as(&spawn, None)
    }

    fn announce(&mut self, number: u64, announcement: &Announcement) {
        // One that is there again in the same turn goes on with the group of the one before.
        if let Announcement::InstanceRemoved(class, instance) = announcement
            && self.memory.state.find(class, instance).is_none()
        {
            self.cgroups.forget(class, instance);
        }
        if let Announcement::Log(priority, text) = announcement {
            report::write(*priority, text);
        } else {
            self.dbus.announce(number, announcement);
        }
    }

    fn push(&mut self) {
        self.dbus.push();
    }

    fn performed(&mut self, through: u64) -> u64 {
        self.dbus.performed(through)
    }

    fn done(&mut self, caller: &Caller) {
        self.dbus.done(caller);
    }

    fn let_go(&mut self, name: &str) {
        self.files.remove(name);
    }

    fn reexecute(&mut self) {
        self.farewell = Some(ToKeeper::Reexecute);
    }

    fn in_container(&self) -> bool {
        !self.scope.is_session && keeper::container::is_container()
    }

    fn finish(&mut self, status: u8) {
        self.end(status);
    }

    fn rescan(&mut self) {
        self.conf.rescan();
    }

    fn job_files(&mut self) -> Vec<Class> {
        let roots = std::iter::once(None).chain(self.roots.iter().map(|root| Some(root.as_str())));
        let mut all = Vec::new();
        for root in roots {
            let (classes, silent) = conf::read_all(&self.scope.conf_dirs, root, READ_PATIENCE);
            for directory in silent {
                let directory = directory.display();
                report::warn(&format!("{directory}: does not answer; what runs of its jobs is not recognized"));
            }
            all.extend(classes);
        }
        all
    }

    fn reconnect_bus(&mut self) {
        self.dbus.reconnect_bus();
    }

    fn adopt(&mut self) {
        self.adopt_cgroups();
    }

    fn took(&mut self, took_us: u64) {
        self.times.add(took_us);
    }

    fn report(&mut self, priority: Priority, text: &str) {
        report::write(priority, text);
    }
}

impl Init {
    /// The last words of this manager: all that was said goes out, and the keeper does the rest.
    async fn hand_over(&mut self, message: ToKeeper) -> io::Result<()> {
        self.dbus.flush(LAST_WORDS).await;
        self.note()?;
        self.link.send(message, Vec::new())?;
        self.link.drain()
    }

    /// The session is over.
    fn end(&mut self, status: u8) {
        if self.farewell.is_some() {
            return;
        }
        if let Some(path) = &self.scope.session_file {
            session::remove(path);
        }
        self.notify.remove();
        self.output.finish(LAST_WORDS);
        self.memory.journal = None;
        // Nobody will replay it.
        let _ = std::fs::remove_dir_all(&self.scope.journal_dir);
        if let Some(parent) = self.scope.state_dir().filter(|_| self.scope.is_session) {
            last_words::remove(parent);
            times::remove(parent);
            let _ = std::fs::remove_dir_all(parent.join(crash::DIRECTORY));
            let _ = std::fs::remove_dir(parent);
            let _ = parent.parent().map(std::fs::remove_dir);
        }
        self.farewell = Some(ToKeeper::Finish(Finish::Exit(status)));
    }
}
