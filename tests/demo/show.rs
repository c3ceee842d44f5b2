//! The whole show, from an empty machine to the last look at it.

use crate::options::Options;
use crate::rounds::{self, KILLS, Round};
use crate::timeline::Timeline;
use std::io::BufRead as _;
use std::path::Path;
use testkit::{CONDITIONS, Machine, Scope, Setup, StartError, USER_HOME, programs, wait_for};

/// The job of the story in which xclock runs.
const XCLOCK_JOB: &str = "restart";

/// Plays it; gives what was found wrong.
pub(crate) fn run(options: &Options) -> Result<Vec<String>, StartError> {
    println!("building the programs, if they are not ...");
    programs();
    let mut timeline = Timeline::new();
    timeline.tell("demo", "makes a machine: its own processes, mounts and network");
    let setup = if options.xclock { xclock_setup() } else { Machine::setup() };
    let machine = Machine::start(setup)?;
    introduce(&machine, &timeline);
    let notices: Vec<_> = CONDITIONS.into_iter().filter(|(job, _)| !options.xclock || *job != XCLOCK_JOB).collect();
    rounds::play(&machine, Round::Telinit, &notices, &mut timeline);
    if options.xclock {
        look_for_xclock(&machine, &mut timeline);
    }
    rounds::play(&machine, Round::Telinit, &notices, &mut timeline);
    for round in KILLS.into_iter().filter(|_| options.kill) {
        rounds::play(&machine, round, &notices, &mut timeline);
    }
    if options.xclock {
        look_for_xclock(&machine, &mut timeline);
        println!("\nYou should now see xclock running! Press Enter to end.");
        let _ = std::io::stdin().lock().read_line(&mut String::new());
    }
    if let Some(directory) = &options.keep_journal {
        keep_journals(&machine, directory, &timeline);
    }
    conclude(machine, timeline)
}

/// Copies the journals out of the machine, while their writers go on.
fn keep_journals(machine: &Machine, directory: &Path, timeline: &Timeline) {
    for scope in Scope::BOTH {
        let copy = directory.join(scope.to_string()).join("journal");
        let copied = copy_files(&machine.world.path(&machine.journal(scope)), &copy);
        copied.unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
        timeline.tell("demo", format_args!("the {scope}'s journal is in {}", copy.display()));
    }
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn introduce(machine: &Machine, timeline: &Timeline) {
    let init = machine.world.init();
    timeline.tell(
        Scope::System,
        format_args!("init is 1 (outside: {init}), its manager {}", machine.manager(Scope::System).inside),
    );
    let session = machine.keeper_inside(Scope::Session);
    timeline.tell(
        Scope::Session,
        format_args!("init is {session}, its manager {}", machine.manager(Scope::Session).inside),
    );
    for scope in Scope::BOTH {
        let jobs: Vec<String> = machine.jobs(scope).iter().map(|(job, pid)| format!("{job} {pid}")).collect();
        timeline.tell(scope, format_args!("runs {}", jobs.join(", ")));
    }
    for (job, condition) in CONDITIONS {
        timeline.tell("user", format_args!("~/.config/upstart/{job}.conf: start on {condition}"));
    }
}

fn conclude(mut machine: Machine, mut timeline: Timeline) -> Result<Vec<String>, StartError> {
    timeline.title("the end");
    let before = machine.world.processes().len();
    machine.world.end();
    timeline.tell("demo", format_args!("ended the machine with its {before} processes"));
    timeline.check("nothing is left of it", machine.world.processes().is_empty());
    let problems = timeline.into_problems();
    if problems.is_empty() {
        println!("\nEverything that must be true was seen to be.");
    } else {
        println!("\n{} WRONG:", problems.len());
        problems.iter().for_each(|problem| println!("  not true: {problem}"));
        println!("--- init printed:\n{}---", machine.world.printed());
    }
    Ok(problems)
}

/// The machine in which the user's job runs xclock on our display.
fn xclock_setup() -> Setup {
    let display = std::env::var("DISPLAY").ok().filter(|display| !display.is_empty());
    let display = display.expect("--xclock needs a display, so set DISPLAY");
    let authority = std::env::var_os("XAUTHORITY")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::Path::new(&std::env::var_os("HOME")?).join(".Xauthority")));
    let own_authority = format!("{USER_HOME}/.Xauthority");
    let mut setup = Machine::setup_with(&[("DISPLAY", &display), ("XAUTHORITY", &own_authority)]);
    if let Some(cookie) = authority.and_then(|path| std::fs::read(path).ok()) {
        setup = setup.user_file(&own_authority, cookie);
    }
    setup
        .user_file(&format!("{USER_HOME}/.config/upstart/{XCLOCK_JOB}.conf"), "start on stopped re-exec\nexec xclock\n")
}

fn look_for_xclock(machine: &Machine, timeline: &mut Timeline) {
    let status = wait_for("xclock runs", || {
        let status = machine.initctl(Scope::Session, &["status", XCLOCK_JOB]).out;
        status.contains("start/running, process").then_some(status)
    });
    let pid = status.rsplit(' ').next().and_then(|pid| pid.parse().ok());
    let process = pid.and_then(|pid| machine.world.process(pid));
    timeline.check(format!("xclock runs: {status}"), process.is_some_and(|process| process.name == "xclock"));
}
