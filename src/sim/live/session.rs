//! A session of its own: a private runtime directory in memory, `init --user` from beside this program, and the jobs that
//! bear witness. Nothing of it is left when this value goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use control::bus::{Bus, Target};
use control::remote::Remote;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take that should take no time.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The manager's heartbeat, in milliseconds: a manager that is stopped is found after this.
const HEARTBEAT_MS: u32 = 400;

/// How many jobs run through everything.
pub(super) const STEADY: u32 = 10;

/// Errands are started once each by number, say that they run, and end with a status that follows from it; who comes to
/// tell of it says what init knew of that end.
fn witnesses(log: &Path) -> Vec<(String, String)> {
    let log = log.display();
    let errand = format!(
        "task\ninstance $N\nnormal exit 3\nscript\n  echo \"$N $$\" >> {log}/started\n  case $N in *[05]) sleep 0.05;; esac\n  exit $((N % 4))\nend script\n"
    );
    let told = format!(
        "start on stopped crashlab-errand\ntask\ninstance $INSTANCE\nexec echo \"$INSTANCE $RESULT ${{EXIT_STATUS:-0}}\" >> {log}/told\n"
    );
    let heard = format!("start on crashlab-ping\ntask\ninstance $N\nexec echo \"$N\" >> {log}/heard\n");
    let mut jobs = vec![("errand".to_owned(), errand), ("told".to_owned(), told), ("heard".to_owned(), heard)];
    for number in 0..STEADY {
        let text = format!(
            "start on startup\nscript\n  echo $$ >> {log}/steady-{number}\n  exec sleep infinity\nend script\n"
        );
        jobs.push((format!("steady-{number}"), text));
    }
    jobs
}

/// A session under way.
#[derive(Debug)]
pub(super) struct Session {
    keeper: Child,
    root: PathBuf,
}

impl Session {
    /// Starts one, with these job files as well.
    pub(super) fn start(directories: &[PathBuf]) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| format!("/proc is not mounted: {error}"))?;
        let folder = own.parent().unwrap_or(Path::new("/"));
        let (init, manager) = (folder.join("init"), folder.join("init-manager"));
        if let Some(missing) = [&init, &manager].into_iter().find(|path| !path.exists()) {
            return Err(format!("{}: not there; it belongs beside this program", missing.display()));
        }
        let root = make_root().map_err(|error| format!("no place for a session: {error}"))?;
        let prepare = || -> io::Result<()> {
            for name in ["jobs", "log", "home", "run"] {
                fs::create_dir_all(root.join(name))?;
            }
            for (name, text) in witnesses(&root.join("log")) {
                fs::write(root.join(format!("jobs/crashlab-{name}.conf")), text)?;
            }
            Ok(())
        };
        prepare().map_err(|error| format!("{}: {error}", root.display()))?;
        let mut command = Command::new(&init);
        command.args(["--user", "--no-dbus", "--no-sessions", "--no-cgroups", "--confdir"]).arg(root.join("jobs"));
        for directory in directories {
            command.arg("--append-confdir").arg(directory);
        }
        command.arg("--logdir").arg(root.join("output")).arg("--manager").arg(&manager);
        command.env("XDG_RUNTIME_DIR", root.join("run")).env("HOME", root.join("home"));
        command.env("STAYUP_HEARTBEAT_MS", HEARTBEAT_MS.to_string()).env_remove("DBUS_SESSION_BUS_ADDRESS");
        let messages = fs::File::create(root.join("messages")).map_err(|error| error.to_string())?;
        let copy = messages.try_clone().map_err(|error| error.to_string())?;
        let started = command.stdin(Stdio::null()).stdout(messages).stderr(copy).spawn();
        let keeper = started.map_err(|error| format!("{}: {error}", init.display()))?;
        Ok(Self { keeper, root })
    }

    /// The keeper.
    pub(super) fn keeper(&self) -> i32 {
        self.keeper.id().cast_signed()
    }

    /// The manager, if there is one now.
    pub(super) fn manager(&self) -> Option<i32> {
        let keeper = self.keeper();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
        let is_manager = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "init-manager")
        };
        children.split_whitespace().filter_map(|word| word.parse().ok()).find(is_manager)
    }

    /// The journal's directory.
    pub(super) fn journal(&self) -> PathBuf {
        self.root.join(format!("run/stayup/{}/journal", self.keeper()))
    }

    /// The lines of a witness.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.root.join("log").join(name)).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// What init said, its last lines.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(self.root.join("messages")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Whether the session is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.keeper.try_wait(), Ok(None))
    }

    /// A connection to it, as soon as it takes one.
    pub(super) async fn connect(&mut self) -> Result<Remote, String> {
        let address = format!("unix:abstract=/com/ubuntu/upstart-session/{}/{}", nix::unistd::geteuid(), self.keeper());
        let target = Target::Private(address);
        let begin = Instant::now();
        loop {
            match Bus::connect(&target).await {
                Ok(bus) => return Ok(Remote::new(bus)),
                Err(_) if begin.elapsed() < PATIENCE && self.is_alive() => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => return Err(format!("the session does not answer: {error}\n{}", self.last_words())),
            }
        }
    }
}

/// A directory in memory, for our eyes only.
fn make_root() -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let places = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    let parent = places.into_iter().find(|path| path.is_dir()).unwrap_or_else(|| "/tmp".into());
    let root = parent.join(format!("stayup-crashlab-{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&root)?;
    Ok(root)
}

/// All processes whose parent is this one.
fn children_of(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

impl Drop for Session {
    fn drop(&mut self) {
        let keeper = self.keeper();
        let _ = kill(Pid::from_raw(keeper), Signal::SIGTERM);
        let begin = Instant::now();
        while self.is_alive() && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.is_alive() {
            for child in children_of(keeper) {
                let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
            }
            let _ = self.keeper.kill();
        }
        let _ = self.keeper.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}
