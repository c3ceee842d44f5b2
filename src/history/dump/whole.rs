//! The fast way to JSON, for whole journals: texts stay in the frames, numbers become names in order, and all else is done by
//! threads besides. A thread makes text of the changes that it has read, so that memory goes back to where it came from.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};

use journal::Frame;
use record::{ChangeView, HeadView};

use super::json;
use crate::names::Names;
use crate::past::PastError;
use crate::telling::{About, Telling};

/// Frames that are dealt with together.
const BATCH: usize = 512;

/// Threads that read changes and make text of them.
const WORKERS: usize = 2;

/// Batches that are ahead of the one whose names are looked up, and as many behind it.
const AHEAD: usize = 2 * WORKERS;

/// In place of the number of a name: the change says itself which job it is about, or it is about none.
const BY_ITSELF: u32 = u32::MAX;

/// What a frame says besides its changes, and where these end in the batch.
struct Turn<'a> {
    sequence: u64,
    head: HeadView<'a>,
    end: usize,
}

/// Frames that are dealt with together, as changes.
struct Batch<'a> {
    turns: Vec<Turn<'a>>,
    /// Those of one turn behind those of another.
    changes: Vec<ChangeView<'a>>,
    /// The frame behind these, if it cannot be read.
    bad_frame: Option<PastError>,
    /// For each change, which name.
    subjects: Vec<u32>,
    /// The names, as they are written.
    names: Vec<Vec<u8>>,
}

/// What a worker is to do.
enum Task<'a> {
    Read(&'a [Frame]),
    /// The buffer has been used before: memory that is new costs more than what is written into it.
    Format(Batch<'a>, Vec<u8>),
}

/// A thread that does what it is told, in order.
struct Worker<'a> {
    tasks: Sender<Task<'a>>,
    batches: Receiver<Batch<'a>>,
    texts: Receiver<Vec<u8>>,
}

/// Writes all frames; the error is that of a frame that cannot be read, which ends it.
pub(super) fn write(frames: &[Frame], names: &mut Names, out: &mut dyn Write) -> io::Result<Option<PastError>> {
    thread::scope(|scope| {
        let workers: Vec<Worker<'_>> = (0..WORKERS).map(|_| Worker::start(scope)).collect();
        let mut bad_frame = None;
        let mut empty = Vec::new();
        let mut pieces = frames.chunks(BATCH);
        let (mut asked, mut named, mut written) = (0, 0, 0);
        // No thread ever waits for room: there is never more under way than this.
        loop {
            while asked < written + 2 * AHEAD
                && let Some(piece) = pieces.next()
            {
                // Workers end when we do.
                let _ = workers[asked % WORKERS].tasks.send(Task::Read(piece));
                asked += 1;
            }
            if bad_frame.is_none() && named < asked && named < written + AHEAD {
                let worker = &workers[named % WORKERS];
                let Ok(mut batch) = worker.batches.recv() else { return Ok(bad_frame) };
                batch.look_up(names);
                bad_frame = batch.bad_frame.take();
                let _ = worker.tasks.send(Task::Format(batch, empty.pop().unwrap_or_default()));
                named += 1;
            } else if written < named {
                let Ok(text) = workers[written % WORKERS].texts.recv() else { return Ok(bad_frame) };
                out.write_all(&text)?;
                empty.push(text);
                written += 1;
            } else {
                break;
            }
        }
        out.flush()?;
        Ok(bad_frame)
    })
}

impl<'a> Worker<'a> {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Self
    where
        'a: 'scope,
    {
        let (tasks, received) = channel::<Task<'a>>();
        let (read, batches) = channel();
        let (made, texts) = channel();
        scope.spawn(move || {
            let mut room = Vec::new();
            for task in received {
                let is_wanted = match task {
                    Task::Read(frames) => read.send(Batch::read(frames, room.pop().unwrap_or_default())).is_ok(),
                    Task::Format(mut batch, mut buffer) => {
                        buffer.clear();
                        format(&batch, &mut buffer);
                        batch.changes.clear();
                        room.push(batch.changes);
                        made.send(buffer).is_ok()
                    }
                };
                if !is_wanted {
                    return;
                }
            }
        });
        Self { tasks, batches, texts }
    }
}

impl<'a> Batch<'a> {
    /// The room for changes has been used before.
    fn read(frames: &'a [Frame], mut changes: Vec<ChangeView<'a>>) -> Self {
        let (mut turns, mut bad_frame) = (Vec::with_capacity(frames.len()), None);
        for frame in frames {
            match record::view_turn(&frame.payload, &mut changes) {
                Ok(head) => turns.push(Turn { sequence: frame.sequence, head, end: changes.len() }),
                Err(error) => {
                    bad_frame = Some(PastError::Frame(frame.sequence, error));
                    break;
                }
            }
        }
        Self { turns, changes, bad_frame, subjects: Vec::new(), names: Vec::new() }
    }

    /// Finds out who is meant; in order, because a change may say who another one will be about.
    fn look_up(&mut self, names: &mut Names) {
        // Numbers of instances are never used twice.
        let mut known: HashMap<u64, u32> = HashMap::new();
        // Most changes are about the same one as the change before.
        let mut last = None;
        let mut begin = 0;
        for turn in &self.turns {
            let changes = &self.changes[begin..turn.end];
            begin = turn.end;
            names.learn_from(changes);
            for change in changes {
                let subject = names.subject(change).map_or(BY_ITSELF, |number| {
                    if let Some((_, subject)) = last.filter(|(known, _)| *known == number) {
                        return subject;
                    }
                    let subject = *known.entry(number).or_insert_with(|| {
                        let Some(name) = names.instance(number) else { return BY_ITSELF };
                        let mut text = Vec::new();
                        put_job(&mut text, &name.class, Some(&name.instance));
                        self.names.push(text);
                        u32::try_from(self.names.len() - 1).unwrap_or(BY_ITSELF)
                    });
                    last = Some((number, subject));
                    subject
                });
                self.subjects.push(subject);
            }
        }
    }
}

fn format(batch: &Batch<'_>, buffer: &mut Vec<u8>) {
    let mut prefix = Vec::new();
    let mut begin = 0;
    for Turn { sequence, head, end } in &batch.turns {
        prefix.clear();
        prefix.extend_from_slice(b"{\"sequence\":");
        json::put_number(&mut prefix, *sequence);
        if let Some(stamp) = head.stamp {
            prefix.extend_from_slice(b",\"time_us\":");
            json::put_number(&mut prefix, stamp.wall_us);
            prefix.extend_from_slice(b",\"boot_us\":");
            json::put_number(&mut prefix, stamp.boot_us);
        }
        let about = begin..*end;
        begin = *end;
        let changes = batch.changes[about.clone()].iter().zip(&batch.subjects[about]);
        for (index, (change, subject)) in changes.enumerate() {
            buffer.extend_from_slice(&prefix);
            if index == 0 {
                buffer.extend_from_slice(b",\"origin\":");
                json::put(buffer, &head.origin);
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
