//! The journal's files: in memory, with a medium that does all that FORMAT.md says a medium may do, and worse.
//!
//! Knows names and bytes. Writes that a death cuts off arrive up to any byte, not only to a page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use journal::{QUARANTINE, Storage};

use crate::chance::Chance;
use crate::fuse::{Fuse, Point, Step, dead};

/// EIO (errno(3)).
const EIO: i32 = 5;

type Content = Rc<RefCell<Bytes>>;

/// What is in a file.
#[derive(Debug, Default)]
struct Bytes {
    bytes: Vec<u8>,
    /// Where what was ever written ends, in bytes; nothing but zeros is behind it.
    written: usize,
}

/// A directory. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk {
    files: Rc<RefCell<Files>>,
    fuse: Fuse,
}

/// An open file.
#[derive(Debug)]
pub struct DiskFile(Content);

#[derive(Debug)]
struct Files {
    contents: BTreeMap<String, Content>,
    capacity_bytes: Option<u64>,
    /// One write in so many fails, after some of its bytes; none if 0.
    failing: u64,
    chance: Chance,
}

impl Disk {
    /// An empty one.
    #[must_use]
    pub fn new(fuse: Fuse, chance: Chance) -> Self {
        let files = Files { contents: BTreeMap::new(), capacity_bytes: None, failing: 0, chance };
        Self { files: Rc::new(RefCell::new(files)), fuse }
    }

    /// How many bytes all files have.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.files.borrow().used_bytes()
    }

    /// Limits that; none for no limit.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.files.borrow_mut().capacity_bytes = capacity_bytes;
    }

    /// From now on one write in so many fails; none if 0.
    pub fn set_failing(&self, failing: u64) {
        self.files.borrow_mut().failing = failing;
    }

    /// Turns one bit of one file; its name and the byte, if there is one to turn.
    pub fn flip(&self, chance: &mut Chance) -> Option<(String, usize)> {
        let files = self.files.borrow();
        let (name, content) = chance.choose(files.contents.iter())?;
        let mut content = content.borrow_mut();
        // Where something is written: zeros at the end would be as good as never found. Not up to the last byte that is not zero, which
        // could be a matter of what time it is.
        if content.written == 0 {
            return None;
        }
        let at = chance.below(content.written as u64) as usize;
        content.bytes[at] ^= 1 << chance.below(8);
        Some((name.clone(), at))
    }

    /// Names and contents.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.files.borrow();
        files.contents.iter().map(|(name, content)| (name.clone(), content.borrow().bytes.clone())).collect()
    }

    /// All files go; for a journal that cannot even be opened.
    pub fn clear(&self) {
        self.files.borrow_mut().contents.clear();
    }
}

impl Files {
    fn used_bytes(&self) -> u64 {
        self.contents.values().map(|content| content.borrow().bytes.len() as u64).sum()
    }

    fn find(&self, name: &str) -> io::Result<Content> {
        self.contents.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn put(content: &Content, offset: u64, bytes: &[u8]) {
    let mut content = content.borrow_mut();
    let (from, to) = (offset as usize, offset as usize + bytes.len());
    if content.bytes.len() < to {
        content.bytes.resize(to, 0);
    }
    content.bytes[from..to].copy_from_slice(bytes);
    content.written = content.written.max(to);
}

impl Storage for Disk {
    type File = DiskFile;

    fn lock(&mut self) -> io::Result<()> {
        // There is one manager at a time, which is the keeper's care.
        self.fuse.burn(Point::Read)
    }

    fn list(&self, quarantine: bool) -> io::Result<Vec<String>> {
        self.fuse.burn(Point::Read)?;
        let files = self.files.borrow();
        let inner = |name: &String| {
            name.strip_prefix(QUARANTINE).and_then(|rest| rest.strip_prefix('/')).map(ToOwned::to_owned)
        };
        let names = files.contents.keys();
        Ok(if quarantine {
            names.filter_map(inner).collect()
        } else {
            names.filter(|n| inner(n).is_none()).cloned().collect()
        })
    }

    fn read(&self, name: &str, limit: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        self.fuse.burn(Point::Read)?;
        let content = self.files.borrow().find(name)?;
        let content = &content.borrow().bytes;
        into.clear();
        into.extend_from_slice(&content[..content.len().min(limit as usize)]);
        Ok(content.len() as u64)
    }

    fn create(&mut self, name: &str, size_bytes: u64) -> io::Result<DiskFile> {
        self.fuse.burn(Point::Create)?;
        let content: Content = {
            let mut files = self.files.borrow_mut();
            files.contents.remove(name);
            if files.capacity_bytes.is_some_and(|capacity| files.used_bytes() + size_bytes > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let content = Rc::new(RefCell::new(Bytes { bytes: vec![0; size_bytes as usize], written: 0 }));
            files.contents.insert(name.to_owned(), Rc::clone(&content));
            content
        };
        self.fuse.burn(Point::Created)?;
        Ok(DiskFile(content))
    }

    fn open(&mut self, name: &str) -> io::Result<DiskFile> {
        self.fuse.burn(Point::Read)?;
        self.files.borrow().find(name).map(DiskFile)
    }

    fn write_at(&mut self, file: &mut DiskFile, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let part = |chance: &mut Chance| chance.below(bytes.len() as u64 + 1) as usize;
        match self.fuse.step(Point::Write) {
            Step::Go => {}
            Step::Blown => {
                let arriving = part(&mut self.files.borrow_mut().chance);
                put(&file.0, offset, &bytes[..arriving]);
                return Err(dead());
            }
            Step::Gone => return Err(dead()),
        }
        {
            let mut files = self.files.borrow_mut();
            let failing = files.failing;
            if failing > 0 && files.chance.one_in(failing) {
                let arriving = part(&mut files.chance);
                put(&file.0, offset, &bytes[..arriving]);
                return Err(io::Error::from_raw_os_error(EIO));
            }
        }
        put(&file.0, offset, bytes);
        self.fuse.burn(Point::Written)?;
        Ok(bytes.len())
    }

    fn sync(&mut self, _file: &mut DiskFile) -> io::Result<()> {
        self.fuse.burn(Point::Written)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.fuse.burn(Point::Renamed)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.fuse.burn(Point::Rename)?;
        {
            let mut files = self.files.borrow_mut();
            let content = files.find(from)?;
            files.contents.remove(from);
            files.contents.insert(to.to_owned(), content);
        }
        self.fuse.burn(Point::Renamed)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.fuse.burn(Point::Remove)?;
        self.files.borrow_mut().contents.remove(name);
        self.fuse.burn(Point::Removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_bit_flips_does_not_depend_on_what_is_written() {
        let flips = |last: u8| -> Vec<_> {
            let mut disk = Disk::new(Fuse::default(), Chance::of(1));
            let mut file = disk.create("file", 4096).unwrap();
            disk.write_at(&mut file, 0, &[1, 2, 3, 4]).unwrap();
            disk.write_at(&mut file, 4, &[5, last]).unwrap();
            let mut chance = Chance::of(2);
            (0..100).map(|_| disk.flip(&mut chance)).collect()
        };
        let places = flips(0);
        assert_eq!(places, flips(6));
        let furthest = places.into_iter().flatten().map(|(_, at)| at).max();
        assert_eq!(furthest, Some(5), "zeros that are written count, and those behind do not");
    }

    #[test]
    fn where_nothing_is_written_no_bit_flips() {
        let mut disk = Disk::new(Fuse::default(), Chance::of(1));
        disk.create("file", 4096).unwrap();
        assert_eq!(disk.flip(&mut Chance::of(2)), None);
    }
}
