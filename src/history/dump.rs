//! `initjournal dump`: every change on a line of its own.

use std::io::{self, Write};

use journal::Frame;
use machine::change::Change;
use record::Turn;

use crate::moment::Clock;
use crate::names::{JobName, Names};
use crate::past::{PastError, decode};
use crate::select::Selection;
use crate::words;

mod json;
mod whole;

/// The job that a change is about, and its instance if it is about one.
#[derive(Clone, Debug)]
struct Job {
    name: JobName,
    is_instance: bool,
}

/// How to write changes.
#[derive(Clone, Debug)]
pub struct Dump {
    /// What to write.
    pub selection: Selection,
    /// One JSON object a line instead of text for people.
    pub json: bool,
    /// For the times in the text.
    pub clock: Clock,
}

impl Dump {
    /// Writes the frames, in order; `names` is what is known before them, and afterwards what is known then.
    ///
    /// # Errors
    /// When a frame cannot be read; those before it are written. A reader that has gone away ends it without an error.
    pub fn write(&self, frames: &[Frame], names: &mut Names, out: &mut dyn Write) -> Result<(), PastError> {
        let written = if self.json && self.selection.is_everything() {
            whole::write(frames, names, out)
        } else {
            self.write_selected(frames, names, out)
        };
        match written {
            Ok(bad_frame) => bad_frame.map_or(Ok(()), Err),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(PastError::Io("standard output".into(), error)),
        }
    }

    fn write_selected(
        &self,
        frames: &[Frame],
        names: &mut Names,
        out: &mut dyn Write,
    ) -> io::Result<Option<PastError>> {
        let mut buffer = Vec::new();
        for frame in frames {
            let turn = match decode(frame) {
                Ok(turn) => turn,
                Err(error) => return Ok(Some(error)),
            };
            names.learn(&turn);
            if !self.selection.is_within(frame.sequence, &turn) {
                continue;
            }
            let wanted: Vec<&Change> =
                turn.changes.iter().filter(|change| self.selection.takes(change, names)).collect();
            if wanted.is_empty() && !self.selection.takes_origin(&turn.origin, names) {
                continue;
            }
            buffer.clear();
            if self.json {
                let prefix = prefix(frame.sequence, &turn);
                for (index, change) in wanted.into_iter().enumerate() {
                    line(&mut buffer, &prefix, (index == 0).then_some(&turn), job(change, names).as_ref(), change);
                }
            } else {
                self.text(&mut buffer, frame.sequence, &turn, &wanted, names);
            }
            out.write_all(&buffer)?;
        }
        out.flush()?;
        Ok(None)
    }

    fn text(&self, buffer: &mut Vec<u8>, sequence: u64, turn: &Turn, changes: &[&Change], names: &Names) {
        let time = turn.stamp.map_or_else(|| "-".into(), |stamp| self.clock.full(stamp.wall_us));
        let mut put = |mark: &str, text: &str| {
            // Text of jobs may hold anything; it is not to move the reader's cursor.
            let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            // A Vec takes everything.
            let _ = writeln!(buffer, "{sequence:>8} {time}{mark}{clean}");
        };
        put(" * ", &words::origin(&turn.origin, names));
        for change in changes {
            let text = words::change(change, names);
            match job(change, names) {
                Some(job) => put("   ", &format!("{}: {text}", job.name.title())),
                None => put("   ", &text),
            }
        }
    }
}

fn job(change: &Change, names: &Names) -> Option<Job> {
    if let Some(name) = names.subject(change).and_then(|number| names.instance(number)) {
        return Some(Job { name: name.clone(), is_instance: true });
    }
    let (class, instance) = names.job(change)?;
    Some(Job { name: JobName::new(class, instance.unwrap_or_default()), is_instance: instance.is_some() })
}

/// The beginning of each line of a turn.
fn prefix(sequence: u64, turn: &Turn) -> String {
    match turn.stamp {
        Some(stamp) => {
            format!("{{\"sequence\":{sequence},\"time_us\":{},\"boot_us\":{}", stamp.wall_us, stamp.boot_us)
        }
        None => format!("{{\"sequence\":{sequence}"),
    }
}

/// One line; with the turn, what it was taken for is told, too.
fn line(buffer: &mut Vec<u8>, prefix: &str, turn: Option<&Turn>, job: Option<&Job>, change: &Change) {
    buffer.extend_from_slice(prefix.as_bytes());
    // Writing into memory what has only strings as keys cannot fail.
    if let Some(turn) = turn {
        buffer.extend_from_slice(b",\"origin\":");
        let _ = serde_json::to_writer(&mut *buffer, &turn.origin);
    }
    if let Some(job) = job {
        whole::put_job(buffer, &job.name.class, job.is_instance.then_some(&*job.name.instance));
    }
    buffer.extend_from_slice(b",\"change\":");
    let _ = serde_json::to_writer(&mut *buffer, change);
    buffer.extend_from_slice(b"}\n");
}
