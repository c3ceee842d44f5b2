//! What archive and journal say together: the one has what the other has forgotten, the other what the one has not heard yet.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use journal::Reach;

use super::entry::{Entry, Kind, entries};
use super::serve::{Answer, Question, ask};
use super::store::{Boot, boot_id};
use crate::names::Names;
use crate::past::{Past, PastError, decode};
use crate::source::Source;

/// A boot: its number (0 is the present one, -1 the one before it), boot id, and what is known of it.
pub type NumberedBoot = (i64, String, Boot);

/// An answer, and what is to be said about where it comes from.
#[derive(Debug)]
pub struct Told<T> {
    /// The answer.
    pub found: T,
    /// Why something may be missing.
    pub remark: Option<String>,
}

/// What can be asked.
#[derive(Debug)]
pub struct Witnesses<'a> {
    /// The socket of the archive.
    pub socket: &'a Path,
    /// The directory of the journal.
    pub journal: &'a Path,
}

/// What the journal knows of its own boot.
struct Present {
    boot_id: String,
    boot: Boot,
    entries: Vec<Entry>,
}

/// What both have said.
struct Heard {
    present: Option<Present>,
    archived: Vec<Answer>,
    remark: Option<String>,
}

impl Witnesses<'_> {
    /// The boots, the present one first.
    ///
    /// # Errors
    /// Why neither of them answers.
    pub fn boots(&self) -> Result<Told<Vec<NumberedBoot>>, String> {
        let Heard { present, archived, remark } = self.hear(&Question { boots: true, ..Question::default() })?;
        let mut found: Vec<NumberedBoot> = Vec::new();
        for answer in archived {
            match answer {
                Answer::Boot(number, id, boot) => found.push((number, id, boot)),
                Answer::Refused(why) => return Err(why),
                Answer::Entry(_) | Answer::End => {}
            }
        }
        if let Some(present) = present {
            match found.first_mut().filter(|(_, id, _)| *id == present.boot_id) {
                Some((_, _, boot)) => boot.last_us = boot.last_us.max(present.boot.last_us),
                None => {
                    found.iter_mut().for_each(|(number, ..)| *number -= 1);
                    found.insert(0, (0, present.boot_id, present.boot));
                }
            }
        }
        Ok(Told { found, remark })
    }

    /// The lines that are asked for, oldest first.
    ///
    /// # Errors
    /// Why neither of them answers, or that there is no such boot.
    pub fn history(&self, question: &Question) -> Result<Told<Vec<Entry>>, String> {
        let mut question = question.clone();
        if let Some(number) = question.boot {
            let Told { found, remark } = self.boots()?;
            if !found.iter().any(|(known, ..)| *known == number) {
                let why = remark.map_or_else(String::new, |remark| format!("; {remark}"));
                return Err(format!("there is no boot {number}{why}"));
            }
            // The archive may not have heard yet of the boot that the journal is of.
            let archived = ask(self.socket, &Question { boots: true, ..Question::default() }).unwrap_or_default();
            let newest = archived.iter().find_map(|answer| match answer {
                Answer::Boot(0, id, _) => Some(id),
                _ => None,
            });
            if newest.is_some_and(|newest| found.first().is_some_and(|(_, id, _)| id != newest)) {
                question.boot = Some(number + 1).filter(|number| *number <= 0);
            }
            if number < 0 {
                return self.of_archive(&question).map(|found| Told { found, remark: None });
            }
            if question.boot.is_none() {
                let present = present(self.journal).map_err(|error| error.to_string())?;
                return Ok(Told { found: newest_of(present.entries, &question), remark: None });
            }
        }
        let Heard { present, archived, remark } = self.hear(&question)?;
        let mut all = of_answers(archived)?;
        all.extend(present.into_iter().flat_map(|present| present.entries));
        Ok(Told { found: newest_of(all, &question), remark })
    }

    fn of_archive(&self, question: &Question) -> Result<Vec<Entry>, String> {
        let answers = ask(self.socket, question).map_err(|error| self.silence(&error))?;
        Ok(newest_of(of_answers(answers)?, question))
    }

    /// Asks both; one of them at least must answer.
    fn hear(&self, question: &Question) -> Result<Heard, String> {
        match (present(self.journal), ask(self.socket, question)) {
            (present, Ok(archived)) => Ok(Heard { present: present.ok(), archived, remark: None }),
            (Ok(present), Err(error)) => {
                let remark = format!("{}; this is what the journal still has", self.silence(&error));
                Ok(Heard { present: Some(present), archived: Vec::new(), remark: Some(remark) })
            }
            (Err(error), Err(silence)) => Err(format!("{error}\n{}", self.silence(&silence))),
        }
    }

    fn silence(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "the archive does not run (start init-history)".into()
            }
            _ => format!("{}: {error}", self.socket.display()),
        }
    }
}

fn of_answers(answers: Vec<Answer>) -> Result<Vec<Entry>, String> {
    let mut found = Vec::new();
    for answer in answers {
        match answer {
            Answer::Entry(entry) => found.push(entry),
            Answer::Refused(why) => return Err(why),
            Answer::Boot(..) | Answer::End => {}
        }
    }
    // It tells the newest first.
    found.reverse();
    Ok(found)
}

/// Each line once, in order, as many of the newest as are wanted.
fn newest_of(entries: Vec<Entry>, question: &Question) -> Vec<Entry> {
    let mut all: Vec<Entry> = entries.into_iter().filter(|entry| question.takes(entry)).collect();
    // What belongs to the same turn stays as it is: its lines are told in the order in which things became true.
    all.sort_by_key(|entry| (entry.time_us, entry.sequence));
    let mut seen: BTreeMap<(u64, u64), Vec<Entry>> = BTreeMap::new();
    for entry in all {
        let turn = seen.entry((entry.time_us, entry.sequence)).or_default();
        if !turn.iter().any(|known| known.key() == entry.key()) {
            turn.push(entry);
        }
    }
    let mut found: Vec<Entry> = seen.into_values().flatten().collect();
    let excess = question.lines.map_or(0, |lines| found.len().saturating_sub(lines));
    found.drain(..excess);
    found
}

fn present(journal: &Path) -> Result<Present, PastError> {
    let past = Past::open(&Source::Directory(journal.to_path_buf()), Reach::All)?;
    let identity = past.look.report.identity.unwrap_or_default();
    let mut present = Present { boot_id: boot_id(&identity.boot_id), boot: Boot::default(), entries: Vec::new() };
    let mut names = Names::of(&past.base);
    for frame in past.frames() {
        // What cannot be read ends it, as it would end a replay.
        let Ok(turn) = decode(frame) else { break };
        names.learn(&turn);
        let found = entries(frame.sequence, &turn, &names);
        let time_us = turn.stamp.map_or(0, |stamp| stamp.wall_us);
        present.boot.count(time_us, frame.payload.len(), &found);
        present.boot.through = frame.sequence;
        present.entries.extend(found);
    }
    Ok(present)
}

impl Boot {
    /// Counts a turn.
    pub(super) fn count(&mut self, time_us: u64, bytes: usize, entries: &[Entry]) {
        for entry in entries {
            self.failures += u64::from(entry.kind == Kind::Failed);
            self.respawns += u64::from(entry.kind == Kind::Respawn);
            self.recoveries += u64::from(entry.kind == Kind::Recovered);
        }
        self.turns += 1;
        self.bytes += bytes as u64;
        if self.first_us == 0 {
            self.first_us = time_us;
        }
        self.last_us = self.last_us.max(time_us);
    }
}
