//! `initctl log`: what a job has printed, with what has happened to it between the lines.
//!
//! The manager notes for each log file from which byte on it came when, and from which process (`output/times.rs` there). A
//! line has the time of the note before it, which is never more than 10 ms early. What a process has printed stands before its
//! end, although both may be heard in the other order; all else is in the order of time.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::archive::{Entry, Kind};
use crate::past::PastError;

/// No more of a log is looked at than its last so many bytes.
const REACH_BYTES: u64 = 64 << 20;

/// How much later than its process's end output may be heard of.
const SLACK_US: u64 = 1_000_000;

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it came, in microseconds since 1970; none if nobody has noted it.
    pub time_us: Option<u64>,
    /// Which process printed it; 0 if that is not known.
    pub ticket: u64,
    /// The text.
    pub text: String,
}

/// What is shown, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Something was printed.
    Line(Line),
    /// Something has happened.
    Entry(Entry),
}

/// Which lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// So many, the newest ones.
    pub lines: usize,
    /// Not before this time.
    pub since_us: Option<u64>,
    /// Not after this one.
    pub until_us: Option<u64>,
}

/// The log of a job or instance, in the directory of logs: `<job>[-<instance>].log`, with `/` as `_`.
#[must_use]
pub fn file_name(job: &str, instance: Option<&str>) -> String {
    let instance = instance.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!("-{name}"));
    format!("{job}{instance}.log").replace('/', "_")
}

/// Reads a log of a directory, and what was rotated away of it (logrotate(8): `NAME.1` is the newest of that, `NAME.2.gz` an
/// older one; or `NAME-20261123.gz`, with the day, where it is told `dateext`), as far back as is wanted. `notes` is the
/// directory of the notes on them, see [`record::log_notes`].
///
/// # Errors
/// When it is not there, or cannot be read; where there are logs of instances instead, they are named.
pub fn read(
    directory: &Path,
    notes: &Path,
    job: &str,
    instance: Option<&str>,
    wanted: Wanted,
) -> Result<Vec<Line>, PastError> {
    let name = file_name(job, instance);
    // Of the log, and of the one that was in its place before.
    let notes: Vec<_> = ["", ".1"].iter().filter_map(|end| read_notes(&notes.join(format!("{name}{end}")))).collect();
    let (mut found, mut is_there): (Vec<Line>, bool) = (Vec::new(), false);
    for path in [directory.join(&name)].into_iter().chain(rotated(directory, &name)) {
        let failed = |error| PastError::Io(path.clone(), error);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        is_there = true;
        let metadata = file.metadata().map_err(failed)?;
        let written_us = u64::try_from(metadata.mtime()).unwrap_or(0).saturating_mul(1_000_000) + 999_999;
        if found.len() >= wanted.lines || wanted.since_us.is_some_and(|since| written_us < since) {
            break;
        }
        let id = (metadata.dev(), metadata.ino());
        let notes = notes.iter().find(|(of, _)| *of == id).map_or(&[][..], |(_, notes)| notes);
        let mut lines = if path.extension().is_some_and(|extension| extension == "gz") {
            let (begin, bytes) = tail(MultiGzDecoder::new(file)).map_err(failed)?;
            lines(&bytes, begin, notes)
        } else {
            read_plain(file, metadata.len(), notes, wanted).map_err(failed)?
        };
        let is_within = |line: &Line| {
            wanted.since_us.is_none_or(|since| line.time_us.is_some_and(|time| time >= since))
                && wanted.until_us.is_none_or(|until| line.time_us.is_some_and(|time| time <= until))
        };
        lines.retain(is_within);
        lines.append(&mut found);
        found = lines;
    }
    if !is_there {
        return Err(PastError::NoLog(directory.join(&name), instances(directory, job)));
    }
    found.drain(..found.len().saturating_sub(wanted.lines));
    Ok(found)
}

/// What is wanted of a log file, and perhaps more.
fn read_plain(mut file: File, length: u64, notes: &[Note], wanted: Wanted) -> io::Result<Vec<Line>> {
    let first = wanted.since_us.map_or(0, |since| {
        // The note before it may still have a line that is not over.
        let after = notes.iter().take_while(|note| note.time_us < since).count();
        notes.get(after.saturating_sub(1)).map_or(0, |note| note.offset)
    });
    let begin = first.max(length.saturating_sub(REACH_BYTES));
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    file.read_to_end(&mut bytes)?;
    Ok(lines(&bytes, begin, notes))
}

/// The last [`REACH_BYTES`] at least of what can only be read from its beginning, and where they begin.
fn tail(mut from: impl io::Read) -> io::Result<(u64, Vec<u8>)> {
    let (mut begin, mut bytes) = (0, Vec::new());
    loop {
        if from.by_ref().take(REACH_BYTES).read_to_end(&mut bytes)? == 0 {
            return Ok((begin, bytes));
        }
        let excess = (bytes.len() as u64).saturating_sub(REACH_BYTES);
        begin += excess;
        bytes.drain(..usize::try_from(excess).unwrap_or(0));
    }
}

/// How old a file is that was rotated away, the newest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// So many rotations ago.
    Rotations(u32),
    /// Of that day, hour or second: digits, which sort as the time does.
    Dated(Reverse<String>),
}

impl Age {
    /// As the name tells, behind that of the log.
    fn of(suffix: &str) -> Option<Self> {
        let suffix = suffix.strip_suffix(".gz").unwrap_or(suffix);
        let Some(date) = suffix.strip_prefix('-') else {
            return Some(Self::Rotations(suffix.strip_prefix('.')?.parse().ok()?));
        };
        let is_date = date.len() >= 8 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        is_date.then(|| Self::Dated(Reverse(date.to_owned())))
    }
}

/// Files that were rotated away, the newest first.
fn rotated(directory: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let age = |file: &OsStr| Age::of(file.to_str()?.strip_prefix(name)?);
    let mut found: Vec<(Age, PathBuf)> =
        entries.filter_map(|entry| Some((age(&entry.file_name())?, entry.path()))).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Instances of a job that have logs.
fn instances(directory: &Path, job: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let prefix = format!("{}-", job.replace('/', "_"));
    let mut found: Vec<String> = names
        .filter_map(|name| Some(name.strip_prefix(&prefix)?.strip_suffix(".log")?.to_owned()))
        .map(|instance| format!("{job}/{instance}"))
        .collect();
    found.sort_unstable();
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    offset: u64,
    time_us: u64,
    ticket: u64,
}

/// Device and inode of a file, and the notes on it, in order.
type Notes = ((u64, u64), Vec<Note>);

fn read_notes(path: &Path) -> Option<Notes> {
    let text = fs::read_to_string(path).ok()?;
    // A line that is not over yet is no line.
    let (whole, _) = text.rsplit_once('\n')?;
    let mut lines = whole.lines();
    let (device, inode) = lines.next()?.strip_prefix("log ")?.split_once(' ')?;
    let of = (device.parse().ok()?, inode.parse().ok()?);
    let mut notes: Vec<Note> = Vec::new();
    for line in lines {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let (Some(Ok(offset)), Some(Ok(time_us)), Some(Ok(ticket))) = (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        // The log was truncated, or the note before it came to nothing.
        while notes.last().is_some_and(|last| last.offset >= offset) {
            notes.pop();
        }
        notes.push(Note { offset, time_us, ticket });
    }
    Some((of, notes))
}

fn lines(bytes: &[u8], begin: u64, notes: &[Note]) -> Vec<Line> {
    let mut found = Vec::new();
    let mut offset = begin;
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let known = notes.partition_point(|note| note.offset <= offset);
        let note = known.checked_sub(1).map(|at| notes[at]);
        let text = String::from_utf8_lossy(piece).trim_end_matches(['\n', '\r']).to_owned();
        found.push(Line { time_us: note.map(|note| note.time_us), ticket: note.map_or(0, |note| note.ticket), text });
        offset += piece.len() as u64;
    }
    found
}

/// Lines and what has happened, in order. What happened before the start that has led to the first line of a known time is left
/// out: what was printed then is not there either, or nobody knows where it belongs.
#[must_use]
pub fn merge(lines: Vec<Line>, mut entries: Vec<Entry>) -> Vec<Item> {
    if let Some(first_us) = lines.iter().find_map(|line| line.time_us) {
        let before = entries.partition_point(|entry| entry.time_us <= first_us);
        let start = entries[..before].iter().rposition(|entry| entry.kind == Kind::Start);
        entries.drain(..start.unwrap_or(0));
    }
    let mut items = Vec::with_capacity(lines.len() + entries.len());
    let mut entries = entries.into_iter().peekable();
    for line in lines {
        let is_before = |entry: &Entry| {
            line.time_us.is_some_and(|time| {
                let is_its_end = line.ticket != 0 && entry.ended == Some(line.ticket);
                entry.time_us <= time && !(is_its_end && time - entry.time_us < SLACK_US)
            })
        };
        while let Some(entry) = entries.next_if(|entry| is_before(entry)) {
            items.push(Item::Entry(entry));
        }
        items.push(Item::Line(line));
    }
    items.extend(entries.map(Item::Entry));
    items
}

/// Where the init that we belong to keeps the output of jobs, unless it was told otherwise (`--logdir`).
#[must_use]
pub fn directory(is_session: bool) -> PathBuf {
    if !is_session {
        return "/var/log/upstart".into();
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").unwrap_or_else(|| "/".into()).join(".cache");
    variable("XDG_CACHE_HOME").unwrap_or_else(home).join("upstart")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(time_us: u64, ticket: u64, text: &str) -> Line {
        Line { time_us: Some(time_us), ticket, text: text.into() }
    }

    fn entry(time_us: u64, kind: Kind, ended: Option<u64>) -> Entry {
        let (job, text) = ("web".into(), String::new());
        Entry { time_us, sequence: time_us, job, instance: String::new(), kind, text, ended }
    }

    #[test]
    fn the_last_words_of_a_process_stand_before_its_end_however_late_they_are_heard() {
        let lines = vec![line(10, 5, "hello"), line(31, 5, "bye"), line(42, 9, "hello again"), line(43, 5, "a child")];
        let entries = vec![
            entry(1, Kind::Start, None),
            entry(2, Kind::Stopped, None),
            entry(4, Kind::Start, None),
            entry(5, Kind::Running, None),
            entry(30, Kind::Failed, Some(5)),
            entry(30, Kind::Respawn, Some(5)),
            entry(40, Kind::Process, None),
        ];
        let order: Vec<String> = merge(lines, entries)
            .into_iter()
            .map(|item| match item {
                Item::Line(line) => line.text,
                Item::Entry(entry) => entry.kind.name().into(),
            })
            .collect();
        assert_eq!(
            order,
            ["start", "running", "hello", "bye", "failed", "respawn", "process", "hello again", "a child"]
        );
    }

    #[test]
    fn each_line_has_the_time_of_the_note_before_it() {
        let place = std::env::temp_dir().join(format!("stayup-log-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("notes")).unwrap();
        fs::write(place.join("web.log"), "old\r\none\ntwo\nthree\nunfinished").unwrap();
        fs::write(place.join("many-a.log"), "").unwrap();
        let log = fs::metadata(place.join("web.log")).unwrap();
        let head = format!("log {} {}\n", log.dev(), log.ino());
        // Two of before a truncation, one that is torn.
        fs::write(place.join("notes/web.log"), format!("{head}5 90 2\n900 91 2\n5 100 2\n13 200 3\n19 3")).unwrap();
        let all = Wanted { lines: 100, ..Wanted::default() };
        let times = |wanted| -> Vec<_> {
            let lines = read(&place, &place.join("notes"), "web", None, wanted).unwrap();
            lines.into_iter().map(|line| (line.time_us, line.ticket, line.text)).collect()
        };
        let expected: Vec<(Option<u64>, u64, String)> = vec![
            (None, 0, "old".into()),
            (Some(100), 2, "one".into()),
            (Some(100), 2, "two".into()),
            (Some(200), 3, "three".into()),
            (Some(200), 3, "unfinished".into()),
        ];
        assert_eq!(times(all), expected);
        assert_eq!(times(Wanted { lines: 2, ..all }), expected[3..]);
        assert_eq!(times(Wanted { since_us: Some(101), ..all }), expected[3..]);
        assert_eq!(times(Wanted { until_us: Some(150), ..all }), expected[1..3]);
        // Notes of another file say nothing.
        fs::write(place.join("notes/web.log"), "log 1 2\n0 90 2\n").unwrap();
        assert!(times(all).iter().all(|(time, ..)| time.is_none()));
        let absent = read(&place, &place.join("notes"), "many", None, all).unwrap_err().to_string();
        assert!(absent.contains("many/a"), "{absent}");
        fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn files_with_dates_are_in_the_order_of_time() {
        let place = std::env::temp_dir().join(format!("stayup-dated-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        let files = [
            ("web.log", "six\n"),
            ("web.log-20261123", "four\n"),
            ("web.log-20261123-1795392000", "five\n"),
            ("web.log-20251231", "two\n"),
            ("web.log-20260101", "three\n"),
            ("web.log-a.log", "no\n"),
            ("web.log-1", "no\n"),
            ("web.log-20260102.bak", "no\n"),
            ("web.log20260102", "no\n"),
        ];
        for (name, text) in files {
            fs::write(place.join(name), text).unwrap();
        }
        let wanted = Wanted { lines: 100, ..Wanted::default() };
        let lines = read(&place, &place, "web", None, wanted).unwrap();
        let texts: Vec<String> = lines.into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["two", "three", "four", "five", "six"]);
        fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn what_was_rotated_away_is_read_too_the_newest_of_it_with_its_times() {
        use std::io::Write as _;
        let place = std::env::temp_dir().join(format!("stayup-rotated-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("notes")).unwrap();
        for (name, text) in [("web.log", "six\nseven\n"), ("web.log.1", "four\nfive\n"), ("web.log.10", "one\n")] {
            fs::write(place.join(name), text).unwrap();
        }
        fs::write(place.join("web.log.old"), "no\n").unwrap();
        fs::write(place.join("web.log.2-a.log"), "no\n").unwrap();
        let packed = File::create(place.join("web.log.2.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed.write_all(b"two\nthree\n").unwrap();
        packed.finish().unwrap();
        for (name, times) in [("web.log", "0 600 2\n4 700 2\n"), ("web.log.1", "0 400 2\n5 500 2\n")] {
            let log = fs::metadata(place.join(name)).unwrap();
            fs::write(place.join("notes").join(name), format!("log {} {}\n{times}", log.dev(), log.ino())).unwrap();
        }
        let texts = |wanted| -> Vec<_> {
            let lines = read(&place, &place.join("notes"), "web", None, wanted).unwrap();
            lines.into_iter().map(|line| (line.text, line.time_us)).collect()
        };
        let all = [("one", None), ("two", None), ("three", None), ("four", Some(400)), ("five", Some(500))];
        let all = [&all[..], &[("six", Some(600)), ("seven", Some(700))]].concat();
        let all: Vec<_> = all.into_iter().map(|(text, time)| (text.to_owned(), time)).collect();
        assert_eq!(texts(Wanted { lines: 100, ..Wanted::default() }), all);
        for lines in 0..=all.len() {
            assert_eq!(texts(Wanted { lines, ..Wanted::default() }), all[all.len() - lines..]);
        }
        assert_eq!(texts(Wanted { lines: 100, since_us: Some(450), ..Wanted::default() }), all[4..]);
        fs::remove_file(place.join("web.log")).unwrap();
        assert_eq!(texts(Wanted { lines: 100, ..Wanted::default() }), all[..5]);
        fs::remove_dir_all(&place).unwrap();
    }
}
