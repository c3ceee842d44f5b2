//! Reading a whole journal without touching it, also while its writer goes on, and further back than recovery needs: from
//! the older of its two checkpoints, or from the beginning.

use std::io;

use crate::checkpoint::{CHECKPOINT_HEADER_BYTES, Checkpoint, CheckpointHeader, MAXIMUM_STATE_BYTES, checkpoint_name};
use crate::log::Frame;
use crate::segment::Name;
use crate::survey::{Survey, survey_from};
use crate::{Follower, OpenError, Report, Rule, Severity, Storage, StorageError};

/// How far back to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As recovery does: from the newest checkpoint.
    Present,
    /// As far as the journal goes.
    All,
    /// So far that the state after this frame can be made.
    To(u64),
}

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Offset of the frame's header in it, in bytes.
    pub offset: u64,
}

/// What a journal holds.
#[derive(Debug)]
pub struct Look {
    /// What the frames go on from; none when they go on from the beginning.
    pub checkpoint: Option<Checkpoint>,
    /// Every good frame after it, in order.
    pub frames: Vec<Frame>,
    /// Where each of them is.
    pub places: Vec<Place>,
    /// What an open would find, seen from that checkpoint.
    pub report: Report,
    pub(crate) survey: Survey,
}

impl Look {
    /// Goes on reading where this look has ended.
    #[must_use]
    pub fn follow(&self, storage: crate::FileStorage) -> Follower {
        Follower::behind(storage, self.survey.position)
    }
}

/// Looks at a journal. Changes nothing, takes no lock. A frame that its writer is in the middle of is not there yet.
///
/// # Errors
/// When a file cannot be read, or is of a newer format.
pub fn look<S: Storage>(storage: &S, reach: Reach) -> Result<Look, OpenError> {
    const LOOKS: usize = 16;
    let mut last: Option<Report> = None;
    let mut looks = 0;
    loop {
        looks += 1;
        match look_once(storage, reach) {
            // What the writer replaces meanwhile may look like a loss; a real one stays.
            Ok(found) if found.report.severity() >= Severity::Loss && looks < LOOKS => {
                if last.as_ref().is_some_and(|last| last.findings == found.report.findings) {
                    return Ok(found);
                }
                last = Some(found.report);
            }
            Err(OpenError::Storage(error)) if error.source.kind() == io::ErrorKind::NotFound && looks < LOOKS => {}
            other => return other,
        }
    }
}

fn look_once<S: Storage>(storage: &S, reach: Reach) -> Result<Look, OpenError> {
    let good = good_checkpoints(storage)?;
    let newest = good.first().copied().unwrap_or(0);
    let oldest = good.last().copied().unwrap_or(u64::MAX);
    // Zero is the beginning, which takes the older one's place while there is only one.
    let with_beginning = good.into_iter().chain([0]);
    let (bases, wanted): (Vec<u64>, u64) = match reach {
        Reach::Present => (vec![newest], 0),
        Reach::All => (with_beginning.rev().collect(), newest),
        Reach::To(sequence) => (with_beginning.filter(|base| *base <= sequence).collect(), sequence),
    };
    let mut best: Option<Survey> = None;
    for base in bases {
        let survey = survey_from(storage, None, base)?;
        let reached = survey.report.last_sequence;
        // A copy may begin with a checkpoint: then there is nothing before it that would lead to it.
        let is_base = base > 0 || survey.frames.first().is_some_and(|first| first.sequence <= oldest);
        let is_sound = is_base && !survey.report.applied(Rule::MissingBase) && reached >= wanted;
        if is_sound || best.as_ref().is_none_or(|best| best.report.last_sequence < reached) {
            best = Some(survey);
        }
        if is_sound {
            break;
        }
    }
    let mut survey = best.map_or_else(|| survey_from(storage, None, u64::MAX), Ok)?;
    if let Some((file, version)) = survey.newer.take() {
        return Err(OpenError::NewerVersion { file, found: version, supported: crate::FORMAT_VERSION });
    }
    let place = |&(segment, offset): &(u64, u64)| Place { segment, offset };
    Ok(Look {
        checkpoint: survey.checkpoint.take(),
        frames: std::mem::take(&mut survey.frames),
        places: survey.places.iter().map(place).collect(),
        report: survey.report.clone(),
        survey,
    })
}

/// Numbers of the checkpoints that verify, newest first.
fn good_checkpoints<S: Storage>(storage: &S) -> Result<Vec<u64>, StorageError> {
    let names = storage.list(false).map_err(StorageError::of("list", "."))?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| match Name::parse(name) {
            Name::Checkpoint(sequence) => Some(sequence),
            _ => None,
        })
        .collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let mut buffer = Vec::new();
    let mut good = Vec::new();
    for sequence in numbers {
        let name = checkpoint_name(sequence);
        let limit = (CHECKPOINT_HEADER_BYTES + MAXIMUM_STATE_BYTES + 1) as u64;
        storage.read(&name, limit, &mut buffer).map_err(StorageError::of("read", &name))?;
        if CheckpointHeader::parse(&buffer).is_ok_and(|header| header.position.sequence == sequence) {
            good.push(sequence);
        }
    }
    Ok(good)
}
