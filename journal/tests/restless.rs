//! What is looked at may change between two looks, or go away in the middle of one. That must not be taken for damage, damage must
//! not be taken for that, and a look must end.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use journal::{Log, Look, MemoryStorage, OpenError, Reach, Rule, Severity, Storage, look, verify_within};

use crate::common::{live, long_life, options, payload};

/// Looks that are taken before what changes all the time is told as it is.
const LOOKS: u32 = 16;

/// What happens before the names are listed for the time of this number, from 1 on.
type Meanwhile = Box<dyn FnMut(u32, &MemoryStorage) -> io::Result<()>>;

/// A directory in which something happens each time before its names are listed.
struct Restless {
    disk: MemoryStorage,
    lists: Cell<u32>,
    meanwhile: RefCell<Meanwhile>,
}

impl Restless {
    fn new(disk: &MemoryStorage, meanwhile: impl FnMut(u32, &MemoryStorage) -> io::Result<()> + 'static) -> Self {
        let meanwhile: Meanwhile = Box::new(meanwhile);
        Self { disk: disk.snapshot(), lists: Cell::new(0), meanwhile: RefCell::new(meanwhile) }
    }
}

/// Only reading is needed here.
impl Storage for Restless {
    type File = ();
    fn lock(&mut self) -> io::Result<()> {
        unreachable!("a look takes no lock")
    }
    fn list(&self, quarantine: bool) -> io::Result<Vec<String>> {
        self.lists.set(self.lists.get() + 1);
        (self.meanwhile.borrow_mut())(self.lists.get(), &self.disk)?;
        self.disk.list(quarantine)
    }
    fn read(&self, name: &str, limit: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        self.disk.read(name, limit, into)
    }
    fn create(&mut self, _name: &str, _size_bytes: u64) -> io::Result<()> {
        unreachable!("a look changes nothing")
    }
    fn open(&mut self, _name: &str) -> io::Result<()> {
        unreachable!("a look changes nothing")
    }
    fn write_at(&mut self, _file: &mut (), _offset: u64, _bytes: &[u8]) -> io::Result<usize> {
        unreachable!("a look changes nothing")
    }
    fn sync(&mut self, _file: &mut ()) -> io::Result<()> {
        unreachable!("a look changes nothing")
    }
    fn sync_directory(&mut self) -> io::Result<()> {
        unreachable!("a look changes nothing")
    }
    fn rename(&mut self, _from: &str, _to: &str) -> io::Result<()> {
        unreachable!("a look changes nothing")
    }
    fn remove(&mut self, _name: &str) -> io::Result<()> {
        unreachable!("a look changes nothing")
    }
}

/// A journal of several segments and two checkpoints.
fn sound() -> MemoryStorage {
    let disk = MemoryStorage::new();
    live(&disk, options(), &long_life());
    disk
}

/// The oldest segment after the newest checkpoint, and what is in it.
fn newest_segment(disk: &MemoryStorage) -> (String, Vec<u8>) {
    disk.files().into_iter().rfind(|(name, _)| name.starts_with("segment-")).unwrap()
}

/// The same content with this byte of the first frame turned over.
fn damaged(content: &[u8], at: usize) -> Vec<u8> {
    let mut content = content.to_vec();
    content[80 + at] ^= 4;
    content
}

/// One way to look; how often it lists the names in one look; the worst that it finds.
type Glance = (u32, fn(&Restless) -> Result<Severity, OpenError>);

/// Both ways to look, without patience for torn tails.
const GLANCES: [Glance; 2] = [
    (2, |storage| look(storage, Reach::Present).map(|found| found.report.severity())),
    (1, |storage| verify_within(storage, Duration::ZERO).map(|report| report.severity())),
];

#[test]
fn a_file_that_is_gone_is_looked_for_again_but_not_for_ever() {
    let disk = sound();
    for (lists, glance) in GLANCES {
        let gone = |until: u32| {
            Restless::new(&disk, move |number, _| match number {
                _ if number < until => Err(io::ErrorKind::NotFound.into()),
                _ => Ok(()),
            })
        };
        let storage = gone(LOOKS);
        assert_eq!(glance(&storage).unwrap(), Severity::Note);
        assert_eq!(storage.lists.get(), LOOKS - 1 + lists);
        let storage = gone(u32::MAX);
        assert!(glance(&storage).is_err());
        assert_eq!(storage.lists.get(), LOOKS);
        // Nothing else gets better by itself.
        let storage = Restless::new(&disk, |_, _| Err(io::ErrorKind::PermissionDenied.into()));
        assert!(glance(&storage).is_err());
        assert_eq!(storage.lists.get(), 1);
    }
}

#[test]
fn what_is_sound_is_looked_at_once_and_what_is_damaged_twice() {
    let disk = sound();
    let (name, content) = newest_segment(&disk);
    for (lists, glance) in GLANCES {
        let storage = Restless::new(&disk, |_, _| Ok(()));
        assert_eq!(glance(&storage).unwrap(), Severity::Note);
        assert_eq!(storage.lists.get(), lists);
        disk.put(&name, damaged(&content, 0));
        let storage = Restless::new(&disk, |_, _| Ok(()));
        assert!(glance(&storage).unwrap() >= Severity::Loss);
        assert_eq!(storage.lists.get(), 2 * lists);
        disk.put(&name, content.clone());
    }
}

#[test]
fn what_looks_like_damage_for_a_moment_is_none() {
    let disk = sound();
    let (name, content) = newest_segment(&disk);
    for (lists, glance) in GLANCES {
        let (name, content) = (name.clone(), content.clone());
        let storage = Restless::new(&disk, move |number, disk| {
            // Damaged in the first look, in more than that in the second one, and then whole.
            let foreign = "segment-00000000000000ff";
            match number.div_ceil(lists) {
                1 => disk.put(&name, damaged(&content, 0)),
                2 => disk.put(foreign, vec![1; 50]),
                _ => {
                    disk.put(&name, content.clone());
                    disk.take(foreign);
                }
            }
            Ok(())
        });
        assert_eq!(glance(&storage).unwrap(), Severity::Note);
        assert_eq!(storage.lists.get(), 3 * lists);
    }
}

#[test]
fn damage_that_is_another_one_each_time_is_told_in_the_end() {
    let disk = sound();
    let (name, content) = newest_segment(&disk);
    for (lists, glance) in GLANCES {
        let (name, content) = (name.clone(), content.clone());
        let storage = Restless::new(&disk, move |number, disk| {
            let look = number.div_ceil(lists) as usize;
            // One file more each time that has no business here.
            disk.put(&format!("segment-{:016x}", 0xffff + look), vec![1; 50]);
            disk.put(&name, damaged(&content, 0));
            Ok(())
        });
        assert!(glance(&storage).unwrap() >= Severity::Loss);
        assert_eq!(storage.lists.get(), LOOKS * lists);
    }
}

/// A writer may have lost its processor in the middle of a frame.
#[test]
fn a_torn_tail_is_given_time_to_become_whole() {
    const PATIENCE: Duration = Duration::from_millis(150);
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    (0..5).for_each(|number| assert!(log.append(&payload(number, 300)).is_ok()));
    let (name, whole) = newest_segment(&disk);
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut torn = whole.clone();
    torn[used - 40..used].fill(0);
    disk.put(&name, torn);
    let begin = Instant::now();
    let report = verify_within(&Restless::new(&disk, |_, _| Ok(())), PATIENCE).unwrap();
    assert!(report.applied(Rule::TornTail) && begin.elapsed() >= PATIENCE, "{report:?}");
    let becomes_whole = Restless::new(&disk, move |number, disk| {
        if number == 3 {
            disk.put(&name, whole.clone());
        }
        Ok(())
    });
    let report = verify_within(&becomes_whole, Duration::from_secs(60)).unwrap();
    assert!(report.is_clean() && becomes_whole.lists.get() == 3, "{report:?}");
}

/// Frames up to a number are wanted that are not all there: what goes furthest is shown, from the newest checkpoint that is not
/// beyond them.
#[test]
fn a_look_at_what_is_not_there_shows_what_comes_nearest() {
    let disk = MemoryStorage::new();
    let (mut log, _) = Log::open(disk.clone(), options()).unwrap();
    let append = |log: &mut Log<_>, count: usize| {
        (0..count).for_each(|number| assert!(log.append(&payload(number, 1500)).is_ok()));
    };
    append(&mut log, 20);
    log.checkpoint(b"the state at 20").unwrap();
    append(&mut log, 20);
    log.checkpoint(b"the state at 40").unwrap();
    append(&mut log, 20);
    drop(log);
    let base = |found: &Look| found.checkpoint.as_ref().map(|checkpoint| checkpoint.sequence);
    let beyond = look(&disk, Reach::To(1000)).unwrap();
    assert_eq!((base(&beyond), beyond.report.last_sequence), (Some(40), 60), "nothing reaches so far");
    let middle = look(&disk, Reach::To(39)).unwrap();
    assert_eq!((base(&middle), middle.report.last_sequence), (Some(20), 60));

    // A segment between the checkpoints is gone, so that 39 is not to be had.
    let segment = middle.places[3].segment;
    let gone: Vec<String> = disk.files().into_keys().filter(|name| name.starts_with("segment-")).collect();
    let name = gone.iter().find(|name| name.ends_with(&format!("{segment:x}"))).unwrap();
    disk.take(name).unwrap();
    let broken = look(&disk, Reach::To(39)).unwrap();
    assert_eq!(base(&broken), Some(20), "a state after 39 is no answer to what was before");
    assert!(broken.report.last_sequence < 39 && broken.frames.len() < middle.frames.len());
}
