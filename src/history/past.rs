//! A whole journal, read: the state that its frames go on from, and the frames.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use journal::{FileStorage, Frame, Look, OpenError, Reach, Severity, Storage, look};
use machine::effect::Nobody;
use machine::state::State;
use record::{CodecError, Turn};

use crate::bundle::{self, BundleError};
use crate::moment::Moment;
use crate::replay::replay;
use crate::source::Source;

/// Why the past cannot be told.
#[derive(Debug)]
pub enum PastError {
    /// The journal cannot be opened or read.
    Journal(PathBuf, OpenError),
    /// A file or directory cannot be read or written.
    Io(PathBuf, io::Error),
    /// An exported file is none.
    Bundle(PathBuf, BundleError),
    /// There is nothing that could be a journal.
    NoJournal(PathBuf),
    /// There is one, so damaged that nothing of it can be read.
    Unreadable(PathBuf),
    /// The checkpoint cannot be read.
    Checkpoint(u64, CodecError),
    /// A frame cannot be read.
    Frame(u64, CodecError),
    /// The journal begins after the moment.
    TooEarly {
        /// The first moment of which the state is known.
        first: u64,
    },
    /// A time was given, but the frames do not say when they were written.
    NoTimes,
    /// There is no such job in the journal.
    NoJob(String),
    /// There is no log of this name; perhaps there are logs of these instances.
    NoLog(PathBuf, Vec<String>),
    /// There is no crash of this number.
    NoCrash(u64),
}

impl fmt::Display for PastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Bundle(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoJournal(path) => {
                write!(f, "{}: there is no journal; give the directory of one, or an exported file", path.display())
            }
            Self::Unreadable(path) => {
                write!(f, "{}: nothing of it can be read; `initjournal verify' tells what is damaged", path.display())
            }
            Self::Checkpoint(sequence, error) => write!(f, "checkpoint {sequence}: {error}"),
            Self::Frame(sequence, error) => write!(f, "frame {sequence}: {error}"),
            Self::TooEarly { first } => {
                write!(f, "the journal does not go back so far; the first state that it knows is that after {first}")
            }
            Self::NoTimes => f.write_str(
                "this journal was written by a version that did not write down the time; give the number of a frame",
            ),
            Self::NoLog(path, instances) if instances.is_empty() => {
                write!(f, "{}: there is no such log; has the job printed anything, to `console log'?", path.display())
            }
            Self::NoLog(path, instances) => {
                write!(f, "{}: there is no such log; there are those of {}", path.display(), instances.join(", "))
            }
            Self::NoCrash(number) => {
                write!(f, "there is no crash {number}; `initctl crashes' lists those that are kept")
            }
            Self::NoJob(job) => write!(f, "the journal knows no job {job}"),
        }
    }
}

impl std::error::Error for PastError {}

/// A journal's content.
#[derive(Debug)]
pub struct Past {
    /// The state that the frames go on from.
    pub base: State,
    /// The number that state stands at; 0 at the beginning.
    pub base_sequence: u64,
    /// What was found.
    pub look: Look,
    /// What comes with it, if it is an exported one or that of a crash.
    pub meta: Option<bundle::Meta>,
}

impl Past {
    /// Reads a journal.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(source: &Source, reach: Reach) -> Result<Self, PastError> {
        let path = source.path().to_path_buf();
        match source {
            Source::Directory(directory) => {
                let storage = storage(directory)?;
                let meta = <bundle::Meta as bundle::Beside>::beside(directory);
                Self::of_storage(&storage, reach, meta, path)
            }
            Source::File(file) => {
                let (storage, meta) = bundle::read(file)?;
                Self::of_storage(&storage, reach, Some(meta), path)
            }
        }
    }

    fn of_storage<S: Storage>(
        storage: &S,
        reach: Reach,
        meta: Option<bundle::Meta>,
        path: PathBuf,
    ) -> Result<Self, PastError> {
        let mut look = look(storage, reach).map_err(|error| PastError::Journal(path.clone(), error))?;
        if look.frames.is_empty() && look.checkpoint.is_none() && look.report.segments == 0 {
            let is_damaged = look.report.severity() >= Severity::Loss;
            return Err(if is_damaged { PastError::Unreadable(path) } else { PastError::NoJournal(path) });
        }
        let (base, base_sequence) = match look.checkpoint.take() {
            None => (State::default(), 0),
            Some(found) => {
                let state =
                    record::decode_state(&found.state).map_err(|error| PastError::Checkpoint(found.sequence, error))?;
                (state, found.sequence)
            }
        };
        Ok(Self { base, base_sequence, look, meta })
    }

    /// What somebody has to know who believes that this is all: that the rest is damaged.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let report = &self.look.report;
        (report.severity() >= Severity::Loss).then(|| {
            let last = report.last_sequence;
            format!("the journal is damaged: what came after frame {last} is lost (`initjournal verify' tells more)")
        })
    }

    /// The frames.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.look.frames
    }

    /// All turns, decoded one after the other. What cannot be decoded ends them: it would end a replay, too.
    pub fn turns(&self) -> impl Iterator<Item = Result<(u64, Turn), PastError>> {
        let mut is_over = false;
        self.look.frames.iter().map_while(move |frame| {
            if is_over {
                return None;
            }
            let turn = decode(frame);
            is_over = turn.is_err();
            Some(turn.map(|turn| (frame.sequence, turn)))
        })
    }

    /// How many frames are not after the moment. Times are those of the frames; where the clock was set back, the first
    /// time that is later counts.
    ///
    /// # Errors
    /// When the journal begins later, or does not know times.
    pub fn frames_until(&self, moment: Moment) -> Result<usize, PastError> {
        let frames = self.frames();
        match moment {
            Moment::End => return Ok(frames.len()),
            Moment::Sequence(sequence) => {
                if sequence < self.base_sequence {
                    return Err(PastError::TooEarly { first: self.base_sequence });
                }
                return Ok(frames.partition_point(|frame| frame.sequence <= sequence));
            }
            Moment::Wall(_) | Moment::Boot(_) => {}
        }
        for (index, frame) in frames.iter().enumerate() {
            let stamp =
                record::decode_stamp(&frame.payload).map_err(|error| PastError::Frame(frame.sequence, error))?;
            match moment.is_before(frame.sequence, stamp) {
                None => return Err(PastError::NoTimes),
                Some(true) if index == 0 && self.base_sequence > 0 => {
                    return Err(PastError::TooEarly { first: self.base_sequence });
                }
                Some(true) => return Ok(index),
                Some(false) => {}
            }
        }
        Ok(frames.len())
    }

    /// The state after the first `count` frames.
    ///
    /// # Errors
    /// When a frame cannot be read.
    pub fn state_after(&self, count: usize) -> Result<State, PastError> {
        replay(&self.base, &self.frames()[..count])
    }
}

/// The files of a journal, to be read.
///
/// # Errors
/// When there is no such directory, or it cannot be opened.
pub fn storage(directory: &Path) -> Result<FileStorage, PastError> {
    FileStorage::read_only(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => PastError::NoJournal(directory.to_path_buf()),
        _ => PastError::Io(directory.to_path_buf(), error),
    })
}

/// Decodes a frame.
///
/// # Errors
/// When it is not one that this program knows.
pub fn decode(frame: &Frame) -> Result<Turn, PastError> {
    record::decode_turn(&frame.payload).map_err(|error| PastError::Frame(frame.sequence, error))
}

/// Makes a turn true, as replay does.
pub fn apply(state: &mut State, turn: &Turn) {
    turn.changes.iter().for_each(|change| state.apply(change, &mut Nobody));
}
