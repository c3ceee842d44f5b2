//! A machine as people have it: the system init as process 1, a user's session init below it, the stock session jobs, the
//! user's own jobs that notice a restart, and in both inits the same few jobs that must notice nothing.
//!
//! Knows where everything is and how to ask for it. What must be true is for tests and the demo to say.

use crate::namespaces::StartError;
use crate::processes::Process;
use crate::programs::source_root;
use crate::waiting::{until, wait_for};
use crate::world::{Answer, Setup, World, user};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;

/// The user's home directory, inside.
pub const USER_HOME: &str = "/run/home";
/// The user's runtime directory, inside.
pub const USER_RUNTIME: &str = "/run/user";

/// The user's own jobs (name, condition), one for each way to notice that the session init has restarted.
pub const CONDITIONS: [(&str, &str); 5] = [
    ("restart-sys-restarted", ":sys:restarted"),
    ("restart-starting", "starting re-exec"),
    ("restart-started", "started re-exec"),
    ("restart-stopping", "stopping re-exec"),
    ("restart", "stopped re-exec"),
];

/// Which init.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// Process 1.
    System,
    /// The user's.
    Session,
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::System => "system",
            Self::Session => "session",
        })
    }
}

impl Scope {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::System, Self::Session];

    /// The directory where the jobs of this init leave their notes.
    #[must_use]
    pub fn notes(self) -> &'static str {
        match self {
            Self::System => "/run/test",
            Self::Session => USER_HOME,
        }
    }

    /// The log of a job's output.
    #[must_use]
    pub fn log(self, job: &str) -> String {
        match self {
            Self::System => format!("/var/log/upstart/{job}.log"),
            Self::Session => format!("{USER_HOME}/.cache/upstart/{job}.log"),
        }
    }
}

/// Jobs that run on through every restart, by name.
fn steady_jobs(scope: Scope) -> [(&'static str, String); 5] {
    let notes = scope.notes();
    [
        ("quiet", "start on startup\nexec sleep infinity\n".to_owned()),
        (
            "counter",
            "start on startup\nconsole log\nscript\n  n=0\n  while :; do\n    for i in 1 2 3 4 5; do n=$((n+1)); \
             echo \"line $n\"; done\n    sleep 0.02\n  done\nend script\n"
                .to_owned(),
        ),
        (
            "respawning",
            format!(
                "start on startup\nrespawn\nscript\n  echo start >> {notes}/respawned\n  exec sleep infinity\nend script\n"
            ),
        ),
        (
            "errand",
            format!(
                "task\nscript\n  echo start >> {notes}/errands\n  while [ ! -e {notes}/go ]; do sleep 0.01; done\n  exit 7\nend script\n"
            ),
        ),
        (
            "errand-told",
            format!("start on stopped errand\ntask\nexec echo \"$RESULT $PROCESS $EXIT_STATUS\" >> {notes}/told\n"),
        ),
    ]
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    /// Where it runs.
    pub world: World,
    session: Process,
    address: String,
    /// What the session goes by: the pid of the keeper that began it.
    number: i32,
}

impl Machine {
    /// The machine, before it starts.
    ///
    /// # Panics
    /// When the stock session jobs are not where the source code has them.
    #[must_use]
    pub fn setup() -> Setup {
        Self::setup_with(&[])
    }

    /// The same with more variables in the session's environment.
    ///
    /// # Panics
    /// As [`Machine::setup`].
    #[must_use]
    pub fn setup_with(variables: &[(&str, &str)]) -> Setup {
        let mut setup = Setup::new().directory("/run/sessions").user_directory(USER_HOME).user_directory(USER_RUNTIME);
        for directory in [".config", ".config/upstart", ".cache", ".cache/upstart"] {
            setup = setup.user_directory(&format!("{USER_HOME}/{directory}"));
        }
        setup = setup.job("session", &session_job(variables));
        for name in ["re-exec", "upstart-event-bridge"] {
            let source = source_root().join(format!("conf/sessions/{name}.conf"));
            let content = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
            setup = setup.file(&format!("/run/sessions/{name}.conf"), &content);
        }
        for (name, condition) in CONDITIONS {
            let job = format!("start on {condition}\nexec echo \"$UPSTART_EVENTS\" >> {USER_HOME}/fired-{name}\n");
            setup = setup.user_file(&format!("{USER_HOME}/.config/upstart/{name}.conf"), job.as_str());
        }
        for (name, job) in steady_jobs(Scope::System) {
            setup = setup.job(name, &job);
        }
        for (name, job) in steady_jobs(Scope::Session) {
            setup = setup.user_file(&format!("{USER_HOME}/.config/upstart/{name}.conf"), job.as_str());
        }
        setup
    }

    /// Starts it, and waits until both inits answer, their jobs run and the event bridge listens.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        setup.start().map(Self::around)
    }

    /// The same for a test, which is skipped where the kernel forbids it.
    #[must_use]
    pub fn start_or_skip(setup: Setup) -> Option<Self> {
        setup.start_or_skip().map(Self::around)
    }

    fn around(world: World) -> Self {
        world.await_init();
        let (session, address) = wait_for("the session's file", || session_of(&world));
        let number = session.inside;
        let machine = Self { world, session, address, number };
        for scope in Scope::BOTH {
            until("the jobs run", || machine.jobs(scope).len() == 3);
        }
        let ledger = format!("{USER_RUNTIME}/stayup/{number}/event-bridge.generation");
        until("the event bridge listens", || !machine.world.read(&ledger).is_empty());
        machine
    }

    /// Kills the session's keeper, and waits until neither it nor its manager is there.
    ///
    /// # Panics
    /// When they are not killed.
    pub fn kill_session(&self) {
        let manager = self.manager(Scope::Session).outside;
        self.world.signal(self.session.outside, nix::sys::signal::Signal::SIGKILL);
        until("the session's keeper and manager have ended", || {
            [self.session.outside, manager].iter().all(|&pid| Process::at(pid).is_none_or(|found| found.state == 'Z'))
        });
        until("its job has ended", || {
            self.initctl(Scope::System, &["status", "session"]).out == "session stop/waiting"
        });
    }

    /// Starts `init --user` again, as another login of the same session does, and waits until it is ready for clients.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_session(&mut self) {
        let before = self.session.inside;
        let answer = self.initctl(Scope::System, &["start", "session"]);
        assert_eq!(answer.status, 0, "{answer:?}");
        let found = wait_for("the session's file", || session_of(&self.world).filter(|found| found.0.inside != before));
        (self.session, self.address) = found;
    }

    /// Pid of an init, its keeper that is, from outside.
    #[must_use]
    pub fn keeper(&self, scope: Scope) -> i32 {
        match scope {
            Scope::System => self.world.init(),
            Scope::Session => self.session.outside,
        }
    }

    /// Pid of an init in its machine.
    #[must_use]
    pub fn keeper_inside(&self, scope: Scope) -> i32 {
        match scope {
            Scope::System => 1,
            Scope::Session => self.session.inside,
        }
    }

    /// The manager of an init, waiting for one.
    #[must_use]
    pub fn manager(&self, scope: Scope) -> Process {
        wait_for("a manager", || self.world.manager_of(self.keeper(scope)))
    }

    /// D-Bus address of the session init.
    #[must_use]
    pub fn session_address(&self) -> &str {
        &self.address
    }

    /// `initctl` to an init, by the one whose init it is.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn initctl(&self, scope: Scope, arguments: &[&str]) -> Answer {
        let mut command = match scope {
            Scope::System => self.world.command("initctl"),
            Scope::Session => self.user_command("initctl"),
        };
        command.args(arguments).output().expect("initctl").into()
    }

    /// A program run by the user, in the session.
    #[must_use]
    pub fn user_command(&self, program: &str) -> std::process::Command {
        let mut command = self.world.user_command(program);
        command.env("UPSTART_SESSION", &self.address).env("HOME", USER_HOME).env("XDG_RUNTIME_DIR", USER_RUNTIME);
        command
    }

    /// The journal of an init, inside.
    #[must_use]
    pub fn journal(&self, scope: Scope) -> String {
        match scope {
            Scope::System => "/run/stayup/journal".to_owned(),
            Scope::Session => format!("{USER_RUNTIME}/stayup/{}/journal", self.number),
        }
    }

    /// Pids (inside) of the jobs that run on, by name.
    #[must_use]
    pub fn jobs(&self, scope: Scope) -> BTreeMap<String, i32> {
        let listed = self.initctl(scope, &["list"]);
        let names = ["quiet", "counter", "respawning"];
        let lines = listed.out.lines().filter_map(|line| {
            let (name, rest) = line.split_once(" start/running, process ")?;
            Some((name.to_owned(), rest.parse().ok()?))
        });
        lines.filter(|(name, _)| names.contains(&name.as_str())).collect()
    }

    /// How often a job of [`CONDITIONS`] has run.
    #[must_use]
    pub fn fired(&self, job: &str) -> usize {
        self.world.lines(&format!("{USER_HOME}/fired-{job}")).len()
    }

    /// Starts the errand: a task that ends, with status 7, when it is let go.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_errand(&self, scope: Scope) {
        let notes = scope.notes();
        let before = self.world.lines(&format!("{notes}/errands")).len();
        let _ = fs::remove_file(self.world.path(&format!("{notes}/go")));
        let answer = self.initctl(scope, &["start", "--no-wait", "errand"]);
        assert_eq!(answer.status, 0, "{answer:?}");
        until("the errand runs", || self.world.lines(&format!("{notes}/errands")).len() == before + 1);
    }

    /// Pid (from outside) of the errand, while it runs.
    #[must_use]
    pub fn errand(&self, scope: Scope) -> Option<Process> {
        let status = self.initctl(scope, &["status", "errand"]);
        let pid = status.out.rsplit_once("process ")?.1.parse().ok()?;
        self.world.process(pid)
    }

    /// Lets the errand end.
    pub fn let_errand_end(&self, scope: Scope) {
        self.world.write(&format!("{}/go", scope.notes()), "");
    }

    /// What was told of errands that ended, one line each.
    #[must_use]
    pub fn told(&self, scope: Scope) -> Vec<String> {
        self.world.lines(&format!("{}/told", scope.notes()))
    }

    /// How many lines of the counter have arrived in its log.
    ///
    /// # Errors
    /// The first line that is not the one that comes next: one is lost, cut or there twice.
    pub fn counted(&self, scope: Scope) -> Result<usize, String> {
        let log = self.world.read(&scope.log("counter"));
        // The last line may be on its way.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let mut count = 0;
        for line in whole.lines() {
            count += 1;
            if line.trim_end_matches('\r') != format!("line {count}") {
                return Err(format!("line {count} of the {scope}'s counter reads {line:?}"));
            }
        }
        Ok(count)
    }
}

fn session_job(variables: &[(&str, &str)]) -> String {
    let more: String = variables.iter().map(|(key, value)| format!("env {key}=\"{value}\"\n")).collect();
    let identity = if user() == 0 { "" } else { "setuid nobody\n" };
    format!(
        "description \"The session of a user, as a login would start it\"\n\
         start on startup\n{identity}\
         env HOME={USER_HOME}\nenv XDG_RUNTIME_DIR={USER_RUNTIME}\nenv PATH={}:/usr/bin:/bin\n{more}\
         exec init --user --append-confdir /run/sessions\n",
        crate::world::PROGRAMS
    )
}

/// The session's keeper and its address, once the session is ready for clients.
fn session_of(world: &World) -> Option<(Process, String)> {
    let directory = fs::read_dir(world.path(&format!("{USER_RUNTIME}/upstart/sessions"))).ok()?;
    let mut names = directory.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let name = names.find(|name| name.ends_with(".session"))?;
    let content = world.read(&format!("{USER_RUNTIME}/upstart/sessions/{name}"));
    let address = content.trim().strip_prefix("UPSTART_SESSION=")?.to_owned();
    let pid = name.strip_suffix(".session")?.parse().ok()?;
    Some((world.process(pid)?, address))
}
