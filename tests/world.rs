//! A machine of its own for one test: process 1 and whatever it starts, in namespaces made for it.
//!
//! Files inside are reached from outside through `/proc/PID/root`, processes by their pids as seen from outside, and
//! commands run inside by joining the namespaces. When the value is dropped, or the thread that made it dies, or the whole
//! test is killed, the kernel kills process 1 and with it everything.

use crate::namespaces::{self, Act, StartError};
use crate::processes::Process;
use crate::programs::programs;
use crate::waiting::{until, wait_for};
use journal::{FileStorage, Report};
use nix::mount::MsFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Where the programs are, inside.
pub const PROGRAMS: &str = "/run/programs";

/// The ordinary user inside when there can be one: nobody.
const NOBODY: u32 = 65534;

/// What a command answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Exit status; 128 and the signal's number for one that was killed.
    pub status: i32,
    /// Standard output, without white space at its end.
    pub out: String,
    /// Standard error, likewise.
    pub err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let status = output.status.code().or_else(|| Some(128 + output.status.signal()?)).unwrap_or(-1);
        Self { status, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A machine to be.
#[derive(Debug)]
pub struct Setup {
    acts: Vec<Act>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    joined: Vec<OwnedFd>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A machine with the programs, an empty `/run` and `/var/log`, and a directory of jobs without a job.
    #[must_use]
    pub fn new() -> Self {
        let mut setup = Self { acts: Vec::new(), arguments: Vec::new(), environment: Vec::new(), joined: Vec::new() };
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        setup.act_mount("none", "/", None, private, None);
        setup.act_mount("proc", "/proc", Some("proc"), plain | MsFlags::MS_NOEXEC, None);
        let terminals = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        setup.act_mount("devpts", "/dev/pts", Some("devpts"), terminals, Some("newinstance,ptmxmode=666,mode=620"));
        setup.act_mount("tmpfs", "/run", Some("tmpfs"), plain, Some("mode=755"));
        setup.act_mount("tmpfs", "/var/log", Some("tmpfs"), plain, Some("mode=755"));
        setup = setup.directory(PROGRAMS);
        let programs = programs().to_str().expect("the target folder's name is text").to_owned();
        setup.act_mount(&programs, PROGRAMS, None, MsFlags::MS_BIND, None);
        setup.directory("/var/log/upstart").directory("/run/init").directory("/run/test")
    }

    fn act_mount(&mut self, source: &str, target: &str, kind: Option<&str>, flags: MsFlags, data: Option<&str>) {
        self.acts.push(Act::Mount {
            source: text(source),
            target: text(target),
            kind: kind.map(text),
            flags,
            data: data.map(text),
        });
    }

    /// Mounts a directory of the real machine here, too.
    #[must_use]
    pub fn bind(mut self, source: &str, target: &str) -> Self {
        self.act_mount(source, target, None, MsFlags::MS_BIND, None);
        self
    }

    /// A file system in memory of its own, of at most this size (tmpfs(5)).
    #[must_use]
    pub fn tmpfs(self, path: &str, size: &str) -> Self {
        let mut setup = self.directory(path);
        let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        setup.act_mount("tmpfs", path, Some("tmpfs"), plain, Some(&format!("mode=755,size={size}")));
        setup
    }

    /// An empty directory in the place of one that is there.
    #[must_use]
    pub fn hide(mut self, path: &str) -> Self {
        self.act_mount("tmpfs", path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"));
        self
    }

    /// A directory that everybody can enter.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.acts.push(Act::Directory { path: text(path), mode: 0o755, owner: 0 });
        self
    }

    /// A directory of the user's own.
    #[must_use]
    pub fn user_directory(mut self, path: &str) -> Self {
        self.acts.push(Act::Directory { path: text(path), mode: 0o700, owner: user() });
        self
    }

    /// A file that everybody can read.
    #[must_use]
    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.acts.push(Act::File { path: text(path), bytes: content.into(), mode: 0o644, owner: 0 });
        self
    }

    /// A file of the user's own.
    #[must_use]
    pub fn user_file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.acts.push(Act::File { path: text(path), bytes: content.into(), mode: 0o644, owner: user() });
        self
    }

    /// A job file of the system's init.
    #[must_use]
    pub fn job(self, name: &str, content: &str) -> Self {
        self.file(&format!("/run/init/{name}.conf"), content)
    }

    /// One more argument of process 1.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A variable in the environment of process 1.
    #[must_use]
    pub fn variable(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// In the network of another machine, rather than in one of its own.
    #[must_use]
    pub fn network_of(mut self, world: &World) -> Self {
        self.joined = world.namespaces(&["user", "net"]);
        self
    }

    /// Starts `init` as process 1.
    ///
    /// # Errors
    /// When the kernel does not let us ([`StartError::is_forbidden`]), or something is missing here.
    ///
    /// # Panics
    /// When this process cannot open files.
    pub fn start(self) -> Result<World, StartError> {
        let printed = File::from(memfd_create(c"printed", MFdFlags::MFD_CLOEXEC).expect("memfd"));
        let mut command = Command::new(format!("{PROGRAMS}/init"));
        command.args(["--confdir", "/run/init"]).args(&self.arguments);
        command.env_clear().env("PATH", search_path()).envs(self.environment);
        command.stdin(Stdio::null()).stdout(printed.try_clone().expect("descriptor"));
        command.stderr(printed.try_clone().expect("descriptor"));
        let is_root = geteuid().is_root();
        let (holder, init) = namespaces::start(command, self.acts, is_root, self.joined)?;
        let kinds = ["user", "mnt", "pid", "net", "uts", "ipc"].into_iter().skip(usize::from(is_root));
        let open = |kind| File::open(format!("/proc/{init}/ns/{kind}")).map(|file| (kind, OwnedFd::from(file)));
        let namespaces = kinds.map(open).collect::<io::Result<Vec<_>>>().expect("process 1 is ours to look at");
        Ok(World { holder, init, namespaces, printed })
    }

    /// Starts it for a test; where the kernel does not let us, says so on the terminal and gives none.
    ///
    /// # Panics
    /// When anything else is wrong.
    #[must_use]
    pub fn start_or_skip(self) -> Option<World> {
        match self.start() {
            Ok(world) => Some(world),
            Err(error) if error.is_forbidden() => {
                // Not by eprintln!, which the test harness keeps to itself when a test passes.
                let _ = writeln!(io::stderr(), "skipped: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn text(text: &str) -> CString {
    CString::new(text).expect("no zero byte in a path")
}

/// The user of sessions, as seen inside: without root there is only one user id, and it is that of root inside.
pub(crate) fn user() -> u32 {
    if geteuid().is_root() { NOBODY } else { 0 }
}

fn search_path() -> String {
    format!("{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// A machine under way.
#[derive(Debug)]
pub struct World {
    holder: Child,
    init: i32,
    namespaces: Vec<(&'static str, OwnedFd)>,
    printed: File,
}

impl World {
    /// Pid of process 1, as seen from outside.
    #[must_use]
    pub fn init(&self) -> i32 {
        self.init
    }

    /// A path inside, as a path here.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// A file inside; empty if it is not there.
    #[must_use]
    pub fn read(&self, inside: &str) -> String {
        fs::read(self.path(inside)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Lines of a file inside.
    #[must_use]
    pub fn lines(&self, inside: &str) -> Vec<String> {
        self.read(inside).lines().map(str::to_owned).collect()
    }

    /// Writes a file inside, whole or not at all.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, inside: &str, content: &str) {
        let path = self.path(inside);
        let mut aside = path.clone().into_os_string();
        aside.push(".aside");
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o644).open(&aside).expect("a file inside");
        file.write_all(content.as_bytes()).expect("room inside");
        fs::rename(&aside, &path).expect("a file inside");
    }

    /// Writes a job file of the system's init, and waits until init has read it.
    ///
    /// # Panics
    /// When init does not.
    pub fn add_job(&self, name: &str, content: &str) {
        self.write(&format!("/run/init/{name}.conf"), content);
        let answer = self.initctl(&["reload-configuration"]);
        assert_eq!(answer.status, 0, "{answer:?}");
    }

    /// A command to run inside, as root there. A name without `/` is one of the programs under test.
    ///
    /// # Panics
    /// When descriptors run out.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        self.command_as(program, 0)
    }

    /// The same as the user of sessions.
    #[must_use]
    pub fn user_command(&self, program: &str) -> Command {
        self.command_as(program, user())
    }

    /// Copies of those of these namespaces that are the machine's own.
    fn namespaces(&self, kinds: &[&str]) -> Vec<OwnedFd> {
        let wanted = self.namespaces.iter().filter(|(kind, _)| kinds.contains(kind));
        wanted.map(|(_, namespace)| namespace.try_clone().expect("descriptors")).collect()
    }

    fn command_as(&self, program: &str, user: u32) -> Command {
        let program = if program.contains('/') { program.to_owned() } else { format!("{PROGRAMS}/{program}") };
        let mut command = Command::new(program);
        command.env_clear().env("PATH", search_path()).stdin(Stdio::null());
        namespaces::enter(&mut command, self.namespaces(&["user", "mnt", "pid", "net", "uts", "ipc"]), user);
        command
    }

    /// Runs a program inside and waits for its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Answer {
        self.command(program).args(arguments).output().expect("a program inside").into()
    }

    /// `initctl` inside, as root.
    #[must_use]
    pub fn initctl(&self, arguments: &[&str]) -> Answer {
        self.run("initctl", arguments)
    }

    /// A program inside that goes on meanwhile, with what it prints kept for [`Child::wait_with_output`].
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn begin(&self, program: &str, arguments: &[&str]) -> Child {
        let mut command = self.command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("a program inside")
    }

    /// What process 1 and the system's manager have printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        let length = self.printed.metadata().map_or(0, |metadata| metadata.len());
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = self.printed.read_at(&mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    /// Every process of the machine, itself included.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        Process::all_beside(self.init)
    }

    /// The process with this pid inside.
    #[must_use]
    pub fn process(&self, inside: i32) -> Option<Process> {
        self.processes().into_iter().find(|process| process.inside == inside)
    }

    /// The manager of the keeper with this pid (from outside), when there is one.
    #[must_use]
    pub fn manager_of(&self, keeper: i32) -> Option<Process> {
        let is_manager = |process: &Process| process.parent == keeper && process.name == "init-manager";
        self.processes().into_iter().find(|process| is_manager(process) && process.state != 'Z')
    }

    /// The system's manager, waiting for one.
    #[must_use]
    pub fn manager(&self) -> Process {
        wait_for("a manager of the system", || self.manager_of(self.init))
    }

    /// Sends a signal to a process by its pid from outside.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, outside: i32, signal: Signal) {
        if let Err(errno) = kill(Pid::from_raw(outside), signal) {
            panic!("cannot send {signal} to {outside}: {errno}");
        }
    }

    /// Has a process die of this signal.
    ///
    /// Sent again until it has: Rust's own handler of SIGSEGV and SIGBUS takes a first one that was sent by kill(2) for a
    /// fault which will come again by itself.
    ///
    /// # Panics
    /// When it does not die.
    pub fn kill(&self, outside: i32, signal: Signal) {
        until("a process dies of its signal", || {
            let sent =
                kill(Pid::from_raw(outside), signal).and_then(|()| kill(Pid::from_raw(outside), Signal::SIGCONT));
            sent.is_err() || Process::at(outside).is_none_or(|process| process.state == 'Z')
        });
    }

    /// Waits until init answers.
    ///
    /// # Panics
    /// When it never does.
    pub fn await_init(&self) {
        until("init answers", || self.initctl(&["version"]).status == 0);
    }

    /// Looks at the journal in a directory inside.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn verify(&self, journal: &str) -> Report {
        let path = self.path(journal);
        assert!(path.is_dir(), "there is no journal in {journal}");
        let storage = FileStorage::at(&path).expect("the journal is ours to read");
        journal::verify(&storage).expect("the journal can be read")
    }

    /// Ends the machine, and waits until all of it is gone.
    pub fn end(&mut self) {
        let _ = kill(Pid::from_raw(self.init), Signal::SIGKILL);
        let _ = self.holder.wait();
    }

    /// How the machine ended, if it has: process 1's own end, which after reboot(2) inside is SIGHUP for a restart, and SIGINT
    /// for a halt or power off (pid_namespaces(7)).
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.holder.try_wait().ok().flatten()
    }

    /// Whether process 1 still lives.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.holder.try_wait(), Ok(None))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(io::stderr(), "--- init printed:\n{}---", self.printed());
        }
        if self.is_alive() {
            self.end();
        }
    }
}
