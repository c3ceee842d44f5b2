//! The command line of `initjournal`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use journal::{Followed, Reach, Severity};
use machine::state::State;

use crate::at;
use crate::bundle;
use crate::damage::{self, Damage};
use crate::dump::Dump;
use crate::moment::{Clock, Moment};
use crate::names::Names;
use crate::past::{self, Past, PastError, decode};
use crate::select::Selection;
use crate::source::Source;
use crate::{dot, plot, stats, why};

/// Exit status where what was looked at is damaged, or differs.
const EXIT_FOUND: u8 = 1;
/// Exit status where it could not be looked at.
const EXIT_TROUBLE: u8 = 2;

/// How often a followed journal is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Read the journals of Stayup: what init has done, and when, and why.
#[derive(Debug, Parser)]
#[command(name = "initjournal", version, max_term_width = 100, disable_help_subcommand = true)]
struct Tool {
    #[command(subcommand)]
    command: Command,
}

/// The journal to read.
#[derive(Clone, Debug, Args)]
struct Journal {
    /// Directory of a journal or of a crash, or an exported file; without it, the journal of this session's init, or the
    /// system's
    #[arg(short, long, value_name = "PATH")]
    journal: Option<PathBuf>,
}

impl Journal {
    fn source(&self) -> Source {
        self.journal.as_deref().map_or_else(Source::of_surroundings, Source::of)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every change, in order
    Dump {
        #[command(flatten)]
        journal: Journal,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// Only changes of this job or instance (JOB or JOB/INSTANCE); may be repeated
        #[arg(long, value_name = "JOB")]
        job: Vec<String>,
        /// Only changes of events with this name; may be repeated
        #[arg(long, value_name = "EVENT")]
        event: Vec<String>,
        /// Only from this moment on
        #[arg(long, value_name = "MOMENT", value_parser = Moment::parse)]
        since: Option<Moment>,
        /// Only up to this moment
        #[arg(long, value_name = "MOMENT", value_parser = Moment::parse)]
        until: Option<Moment>,
        /// Go on with what comes, until interrupted
        #[arg(short, long)]
        follow: bool,
    },
    /// Check frames, checksums, links and the tail; the exit status is 1 if something is wrong
    Verify {
        #[command(flatten)]
        journal: Journal,
        /// Say nothing if all is well
        #[arg(short, long)]
        quiet: bool,
    },
    /// Print the whole state at a moment, as `initctl list` would have shown it
    State {
        #[command(flatten)]
        journal: Journal,
        /// The moment: the number of a frame, or a time
        #[arg(long, value_name = "MOMENT", value_parser = Moment::parse, default_value = "end")]
        at: Moment,
        /// Everything there is, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what changed between two moments; the exit status is 1 if something did
    Diff {
        #[command(flatten)]
        journal: Journal,
        /// The first moment
        #[arg(value_parser = Moment::parse)]
        from: Moment,
        /// The second one
        #[arg(value_parser = Moment::parse)]
        to: Moment,
    },
    /// Replay frame by frame and print the digest of the state after each
    Replay {
        #[command(flatten)]
        journal: Journal,
        /// Up to this moment
        #[arg(long, value_name = "MOMENT", value_parser = Moment::parse, default_value = "end")]
        until: Moment,
    },
    /// Tell what has led to the present state of a job, down to who asked
    Why {
        #[command(flatten)]
        journal: Journal,
        /// The job
        job: String,
        /// The instance
        instance: Option<String>,
    },
    /// Print what the journal is made of
    Stats {
        #[command(flatten)]
        journal: Journal,
    },
    /// Draw the past: a bar for each instance, time to the right
    Plot {
        #[command(flatten)]
        journal: Journal,
        /// A page with zoom and grouping instead of an SVG picture
        #[arg(long)]
        html: bool,
        /// Only this job or instance (JOB or JOB/INSTANCE); may be repeated
        #[arg(long, value_name = "JOB")]
        job: Vec<String>,
        /// Only from this moment on
        #[arg(long, value_name = "MOMENT", value_parser = Moment::parse)]
        since: Option<Moment>,
        /// Only up to this moment
        #[arg(long, value_name = "MOMENT", value_parser = Moment::parse)]
        until: Option<Moment>,
    },
    /// Draw who has started whom, as a graph for dot(1)
    Dot {
        #[command(flatten)]
        journal: Journal,
        /// What the job files say instead of what has happened
        #[arg(long)]
        files: bool,
    },
    /// Make a copy that ends in the middle, to test recovery
    Cut {
        #[command(flatten)]
        journal: Journal,
        /// The last whole frame of the copy
        #[arg(long, value_name = "SEQUENCE")]
        after: u64,
        /// So many bytes of the next frame are there, too
        #[arg(long, default_value_t = 0)]
        bytes: u64,
        /// The directory to make
        copy: PathBuf,
    },
    /// Make a copy in which one bit is wrong, to test recovery
    Flip {
        #[command(flatten)]
        journal: Journal,
        /// In the payload of this frame
        #[arg(long, value_name = "SEQUENCE", required_unless_present = "file", conflicts_with = "file")]
        frame: Option<u64>,
        /// In this file
        #[arg(long, value_name = "NAME")]
        file: Option<String>,
        /// Which bit, from the beginning of the payload or file
        #[arg(long, default_value_t = 0)]
        bit: u64,
        /// The directory to make
        copy: PathBuf,
    },
    /// Write a whole journal into one file
    Export {
        #[command(flatten)]
        journal: Journal,
        /// Leave the values of environment variables out
        #[arg(long)]
        redact: bool,
        /// The file to make
        file: PathBuf,
    },
    /// Make a directory of an exported file
    Import {
        /// The exported file
        file: PathBuf,
        /// The directory to make
        directory: PathBuf,
    },
}

/// Runs the program; returns its exit status.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let tool = match Tool::try_parse_from(arguments) {
        Ok(tool) => tool,
        Err(error) => {
            // A reader of the help who has gone away is no trouble.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_TROUBLE } else { 0 });
        }
    };
    match run(tool.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("initjournal: {error}");
            ExitCode::from(EXIT_TROUBLE)
        }
    }
}

fn run(command: Command) -> Result<u8, PastError> {
    let clock = Clock::default();
    match command {
        Command::Dump { journal, json, job: jobs, event: events, since, until, follow } => {
            let selection = Selection { jobs, events, since, until };
            dump(&journal.source(), &Dump { selection, json, clock }, follow)
        }
        Command::Verify { journal, quiet } => verify(&journal.source(), quiet),
        Command::State { journal, at, json } => {
            let past = open(&journal.source(), at::reach(at))?;
            print(&at::write(&state_at(&past, at, &clock)?, json))
        }
        Command::Diff { journal, from, to } => {
            let text = diff(&journal.source(), from, to, &clock)?;
            print(&text)?;
            Ok(if text.is_empty() { 0 } else { EXIT_FOUND })
        }
        Command::Replay { journal, until } => {
            let past = open(&journal.source(), Reach::All)?;
            at::replay(&past, until, &clock, &mut BufWriter::new(io::stdout().lock()))?;
            Ok(0)
        }
        Command::Why { journal, job, instance } => {
            let past = open(&journal.source(), Reach::All)?;
            print(&why::why(&past, &job, instance.as_deref(), &clock)?)
        }
        Command::Stats { journal } => print(&stats::text(&open(&journal.source(), Reach::All)?, &clock)?),
        Command::Plot { journal, html, job: jobs, since, until } => {
            let selection = Selection { jobs, since, until, ..Selection::default() };
            let chart = plot::chart(&open(&journal.source(), Reach::All)?, &selection)?;
            print(&if html { plot::html(&chart) } else { plot::svg(&chart, &clock) })
        }
        Command::Dot { journal, files: true } => {
            let past = open(&journal.source(), Reach::Present)?;
            print(&dot::of_job_files(&past.state_after(past.frames().len())?))
        }
        Command::Dot { journal, files: false } => print(&dot::of_past(&open(&journal.source(), Reach::All)?)?),
        Command::Cut { journal, after, bytes, copy } => {
            make_damaged(&journal.source(), &copy, &Damage::Cut { after, bytes })
        }
        Command::Flip { journal, frame, file, bit, copy } => {
            let damage = match (frame, file) {
                (Some(sequence), _) => Damage::FlipFrame { sequence, bit },
                (None, name) => Damage::FlipFile { name: name.unwrap_or_default(), bit },
            };
            make_damaged(&journal.source(), &copy, &damage)
        }
        Command::Export { journal, redact, file } => export(&journal.source(), redact, &file),
        Command::Import { file, directory } => {
            let meta = bundle::import(&file, &directory)?;
            let crash = meta.crash.map_or_else(String::new, |crash| format!("; it is that of {}", crash.reason));
            print(&format!("{}: the journal up to frame {}{crash}\n", directory.display(), meta.last_sequence))
        }
    }
}

/// Reads a journal, and says so if it is not all that it was.
fn open(source: &Source, reach: Reach) -> Result<Past, PastError> {
    let past = Past::open(source, reach)?;
    tell(past.remark().as_ref());
    Ok(past)
}

fn tell(remark: Option<&String>) {
    if let Some(remark) = remark {
        eprintln!("initjournal: {remark}");
    }
}

/// What changed between two moments. Each is looked for on its own: behind a damage, another way leads there than before it.
fn diff(source: &Source, from: Moment, to: Moment, clock: &Clock) -> Result<String, PastError> {
    let past = open(source, at::reach(from))?;
    let (before, remark) = (state_at(&past, from, clock)?, past.remark());
    let past = Past::open(source, at::reach(to))?;
    tell(past.remark().as_ref().filter(|other| remark.as_ref() != Some(*other)));
    Ok(at::diff(&before, &state_at(&past, to, clock)?))
}

/// The state at a moment; says so where the journal ends before it or begins after it.
fn state_at(past: &Past, moment: Moment, clock: &Clock) -> Result<State, PastError> {
    let last = past.look.report.last_sequence;
    if matches!(moment, Moment::Sequence(wanted) if wanted > last) {
        eprintln!("initjournal: the journal ends at frame {last}; this is the state there");
    }
    let count = past.frames_until(moment)?;
    let first = past.frames().first().filter(|_| count == 0 && matches!(moment, Moment::Wall(_) | Moment::Boot(_)));
    if let Some(stamp) = first.and_then(|first| decode(first).ok()?.stamp) {
        let (begin, boot_s) = (clock.full(stamp.wall_us), stamp.boot_us as f64 / 1e6);
        eprintln!("initjournal: the journal begins at {begin} (+{boot_s:.1}s); nothing is known of the time before");
    }
    past.state_after(count)
}

fn print(text: &str) -> Result<u8, PastError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(PastError::Io("standard output".into(), error)),
        _ => Ok(0),
    }
}

fn dump(source: &Source, dump: &Dump, follow: bool) -> Result<u8, PastError> {
    // Pieces of text that are larger than the buffer go out without being copied.
    let mut out = BufWriter::with_capacity(1 << 15, io::stdout().lock());
    let past = open(source, Reach::All)?;
    let mut names = Names::of(&past.base);
    dump.write(past.frames(), &mut names, &mut out)?;
    let Source::Directory(directory) = source else { return Ok(0) };
    if !follow {
        return Ok(0);
    }
    let storage = || past::storage(directory);
    let journal_error = |error| PastError::Journal(directory.clone(), error);
    let mut follower = past.look.follow(storage()?);
    drop(past);
    loop {
        let mut frames = Vec::new();
        match follower.read(&mut frames).map_err(|error| journal_error(error.into()))? {
            Followed::More => {}
            Followed::Idle => std::thread::sleep(FOLLOW_INTERVAL),
            Followed::Lost => {
                let last = follower.sequence();
                let past = open(source, Reach::All)?;
                if past.base_sequence > last {
                    eprintln!("initjournal: frames {} to {} are gone", last + 1, past.base_sequence);
                    names = Names::of(&past.base);
                }
                frames = past.frames().iter().filter(|frame| frame.sequence > last).cloned().collect();
                follower = past.look.follow(storage()?);
            }
        }
        dump.write(&frames, &mut names, &mut out)?;
    }
}

fn verify(source: &Source, quiet: bool) -> Result<u8, PastError> {
    let path = source.path();
    let journal_error = |error| PastError::Journal(path.to_path_buf(), error);
    let report = match source {
        Source::Directory(_) => journal::verify(&past::storage(path)?).map_err(journal_error)?,
        Source::File(file) => journal::verify_within(&bundle::read(file)?.0, Duration::ZERO).map_err(journal_error)?,
    };
    let is_empty = report.applied(journal::Rule::EmptyDirectory);
    if !(quiet && report.is_clean() && !is_empty) {
        let mut text: String = report.findings.iter().map(|finding| format!("{finding}\n")).collect();
        let since = report.checkpoint_sequence.map_or_else(String::new, |at| format!(" after the checkpoint at {at}"));
        let verdict = match report.severity() {
            _ if is_empty => "nothing there",
            Severity::Note => "sound",
            Severity::Repaired => "sound, but for what the next open puts in order",
            Severity::Loss => "damaged: frames are lost",
            Severity::Refused => "of a newer version",
        };
        text.push_str(&format!(
            "{}: {verdict}; {} frames{since}, up to {}, {} bytes in {} segment{}\n",
            path.display(),
            report.frames,
            report.last_sequence,
            report.frame_bytes,
            report.segments,
            if report.segments == 1 { "" } else { "s" }
        ));
        print(&text)?;
    }
    Ok(if report.is_clean() && !is_empty { 0 } else { EXIT_FOUND })
}

fn make_damaged(source: &Source, copy: &Path, what: &Damage) -> Result<u8, PastError> {
    let done = damage::damage(source, copy, what)?;
    print(&format!("{}: {done}\n", copy.display()))
}

fn export(source: &Source, redact: bool, file: &Path) -> Result<u8, PastError> {
    let past = open(source, Reach::All)?;
    let mut meta = bundle::describe(&past);
    let files = if redact {
        meta.is_redacted = true;
        bundle::redact(&past)?
    } else {
        bundle::files(source)?.0
    };
    bundle::write(file, &files, &meta)?;
    let size = fs::metadata(file).map(|metadata| metadata.len()).unwrap_or_default();
    print(&format!("{}: {} frames, {size} bytes\n", file.display(), past.frames().len()))
}
