//! A journal in memory, for simulation and for tests: it can be copied, cut and damaged, run out of room, and fail or
//! "crash" at any operation and any byte of a write.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{QUARANTINE, Storage};

/// A directory in memory. Clones are handles to the same one; [`MemoryStorage::snapshot`] makes another.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    disk: Arc<Mutex<Disk>>,
    lock: Option<Arc<()>>,
}

/// A file of a [`MemoryStorage`] that is open for writing.
#[derive(Debug)]
pub struct MemoryFile {
    content: Content,
    name: String,
}

/// What happens at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which operation, counted from 0 over everything that changes the directory.
    pub operation: usize,
    /// If it is a write: how many of its bytes arrive all the same.
    pub arriving_bytes: usize,
    /// What comes of it.
    pub effect: FaultEffect,
}

/// What comes of a [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEffect {
    /// The process is gone: this and every later operation fails.
    Crash,
    /// This operation fails, and the next ones work again. A write of which bytes arrive is a short one.
    Fail,
    /// This operation finds no room, and the next ones work again.
    NoRoom,
}

/// One operation that has changed the directory, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A file was made.
    Create {
        /// Its name.
        name: String,
        /// Its size in bytes.
        size_bytes: u64,
    },
    /// Bytes were written.
    Write {
        /// The file's name when it was opened.
        name: String,
        /// Where, in bytes.
        offset: u64,
        /// How many.
        length_bytes: usize,
    },
    /// A file or the directory was synced.
    Sync,
    /// A file was renamed.
    Rename {
        /// From this name.
        from: String,
        /// To this one.
        to: String,
    },
    /// A file was removed.
    Remove {
        /// Its name.
        name: String,
    },
}

type Content = Arc<Mutex<Arc<Vec<u8>>>>;

#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<String, Content>,
    capacity_bytes: Option<u64>,
    fault: Option<Fault>,
    crashed: bool,
    operations: usize,
    trace: Option<Vec<Operation>>,
    writer: Weak<()>,
}

/// Whether an operation is carried out.
enum Verdict {
    Go,
    Partial(usize, io::Error),
}

impl Disk {
    fn judge(&mut self, operation: Operation) -> Verdict {
        let number = self.operations;
        self.operations += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(operation);
        }
        if self.crashed {
            return Verdict::Partial(0, crashed());
        }
        let Some(fault) = self.fault.filter(|fault| fault.operation == number) else {
            return Verdict::Go;
        };
        let error = match fault.effect {
            FaultEffect::Crash => {
                self.crashed = true;
                crashed()
            }
            FaultEffect::Fail => io::Error::other("injected fault"),
            FaultEffect::NoRoom => io::ErrorKind::StorageFull.into(),
        };
        Verdict::Partial(fault.arriving_bytes, error)
    }

    fn used_bytes(&self) -> u64 {
        let sizes = self.files.values().map(|file| held(file).len() as u64);
        sizes.sum()
    }

    fn find(&self, name: &str) -> io::Result<&Content> {
        self.files.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn crashed() -> io::Error {
    io::Error::other("the process has crashed")
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStorage {
    /// An empty directory without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent copy as the directory is now: no writer, no faults, no operations counted.
    pub fn snapshot(&self) -> Self {
        let disk = held(&self.disk);
        let copy = |content: &Content| Arc::new(Mutex::new(Arc::clone(&held(content))));
        let files = disk.files.iter().map(|(name, content)| (name.clone(), copy(content)));
        let copied = Disk { files: files.collect(), capacity_bytes: disk.capacity_bytes, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(copied)), lock: None }
    }

    /// Limits the sum of all files, in bytes; `None` for no limit.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        held(&self.disk).capacity_bytes = capacity_bytes;
    }

    /// Plans a fault in place of an earlier plan, and counts operations from 0 again.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut disk = held(&self.disk);
        disk.fault = fault;
        disk.operations = 0;
    }

    /// Writes down every operation from now on that changes the directory, or tries to, and counts them from 0 again.
    pub fn start_trace(&self) {
        let mut disk = held(&self.disk);
        disk.trace = Some(Vec::new());
        disk.operations = 0;
    }

    /// What was written down since [`MemoryStorage::start_trace`].
    pub fn trace(&self) -> Vec<Operation> {
        held(&self.disk).trace.clone().unwrap_or_default()
    }

    /// All files: names (with `quarantine/` in front where they are there) and contents.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = held(&self.disk);
        let copy = |content: &Content| held(content).as_ref().clone();
        let files = disk.files.iter().map(|(name, content)| (name.clone(), copy(content)));
        files.collect()
    }

    /// Puts a file in place, or damages one, past all limits and faults.
    pub fn put(&self, name: &str, content: Vec<u8>) {
        let content = Arc::new(Mutex::new(Arc::new(content)));
        held(&self.disk).files.insert(name.to_owned(), content);
    }

    /// Takes a file away, past all faults.
    pub fn take(&self, name: &str) -> Option<Vec<u8>> {
        let content = held(&self.disk).files.remove(name)?;
        let bytes = held(&content).as_ref().clone();
        Some(bytes)
    }

    fn change(&self, operation: Operation) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = held(&self.disk);
        match disk.judge(operation) {
            Verdict::Go => Ok(disk),
            Verdict::Partial(_, error) => Err(error),
        }
    }
}

impl Storage for MemoryStorage {
    type File = MemoryFile;

    fn lock(&mut self) -> io::Result<()> {
        let mut disk = held(&self.disk);
        if disk.writer.strong_count() > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let token = Arc::new(());
        disk.writer = Arc::downgrade(&token);
        self.lock = Some(token);
        Ok(())
    }

    fn list(&self, quarantine: bool) -> io::Result<Vec<String>> {
        let disk = held(&self.disk);
        let names = disk.files.keys().filter_map(|name| {
            let inner = name.strip_prefix(QUARANTINE).and_then(|rest| rest.strip_prefix('/'));
            match inner {
                Some(inner) if quarantine => Some(inner.to_owned()),
                None if !quarantine => Some(name.clone()),
                _ => None,
            }
        });
        Ok(names.collect())
    }

    fn read(&self, name: &str, limit: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        let disk = held(&self.disk);
        let content = held(disk.find(name)?);
        let length = content.len().min(limit as usize);
        into.clear();
        into.extend_from_slice(&content[..length]);
        Ok(content.len() as u64)
    }

    fn create(&mut self, name: &str, size_bytes: u64) -> io::Result<MemoryFile> {
        let name = name.to_owned();
        let mut disk = self.change(Operation::Create { name: name.clone(), size_bytes })?;
        disk.files.remove(&name);
        let room = disk.capacity_bytes.unwrap_or(u64::MAX);
        if disk.used_bytes().saturating_add(size_bytes) > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content: Content = Arc::new(Mutex::new(Arc::new(vec![0; size_bytes as usize])));
        disk.files.insert(name.clone(), Arc::clone(&content));
        Ok(MemoryFile { content, name })
    }

    fn open(&mut self, name: &str) -> io::Result<MemoryFile> {
        let disk = held(&self.disk);
        let content = Arc::clone(disk.find(name)?);
        let name = name.to_owned();
        Ok(MemoryFile { content, name })
    }

    fn write_at(&mut self, file: &mut MemoryFile, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let operation = Operation::Write { name: file.name.clone(), offset, length_bytes: bytes.len() };
        let verdict = held(&self.disk).judge(operation);
        let (length, outcome) = match verdict {
            Verdict::Go => (bytes.len(), Ok(bytes.len())),
            Verdict::Partial(arriving, error) => {
                let arriving = arriving.min(bytes.len());
                let short = arriving > 0 && !held(&self.disk).crashed;
                (arriving, if short { Ok(arriving) } else { Err(error) })
            }
        };
        let mut content = held(&file.content);
        let content = Arc::make_mut(&mut content);
        let start = offset as usize;
        let end = start + length;
        if length > 0 && content.len() < end {
            content.resize(end, 0);
        }
        if length > 0 {
            content[start..end].copy_from_slice(&bytes[..length]);
        }
        outcome
    }

    fn sync(&mut self, _file: &mut MemoryFile) -> io::Result<()> {
        self.change(Operation::Sync).map(drop)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.change(Operation::Sync).map(drop)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.change(Operation::Rename { from: from.to_owned(), to: to.to_owned() })?;
        disk.find(from)?;
        if let Some(content) = disk.files.remove(from) {
            disk.files.insert(to.to_owned(), content);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let name = name.to_owned();
        let mut disk = self.change(Operation::Remove { name: name.clone() })?;
        disk.files.remove(&name);
        Ok(())
    }
}
