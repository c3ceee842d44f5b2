//! The program `init-history`: the archive itself, and the commands of `initctl` that ask for the past.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use journal::Reach;

use super::ingest::{Archivist, IngestError, Progress};
use super::serve::{Answer, Question, ask, serve};
use super::show;
use super::store::{Limits, Store, now_us};
use super::together::{Told, Witnesses};
use crate::log::{self, Wanted};
use crate::moment::{Clock, Moment, span_us};
use crate::past::{Past, PastError};
use crate::source::{SYSTEM_ARCHIVE, SYSTEM_JOURNAL, Source, session_journal};
use crate::{boot, crashes, metrics};

/// How often the journal is looked at while nothing happens.
const IDLE: Duration = Duration::from_millis(200);
/// How often a journal that is not there is looked for.
const ABSENT: Duration = Duration::from_secs(2);
/// How often the limits are looked at.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Lines that a command shows unless it is told otherwise.
const LINES: usize = 1000;

/// Keep the past of an init, and answer questions about it.
#[derive(Debug, Parser)]
#[command(name = "init-history", version, max_term_width = 100, disable_help_subcommand = true)]
struct Tool {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Option<Command>,
    /// Keep nothing that is older
    #[arg(long, value_name = "TIME", default_value = "90 days", value_parser = time)]
    max_age: u64,
    /// Keep no more than so many megabytes of changes
    #[arg(long, value_name = "MEGABYTES", default_value_t = 256)]
    max_size: u64,
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the journal; without it, that of this session's init, or the system's
    #[arg(long, value_name = "DIR", global = true)]
    journal: Option<PathBuf>,
    /// Directory of the archive; /var/lib/stayup/history, or stayup/history in $XDG_STATE_HOME for a session
    #[arg(long, value_name = "DIR", global = true)]
    archive: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Span {
    /// Not before this time, such as "4 hours ago"
    #[arg(long, value_name = "TIME", value_parser = Moment::parse_wall)]
    since: Option<u64>,
    /// Not after this time
    #[arg(long, value_name = "TIME", value_parser = Moment::parse_wall)]
    until: Option<u64>,
}

#[derive(Debug, Args)]
struct View {
    /// So many lines, the newest ones
    #[arg(long, value_name = "NUMBER", default_value_t = LINES)]
    lines: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Print, instead of showing it in $PAGER
    #[arg(long)]
    no_pager: bool,
}

impl View {
    fn colours(&self) -> bool {
        io::stdout().is_terminal()
    }

    fn is_plain(&self) -> bool {
        self.no_pager || self.json || !io::stdout().is_terminal()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what jobs have done (`initctl history`)
    History {
        /// The job, or JOB/INSTANCE
        job: Option<String>,
        /// Of this boot only: 0 is the present one, -1 the one before
        #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
        boot: Option<i64>,
        #[command(flatten)]
        span: Span,
        /// Failures only
        #[arg(long)]
        failed: bool,
        #[command(flatten)]
        view: View,
    },
    /// Show what a job has printed, with what has happened to it between the lines (`initctl log`)
    Log {
        /// The job, or JOB/INSTANCE
        job: String,
        #[command(flatten)]
        span: Span,
        #[command(flatten)]
        view: View,
        /// Directory of the logs, if init was told another one
        #[arg(long, value_name = "DIR")]
        logdir: Option<PathBuf>,
    },
    /// Print figures in OpenMetrics text (`initctl metrics`)
    Metrics,
    /// List the crashes that init has come back from and kept (`initctl crashes`)
    Crashes {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make one file of a crash, for a bug report (`initctl crash-report`)
    CrashReport {
        /// Which crash
        number: u64,
        /// The file to make; stayup-crash-NUMBER.tar.gz unless given
        file: Option<PathBuf>,
        /// Leave the values of environment variables in
        #[arg(long)]
        with_values: bool,
    },
    /// Tell when each job of this boot began to start and ran (`initctl boot`)
    Boot {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Tell which boots the archive knows (`initctl boots`)
    Boots {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

fn time(text: &str) -> Result<u64, String> {
    span_us(text).ok_or_else(|| "not a length of time, such as \"90 days\"".into())
}

/// Runs the program; returns its exit status.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let tool = match Tool::try_parse_from(arguments) {
        Ok(tool) => tool,
        Err(error) => {
            // A reader of the help who has gone away is no trouble.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 1 } else { 0 });
        }
    };
    let result = match tool.command {
        None => archive(&tool.place, Limits { age_us: tool.max_age, bytes: tool.max_size << 20 }),
        Some(command) => past(&tool.place, command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("init-history: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Place {
    /// The journal, and the pid of its keeper.
    fn journal(&self) -> (PathBuf, u32) {
        let session = std::env::var("UPSTART_SESSION").ok().filter(|address| !address.is_empty());
        let pid = session.as_deref().and_then(|address| address.rsplit('/').next()?.split(',').next()?.parse().ok());
        let found = session.as_deref().and_then(session_journal).unwrap_or_else(|| SYSTEM_JOURNAL.into());
        let named = self.journal.as_deref().map(|path| Source::of(path).path().to_path_buf());
        (named.unwrap_or(found), pid.unwrap_or(1))
    }

    fn archive(&self) -> PathBuf {
        if let Some(archive) = &self.archive {
            return archive.clone();
        }
        if !self.is_session() {
            return SYSTEM_ARCHIVE.into();
        }
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/state");
        std::env::var_os("XDG_STATE_HOME").map_or_else(home, PathBuf::from).join("stayup/history")
    }

    fn is_session(&self) -> bool {
        std::env::var_os("UPSTART_SESSION").is_some_and(|address| !address.is_empty())
    }

    fn socket(&self) -> PathBuf {
        self.archive().join("socket")
    }

    fn ask<T>(&self, question: impl FnOnce(&Witnesses<'_>) -> T) -> T {
        let (socket, journal) = (self.socket(), self.journal().0);
        question(&Witnesses { socket: &socket, journal: &journal })
    }
}

/// Archives, until it is killed.
fn archive(place: &Place, limits: Limits) -> Result<(), String> {
    let directory = place.archive();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(|error| format!("{}: {error}", directory.display()))?;
    let (store, aside) = Store::open(&directory.join("database")).map_err(|error| error.to_string())?;
    if let Some(aside) = aside {
        eprintln!("init-history: the archive was damaged; it is set aside as {}, a new one begins", aside.display());
    }
    let store = Arc::new(store);
    let (socket, shared) = (place.socket(), Arc::clone(&store));
    std::thread::spawn(move || {
        if let Err(error) = serve(&socket, &shared) {
            eprintln!("init-history: {}: {error}; nobody can ask", socket.display());
        }
    });
    let (journal, keeper) = place.journal();
    let mut archivist = Archivist::new(&journal, keeper, start_time_ticks(keeper));
    let mut pruned: Option<Instant> = None;
    let mut complained = false;
    loop {
        match archivist.step(&store) {
            Ok(Progress::More) => complained = false,
            Ok(Progress::Idle) => std::thread::sleep(IDLE),
            Err(IngestError::Journal(error)) => {
                if !complained {
                    eprintln!("init-history: {error}; trying again");
                    complained = true;
                }
                std::thread::sleep(ABSENT);
            }
            // The next start opens the database anew, and sets it aside if it must.
            Err(IngestError::Store(error)) => return Err(error.to_string()),
        }
        if pruned.is_none_or(|at| at.elapsed() > PRUNE_INTERVAL) {
            let more = store.prune(&limits, now_us()).map_err(|error| error.to_string())?;
            pruned = (!more).then(Instant::now);
        }
    }
}

/// When a process was started, in clock ticks since boot: field 22 of proc_pid_stat(5); 0 if it is not there.
fn start_time_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field, a name in parentheses, may hold anything.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(19).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Answers a question about the past.
fn past(place: &Place, command: Command) -> Result<(), String> {
    let told = |error: PastError| error.to_string();
    match command {
        Command::Metrics => show::page(&figures(place).map_err(told)?, true),
        Command::Crashes { json } => {
            show::page(&crashes::text(&crashes::list(&place.journal().0), json, &Clock::default()), true)
        }
        Command::CrashReport { number, file, with_values } => {
            let file = file.unwrap_or_else(|| format!("stayup-crash-{number}.tar.gz").into());
            let meta = crashes::report(&place.journal().0, number, &file, with_values).map_err(told)?;
            let left_out = if meta.is_redacted { "; the values of environment variables are left out" } else { "" };
            show::page(&format!("{}: the journal up to frame {}{left_out}\n", file.display(), meta.last_sequence), true)
        }
        Command::Boot { json } => {
            let past = Past::open(&Source::Directory(place.journal().0), Reach::All);
            let boot = past.and_then(|past| boot::boot(&past)).map_err(told)?;
            show::page(&if json { boot.json() } else { boot.table() }, true)
        }
        Command::Boots { json } => {
            let Told { found, remark } = place.ask(|witnesses| witnesses.boots())?;
            tell(remark);
            show::page(&show::boots(&found, json), true)
        }
        Command::History { job, boot, span, failed, view } => {
            let (job, instance) = job.as_deref().map_or((None, None), named);
            let (since_us, until_us) = (span.since, span.until);
            let lines = Some(view.lines);
            let question = Question { boots: false, job, instance, boot, since_us, until_us, failed, lines };
            let Told { found, remark } = place.ask(|witnesses| witnesses.history(&question))?;
            tell(remark);
            show::page(&show::history(&found, view.json, view.colours()), view.is_plain())
        }
        Command::Log { job, span, view, logdir } => {
            let (job, instance) = named(&job);
            let job = job.unwrap_or_default();
            let directory = logdir.unwrap_or_else(|| log::directory(place.is_session()));
            let wanted = Wanted { lines: view.lines, since_us: span.since, until_us: span.until };
            // The init has made its own absolute, too.
            let directory = std::path::absolute(&directory).unwrap_or(directory);
            let notes = record::log_notes(place.is_session(), &directory);
            let lines = log::read(&directory, &notes, &job, instance.as_deref(), wanted).map_err(told)?;
            let question = Question {
                job: Some(job),
                instance: Some(instance.unwrap_or_default()),
                since_us: span.since,
                until_us: span.until,
                lines: Some(view.lines),
                ..Question::default()
            };
            let found = match place.ask(|witnesses| witnesses.history(&question)) {
                Ok(Told { found, remark }) => {
                    tell(remark);
                    found
                }
                // Lines are there without them, too.
                Err(why) => {
                    tell(Some(why));
                    Vec::new()
                }
            };
            show::page(&show::log(&log::merge(lines, found), view.json, view.colours()), view.is_plain())
        }
    }
}

/// Why something may be missing.
fn tell(remark: Option<String>) {
    if let Some(remark) = remark {
        eprintln!("init-history: {remark}");
    }
}

/// `JOB` or `JOB/INSTANCE`.
fn named(text: &str) -> (Option<String>, Option<String>) {
    match text.split_once('/') {
        Some((job, instance)) => (Some(job.to_owned()), Some(instance.to_owned())),
        None => (Some(text.to_owned()), None),
    }
}

/// The figures of the journal's end, with what the archive counts of the newest boot, if one runs.
fn figures(place: &Place) -> Result<String, PastError> {
    let journal = place.journal().0;
    let past = Past::open(&Source::Directory(journal.clone()), Reach::Present)?;
    let state = past.state_after(past.frames().len())?;
    let boots = ask(&place.socket(), &Question { boots: true, ..Question::default() }).unwrap_or_default();
    let boot = boots.iter().find_map(|answer| match answer {
        Answer::Boot(0, _, boot) => Some(boot),
        _ => None,
    });
    let times = journal.parent().and_then(|beside| fs::read(beside.join(record::TURN_TIMES)).ok());
    let times = times.and_then(|text| serde_json::from_slice(&text).ok());
    let found = metrics::Found { past: &past, state: &state, crashes: &crashes::list(&journal), boot, times };
    Ok(metrics::text(&found))
}
