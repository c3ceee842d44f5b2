//! The command line of `stayup-crashlab`, and what is printed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ::manager::conf;
use control::options::{CommandLine, OptionSpec, describe};

use crate::bundle::Beginning;
use crate::campaign::{Campaign, Report, run as run_campaign};
use crate::check;
use crate::play::{Script, play};
use crate::{fuzz_journal, live};

/// Exit statuses: nothing found; a promise was broken; wrong use, or something is not there.
const FOUND: u8 = 1;
const TROUBLE: u8 = 2;

/// How long a directory of job files may take to be read.
pub(crate) const READING: Duration = Duration::from_secs(10);

const fn option(long: &'static str, value: Option<&'static str>, help: &'static str) -> OptionSpec {
    OptionSpec { short: None, long, value, help }
}

const OPTIONS: &[OptionSpec] = &[
    option("confdir", Some("DIR"), "sim, live: use the job files in DIR (may be repeated)"),
    option("bundle", Some("PATH"), "sim: begin with the journal of a crash (initctl crash-report), or another one"),
    option("seed", Some("S"), "sim: begin with this seed (default 1)"),
    option("seeds", Some("N"), "sim: so many seeds (default 1000, or 1 with --trace)"),
    option("crashes", Some("N"), "sim: stop after so many crashes"),
    option("minutes", Some("M"), "sim, live: stop after so many minutes (default 10, live 60)"),
    option("threads", Some("N"), "sim: play so many seeds at a time (default 1)"),
    option("trace", None, "sim: tell every step"),
    option("kills", Some("N"), "live: kill manager and keeper so many times (default 100)"),
    option("json", None, "sim, live: print the result as JSON"),
    option("help", None, "print this text and exit"),
    option("version", None, "print the version and exit"),
];

const USAGE: &str = "\
Usage: stayup-crashlab sim [OPTION]...
       stayup-crashlab live [OPTION]...
       stayup-crashlab fuzz-journal FILE...
Crash Stayup wherever it can be crashed, and see whether it keeps its promises. Exit with 1 if it does not.

sim           the real manager and journal in a simulated world; what happens follows from a seed
live          a real session init with real processes, whose manager and keeper are killed again and again
fuzz-journal  replay a journal (a directory, or segment and checkpoint files) and say what would be recovered
";

/// Runs the program.
#[must_use]
pub fn run(words: Vec<OsString>) -> ExitCode {
    let result = CommandLine::parse(words, OPTIONS).map_err(misused).and_then(|line| dispatch(&line));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FOUND),
        Err(text) => {
            eprintln!("stayup-crashlab: {text}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn dispatch(line: &CommandLine) -> Result<bool, String> {
    if line.has("help") {
        print!("{USAGE}{}", describe(OPTIONS));
        return Ok(true);
    }
    if line.has("version") {
        println!("stayup-crashlab {}", env!("CARGO_PKG_VERSION"));
        return Ok(true);
    }
    match line.words.split_first() {
        Some((command, [])) if command == "sim" => simulate(line),
        Some((command, [])) if command == "live" => live_run(line),
        Some((command, files)) if command == "fuzz-journal" && !files.is_empty() => {
            for file in files {
                print!("{}", fuzz_journal::replay(file.as_ref())?);
            }
            Ok(true)
        }
        Some((command, _)) => Err(misused(format!("cannot make sense of the command: {command}"))),
        None => Err(misused("no command")),
    }
}

fn misused(what: impl std::fmt::Display) -> String {
    format!("{what}\nTry `stayup-crashlab --help' for more information.")
}

fn number<T: FromStr>(line: &CommandLine, name: &str, default: T) -> Result<T, String> {
    match line.value(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| misused(format!("--{name}: not a number: {text}"))),
    }
}

fn minutes(line: &CommandLine, default: f64) -> Result<Duration, String> {
    let minutes: f64 = number(line, "minutes", default)?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| misused(format!("--minutes: not a time: {minutes}")))
}

fn directories(line: &CommandLine) -> Result<Vec<PathBuf>, String> {
    let found: Vec<PathBuf> = line.values("confdir").map(PathBuf::from).collect();
    match found.iter().find(|path| !path.is_dir()) {
        Some(path) => Err(format!("{}: not a directory", path.display())),
        None => Ok(found),
    }
}

/// The command `sim`.
fn simulate(line: &CommandLine) -> Result<bool, String> {
    let directories = directories(line)?;
    let jobs = (!directories.is_empty()).then(|| {
        conf::read_all(&directories, None, READING)
            .0
            .into_iter()
            .map(|class| (class.name.clone(), class))
            .collect::<BTreeMap<_, _>>()
    });
    let beginning = line.value("bundle").map(|path| Beginning::read(path.as_ref())).transpose()?;
    if let Some(beginning) = &beginning {
        eprintln!("beginning with {}", beginning.title);
    }
    let jobs = jobs.or_else(|| beginning.as_ref().map(Beginning::jobs));
    if jobs.as_ref().is_some_and(BTreeMap::is_empty) {
        return Err("there is no job file that init would take".into());
    }
    let has_lines = line.has("trace");
    let script = Script { jobs, beginning, has_lines, ..Script::default() };
    let campaign = Campaign {
        first_seed: number(line, "seed", 1)?,
        seeds: number(line, "seeds", if has_lines { 1 } else { 1_000 })?,
        crashes: line.value("crashes").map(|_| number(line, "crashes", 0)).transpose()?,
        time: minutes(line, 10.0)?,
        threads: number(line, "threads", 1)?,
        twice: 64,
    };
    let told = Mutex::new(Instant::now());
    let progress = |report: &Report| {
        let Ok(mut told) = told.try_lock() else { return };
        if stderr().is_terminal() && told.elapsed() >= Duration::from_millis(200) {
            *told = Instant::now();
            eprint!("\r{} seeds, {} crashes, {:.0} s ", report.seeds, report.crashes, report.took.as_secs_f64());
        }
    };
    let report = run_campaign(&campaign, &script, &progress)?;
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    if has_lines {
        print_trace(&campaign, &script)?;
    }
    let text = if line.has("json") { json(&campaign, &report) } else { words(&campaign, &report, &script) };
    print!("{text}");
    Ok(report.violation.is_none())
}

/// Every step of the seeds that were played; played once more, since only the last one of many is of interest.
fn print_trace(campaign: &Campaign, script: &Script) -> Result<(), String> {
    for seed in campaign.first_seed..campaign.first_seed.saturating_add(campaign.seeds.min(16)) {
        let outcome = play(seed, script, check::all())?;
        for (name, text) in &outcome.texts {
            println!("# {name}.conf\n{text}");
        }
        print!("{}", outcome.lines.unwrap_or_default());
        let _ = std::io::stdout().flush();
    }
    Ok(())
}

fn words(campaign: &Campaign, report: &Report, script: &Script) -> String {
    let seconds = report.took.as_secs_f64();
    let last = campaign.first_seed + report.seeds.saturating_sub(1);
    let mut text = format!(
        "seeds            {} ({} to {last})\ncrashes          {} ({} of them during recovery)\nplaces to crash  {}\ntime             {seconds:.1} s, {:.0} crashes a second\n",
        report.seeds,
        campaign.first_seed,
        report.crashes,
        report.in_recovery,
        report.steps,
        report.crashes as f64 / seconds.max(0.001),
    );
    match &report.violation {
        None => text.push_str("violations       none\n"),
        Some(found) => {
            let what =
                found.violation.as_ref().map_or_else(String::new, |one| format!("{}: {}", one.promise, one.what));
            let own = match (&script.beginning, &script.jobs) {
                (Some(_), _) => " with the same --bundle and --confdir",
                (None, Some(_)) => " with the same --confdir",
                (None, None) => "",
            };
            text.push_str(&format!(
                "VIOLATION        {what}\nsee it           stayup-crashlab sim --seed {} --trace{own}\n",
                found.seed
            ));
        }
    }
    text
}

fn json(campaign: &Campaign, report: &Report) -> String {
    let found = report.violation.as_ref().and_then(|outcome| outcome.violation.as_ref().map(|one| (outcome.seed, one)));
    let violation = found.map_or("null".to_owned(), |(seed, one)| {
        format!(r#"{{"seed":{seed},"promise":{},"what":{}}}"#, quoted(one.promise), quoted(&one.what))
    });
    format!(
        "{{\"first_seed\":{},\"seeds\":{},\"crashes\":{},\"crashes_in_recovery\":{},\"steps\":{},\"seconds\":{:.3},\"violation\":{violation}}}\n",
        campaign.first_seed,
        report.seeds,
        report.crashes,
        report.in_recovery,
        report.steps,
        report.took.as_secs_f64(),
    )
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let escape = |letter: char| match letter {
        '"' | '\\' => format!("\\{letter}"),
        letter if letter.is_control() => format!("\\u{:04x}", u32::from(letter)),
        letter => letter.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// The command `live`.
fn live_run(line: &CommandLine) -> Result<bool, String> {
    let plan = live::Plan {
        directories: directories(line)?,
        kills: number(line, "kills", 100)?,
        time: minutes(line, 60.0)?,
        seed: number(line, "seed", 1)?,
    };
    let result = live::run(&plan)?;
    print!("{}", if line.has("json") { result.json() } else { result.words() });
    Ok(result.is_good())
}
