//! The fast way to JSON, for whole journals: texts stay in the frames, numbers become names in order, and all else is done by
//! threads besides.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, Scope};

use journal::Frame;
use record::{ChangeView, TurnView};

use super::json;
use crate::names::Names;
use crate::past::PastError;
use crate::telling::{About, Telling};

/// Frames that are dealt with together.
const BATCH: usize = 256;

/// Threads that make text.
const WRITERS: usize = 2;

/// Batches under way for each of them.
const DEPTH: usize = 2;

/// In place of the number of a name: the change says itself which job it is about, or it is about none.
const BY_ITSELF: u32 = u32::MAX;

/// Frames whose numbers have got their names.
struct Batch<'a> {
    turns: Vec<(u64, TurnView<'a>)>,
    /// For each change of all turns, which name.
    subjects: Vec<u32>,
    /// The names, as they are written.
    names: Vec<Vec<u8>>,
}

/// A thread that makes text of batches, in order.
struct Writer<'a> {
    batches: SyncSender<Batch<'a>>,
    texts: Receiver<Vec<u8>>,
    /// Buffers to be used once more: memory that is new costs more than what is written into it.
    empty: Sender<Vec<u8>>,
}

/// Writes all frames; the error is that of a frame that cannot be read, which ends it.
pub(super) fn write(frames: &[Frame], names: &mut Names, out: &mut dyn Write) -> io::Result<Option<PastError>> {
    thread::scope(|scope| {
        let writers: Vec<Writer<'_>> = (0..WRITERS).map(|_| Writer::start(scope)).collect();
        let mut bad_frame = None;
        let (mut begun, mut written) = (0, 0);
        for piece in frames.chunks(BATCH) {
            // No thread ever waits for room: each has as much as it can be given.
            if begun - written == WRITERS * DEPTH {
                writers[written % WRITERS].finish(out)?;
                written += 1;
            }
            let batch;
            (batch, bad_frame) = read(piece, names);
            // They end when we do.
            let _ = writers[begun % WRITERS].batches.send(batch);
            begun += 1;
            if bad_frame.is_some() {
                break;
            }
        }
        while written < begun {
            writers[written % WRITERS].finish(out)?;
            written += 1;
        }
        out.flush()?;
        Ok(bad_frame)
    })
}

impl<'a> Writer<'a> {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Self
    where
        'a: 'scope,
    {
        let (batches, received) = sync_channel::<Batch<'a>>(DEPTH);
        let (made, texts) = sync_channel(DEPTH);
        let (empty, empties) = channel::<Vec<u8>>();
        scope.spawn(move || {
            for batch in received {
                let mut buffer = empties.try_recv().unwrap_or_default();
                buffer.clear();
                format(&batch, &mut buffer);
                if made.send(buffer).is_err() {
                    return;
                }
            }
        });
        Self { batches, texts, empty }
    }

    /// Writes the next text of this thread.
    fn finish(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Ok(text) = self.texts.recv() {
            out.write_all(&text)?;
            let _ = self.empty.send(text);
        }
        Ok(())
    }
}

/// Reads frames, and finds out who is meant in them.
fn read<'a>(frames: &'a [Frame], names: &mut Names) -> (Batch<'a>, Option<PastError>) {
    let mut batch = Batch { turns: Vec::with_capacity(frames.len()), subjects: Vec::new(), names: Vec::new() };
    // Numbers of instances are never used twice.
    let mut known: HashMap<u64, u32> = HashMap::new();
    // Most changes are about the same one as the change before.
    let mut last = None;
    for frame in frames {
        let turn = match record::view_turn(&frame.payload) {
            Ok(turn) => turn,
            Err(error) => return (batch, Some(PastError::Frame(frame.sequence, error))),
        };
        names.learn_from(&turn.changes);
        for change in &turn.changes {
            let subject = names.subject(change).map_or(BY_ITSELF, |number| {
                if let Some((_, subject)) = last.filter(|(known, _)| *known == number) {
                    return subject;
                }
                let subject = *known.entry(number).or_insert_with(|| {
                    let Some(name) = names.instance(number) else { return BY_ITSELF };
                    let mut text = Vec::new();
                    put_job(&mut text, &name.class, Some(&name.instance));
                    batch.names.push(text);
                    u32::try_from(batch.names.len() - 1).unwrap_or(BY_ITSELF)
                });
                last = Some((number, subject));
                subject
            });
            batch.subjects.push(subject);
        }
        batch.turns.push((frame.sequence, turn));
    }
    (batch, None)
}

fn format(batch: &Batch<'_>, buffer: &mut Vec<u8>) {
    let mut subjects = batch.subjects.iter();
    let mut prefix = Vec::new();
    for (sequence, turn) in &batch.turns {
        prefix.clear();
        prefix.extend_from_slice(b"{\"sequence\":");
        json::put_number(&mut prefix, *sequence);
        if let Some(stamp) = turn.stamp {
            prefix.extend_from_slice(b",\"time_us\":");
            json::put_number(&mut prefix, stamp.wall_us);
            prefix.extend_from_slice(b",\"boot_us\":");
            json::put_number(&mut prefix, stamp.boot_us);
        }
        for (index, (change, subject)) in turn.changes.iter().zip(&mut subjects).enumerate() {
            buffer.extend_from_slice(&prefix);
            if index == 0 {
                buffer.extend_from_slice(b",\"origin\":");
                json::put(buffer, &turn.origin);
            }
            match usize::try_from(*subject).ok().and_then(|subject| batch.names.get(subject)) {
                Some(name) => buffer.extend_from_slice(name),
                None => put_own_job(buffer, change),
            }
            buffer.extend_from_slice(b",\"change\":");
            json::put(buffer, change);
            buffer.extend_from_slice(b"}\n");
        }
    }
}

fn put_own_job(buffer: &mut Vec<u8>, change: &ChangeView<'_>) {
    match change.about() {
        About::Class(class) => put_job(buffer, class, None),
        About::Named(class, instance) => put_job(buffer, class, Some(instance)),
        About::Instance(_) | About::Ticket(_) | About::Nothing => {}
    }
}

/// The job of a line.
pub(super) fn put_job(buffer: &mut Vec<u8>, class: &str, instance: Option<&str>) {
    buffer.extend_from_slice(b",\"job\":");
    json::put_text(buffer, class);
    if let Some(instance) = instance {
        buffer.extend_from_slice(b",\"instance\":");
        json::put_text(buffer, instance);
    }
}
