//! Questions about the past, over a socket: one question, a line of JSON each way, and then lines until the end.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind};
use super::store::{Boot, Run, Store, StoreError};

/// A client that does not go on is left after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question is no longer than this, in bytes.
const QUESTION_BYTES: u64 = 64 * 1024;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// The boots, and nothing else.
    pub boots: bool,
    /// Of this job only.
    pub job: Option<String>,
    /// Of this instance only.
    pub instance: Option<String>,
    /// Of this boot only: 0 is the newest, -1 the one before it.
    pub boot: Option<i64>,
    /// Not before this time, in microseconds since 1970.
    pub since_us: Option<u64>,
    /// Not after this one.
    pub until_us: Option<u64>,
    /// Failures only.
    pub failed: bool,
    /// So many lines, the newest ones; all if none.
    pub lines: Option<usize>,
}

impl Question {
    /// Whether this line is wanted, but for its boot and the number of lines.
    #[must_use]
    pub fn takes(&self, entry: &Entry) -> bool {
        self.job.as_ref().is_none_or(|job| *job == entry.job)
            && self.instance.as_ref().is_none_or(|instance| *instance == entry.instance)
            && self.since_us.is_none_or(|since| entry.time_us >= since)
            && self.until_us.is_none_or(|until| entry.time_us <= until)
            && (!self.failed || entry.kind == Kind::Failed)
    }
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Something that happened; newest first.
    Entry(Entry),
    /// A boot: which one, its boot id, what is known of it; newest first.
    Boot(i64, String, Boot),
    /// The question cannot be answered.
    Refused(String),
    /// That was all.
    End,
}

/// Answers whoever connects, one after the other, for ever.
///
/// # Errors
/// When the socket cannot be made, or accepts nobody any longer.
pub fn serve(path: &Path, store: &Store) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    for stream in listener.incoming() {
        // What goes wrong with one client is its own affair.
        let _ = answer(&stream?, store);
    }
    Ok(())
}

fn answer(stream: &UnixStream, store: &Store) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(QUESTION_BYTES)).read_line(&mut line)?;
    let mut out = BufWriter::new(stream);
    let mut say = |answer: &Answer| -> io::Result<()> {
        serde_json::to_writer(&mut out, answer)?;
        out.write_all(b"\n")
    };
    match serde_json::from_str::<Question>(&line) {
        Err(error) => say(&Answer::Refused(format!("not a question: {error}")))?,
        Ok(question) => match tell(&question, store, &mut say) {
            Ok(told) => told?,
            Err(error) => say(&Answer::Refused(error.to_string()))?,
        },
    }
    say(&Answer::End)?;
    out.flush()
}

fn tell(
    question: &Question,
    store: &Store,
    say: &mut dyn FnMut(&Answer) -> io::Result<()>,
) -> Result<io::Result<()>, StoreError> {
    let boots = store.boots()?;
    if question.boots {
        for (back, (run, boot)) in boots.into_iter().rev().enumerate() {
            if let Err(error) = say(&Answer::Boot(-(back as i64), run.boot_id(), boot)) {
                return Ok(Err(error));
            }
        }
        return Ok(Ok(()));
    }
    let wanted: Option<Option<Run>> = question.boot.map(|number| {
        let back = usize::try_from(number.unsigned_abs()).ok()?;
        boots.iter().rev().nth(back).map(|(run, _)| *run)
    });
    if wanted == Some(None) {
        return Ok(say(&Answer::Refused(format!("there is no boot {}", question.boot.unwrap_or_default()))));
    }
    let mut left = question.lines.unwrap_or(usize::MAX);
    for line in store.lines(question.job.as_deref()) {
        let (run, entry) = line?;
        if left == 0 || question.since_us.is_some_and(|since| entry.time_us < since) {
            break;
        }
        if wanted.is_none_or(|wanted| wanted == Some(run)) && question.takes(&entry) {
            left -= 1;
            if let Err(error) = say(&Answer::Entry(entry)) {
                return Ok(Err(error));
            }
        }
    }
    Ok(Ok(()))
}

/// Asks a running archive.
///
/// # Errors
/// When none listens there, or it does not answer to the end.
pub fn ask(path: &Path, question: &Question) -> io::Result<Vec<Answer>> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(format!("{}\n", serde_json::to_string(question)?).as_bytes())?;
    let mut answers = Vec::new();
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            Answer::End => return Ok(answers),
            answer => answers.push(answer),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
