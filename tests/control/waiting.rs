//! Somebody waits for an answer while the manager dies or is executed anew: the answer comes, once, and is true.

use std::fs;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use testkit::{Answer, Setup, World, until};

use crate::shell::{Shell, machine, transcript};

/// Rounds of random moments, one for each command in each.
const ROUNDS: u32 = 4;

/// Jobs that take their time wherever a job can: until they are let go.
fn setup() -> Setup {
    let pause = "script\n  echo >> /run/test/paused\n  while [ ! -e /run/test/go ]; do sleep 0.005; done\n";
    Setup::new()
        .job(
            "service",
            &format!("start on go\npre-start {pause}end script\nexec sleep infinity\npost-stop {pause}end script\n"),
        )
        .job("broken", &format!("start on break\npre-start {pause}  exit 1\nend script\nexec sleep infinity\n"))
}

/// A command that waits, seen to wait.
struct Waiting {
    line: String,
    child: Child,
}

impl Waiting {
    fn begin(world: &World, line: &str) -> Self {
        for file in ["paused", "go"] {
            let _ = fs::remove_file(world.path(&format!("/run/test/{file}")));
        }
        let mut command = Shell::root(world).command(line);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let waiting = Self { line: line.to_owned(), child };
        until("the job pauses", || !world.read("/run/test/paused").is_empty());
        waiting
    }

    /// Lets the jobs go on, and compares the answer.
    fn ends(mut self, world: &World, expected: &str) {
        assert_eq!(self.child.try_wait().unwrap(), None, "$ {} does not wait", self.line);
        world.write("/run/test/go", "");
        let answer = Answer::from(self.child.wait_with_output().unwrap());
        assert_eq!(transcript(&answer), expected, "$ {}", self.line);
    }
}

/// All that can be waited for, in an order that leads back to where it began.
const COMMANDS: [(&str, &str); 6] = [
    ("start service", "service start/running, process P"),
    ("restart service", "service start/running, process P"),
    ("stop service", "service stop/waiting"),
    ("start broken", "! start: Job failed to start\n[exit 1]"),
    ("initctl emit go", ""),
    ("initctl emit break", "! initctl: Event failed\n[exit 1]"),
];

#[test]
fn a_waiting_client_gets_its_answer_from_another_manager() {
    let Some(world) = machine(setup()) else { return };
    let replaced = |replace: &dyn Fn()| {
        let before = world.manager().outside;
        replace();
        until("there is another manager", || world.manager_of(world.init()).is_some_and(|now| now.outside != before));
    };
    for replace in [&|| world.kill(world.manager().outside, Signal::SIGKILL), &|| {
        assert_eq!(world.run("telinit", &["u"]).status, 0);
    }] as [&dyn Fn(); 2]
    {
        for (line, expected) in COMMANDS {
            let waiting = Waiting::begin(&world, line);
            replaced(replace);
            waiting.ends(&world, expected);
        }
        assert_eq!(Shell::root(&world).says("stop service"), "service stop/waiting");
    }
}

/// What is answered at once, or when files have been read; no change of the state stands behind some of these.
const QUESTIONS: [(&str, &str); 6] = [
    ("initctl reload-configuration", ""),
    ("initctl list", "broken stop/waiting\nservice stop/waiting"),
    ("initctl log-priority message", ""),
    ("initctl show-config broken", "broken\n  start on break"),
    ("initctl notify-disk-writeable", ""),
    ("telinit q", ""),
];

/// Kills at any moment of a call, the taking of it, the answering and the coming back included.
#[test]
fn kills_at_random_moments_lose_no_answer() {
    kill_during(&COMMANDS);
}

#[test]
fn kills_at_random_moments_lose_no_question() {
    kill_during(&QUESTIONS);
}

fn kill_during(lines: &[(&str, &str)]) {
    let Some(world) = machine(setup()) else { return };
    world.write("/run/test/go", "");
    let shell = Shell::root(&world);
    let mut random = 0x9e37_79b9_u32;
    for round in 0..ROUNDS {
        for (line, expected) in lines {
            // xorshift: any will do, but the same each time.
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let spins = random % 8192;
            let mut command = shell.command(line);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            for _ in 0..spins {
                std::thread::yield_now();
                let _ = fs::read_link("/proc/self/exe");
            }
            let manager = world.manager().outside;
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(manager), Signal::SIGKILL);
            let answer = Answer::from(child.wait_with_output().unwrap());
            assert_eq!(transcript(&answer), *expected, "$ {line} (round {round}, {spins} spins)\n{}", world.printed());
        }
        let _ = shell.says("stop service");
        assert_eq!(shell.says("status service"), "service stop/waiting", "round {round}");
    }
}
