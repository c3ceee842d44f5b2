//! The records of boots and runlevels in utmp and wtmp.
//!
//! Knows the bytes of utmp(5) and the conventions of SysV init: a runlevel is a RUN_LVL record whose pid is the level
//! plus 256 times the one before. Must never know who asks for a runlevel.
//!
//! The bytes are put together here, at the offsets the C library has on this machine, because not every C library
//! writes these files (musl does nothing).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::mem::{offset_of, size_of};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libc::utmpx;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

const RECORD: usize = size_of::<utmpx>();
/// How long another writer may hold the lock of a file, in steps of [`LOCK_PAUSE`].
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Where the records are kept.
#[derive(Clone, Debug)]
pub struct Utmp {
    /// The present: one record of each kind.
    pub utmp: PathBuf,
    /// The past: records are appended.
    pub wtmp: PathBuf,
}

impl Default for Utmp {
    fn default() -> Self {
        Self { utmp: PathBuf::from("/var/run/utmp"), wtmp: PathBuf::from("/var/log/wtmp") }
    }
}

/// A runlevel and the one before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Runlevel {
    /// The present level.
    pub level: char,
    /// The level before; `N` if there was none.
    pub previous: char,
}

impl Utmp {
    /// The runlevel that was written last, if any.
    ///
    /// # Errors
    /// As from reading the file; a file that is not there has no record.
    pub fn runlevel(&self) -> io::Result<Option<Runlevel>> {
        let mut bytes = Vec::new();
        match File::open(&self.utmp) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = bytes.chunks_exact(RECORD).rfind(|record| kind(record) == libc::RUN_LVL);
        Ok(found.and_then(runlevel_of))
    }

    /// The terminals at which somebody is logged in, as names below `/dev`.
    ///
    /// # Errors
    /// As from reading the file.
    pub fn terminals(&self) -> io::Result<Vec<String>> {
        let bytes = std::fs::read(&self.utmp)?;
        let lines = bytes.chunks_exact(RECORD).filter(|record| kind(record) == libc::USER_PROCESS).map(|record| {
            let line = &record[offset_of!(utmpx, ut_line)..offset_of!(utmpx, ut_id)];
            let end = line.iter().position(|byte| *byte == 0);
            String::from_utf8_lossy(&line[..end.unwrap_or(line.len())]).into_owned()
        });
        Ok(lines.collect())
    }

    /// Writes the new runlevel to both files, after a record of the boot where that is missing. Files that are not
    /// there are not made: their absence says that nobody wants them.
    ///
    /// # Errors
    /// As from writing the files; the second is written also when the first fails.
    pub fn write_runlevel(&self, runlevel: Runlevel) -> io::Result<()> {
        let record = Record::runlevel(runlevel);
        let boot = self.replace(&record);
        let mut history = Vec::new();
        if let Ok(true) = boot {
            history.extend(Record::boot().encode());
        }
        history.extend(record.encode());
        self.append(&history)?;
        boot.map(|_| ())
    }

    /// Appends the record of a shutdown to wtmp.
    ///
    /// # Errors
    /// As from writing the file.
    pub fn write_shutdown(&self) -> io::Result<()> {
        self.append(&Record::shutdown().encode())
    }

    /// Puts the record in the place of the last one of its kind; returns whether a boot record had to be added.
    fn replace(&self, record: &Record) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        let Some(mut file) = locked(options.read(true).write(true), &self.utmp)? else {
            return Ok(false);
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.len() - bytes.len() % RECORD;
        let place = |wanted| bytes.chunks_exact(RECORD).rposition(|found| kind(found) == wanted);
        let lacks_boot = place(libc::BOOT_TIME).is_none();
        let mut end = whole;
        if lacks_boot {
            write_at(&mut file, end, &Record::boot().encode())?;
            end += RECORD;
        }
        let at = place(record.kind).map_or(end, |index| index * RECORD);
        write_at(&mut file, at, &record.encode())?;
        Ok(lacks_boot)
    }

    fn append(&self, records: &[u8]) -> io::Result<()> {
        match locked(OpenOptions::new().append(true), &self.wtmp)? {
            Some(mut file) => file.write_all(records),
            None => Ok(()),
        }
    }
}

/// Opens a file and locks it as the C library does; `None` if it is not there. Closing the file unlocks it.
fn locked(options: &mut OpenOptions, path: &PathBuf) -> io::Result<Option<File>> {
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    for _ in 0..LOCK_TRIES {
        match fcntl(&file, FcntlArg::F_SETLK(&lock)) {
            Ok(_) => return Ok(Some(file)),
            Err(Errno::EAGAIN | Errno::EACCES) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn write_at(file: &mut File, offset: usize, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset as u64))?;
    file.write_all(bytes)
}

/// What is written of a record.
struct Record {
    kind: i16,
    pid: i32,
    user: &'static str,
}

impl Record {
    fn boot() -> Self {
        Self { kind: libc::BOOT_TIME, pid: 0, user: "reboot" }
    }

    fn shutdown() -> Self {
        Self { kind: libc::RUN_LVL, pid: 0, user: "shutdown" }
    }

    fn runlevel(runlevel: Runlevel) -> Self {
        let byte = |level: char| i32::from(u8::try_from(level).unwrap_or(b'N'));
        // No level before is written as zero, which readers show as `N`.
        let previous = match runlevel.previous {
            'N' => 0,
            level => byte(level),
        };
        Self { kind: libc::RUN_LVL, pid: byte(runlevel.level) + 256 * previous, user: "runlevel" }
    }

    #[allow(clippy::disallowed_methods, reason = "what the file is to say")]
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; RECORD];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };
        put(offset_of!(utmpx, ut_type), &self.kind.to_ne_bytes());
        put(offset_of!(utmpx, ut_pid), &self.pid.to_ne_bytes());
        put(offset_of!(utmpx, ut_line), b"~");
        put(offset_of!(utmpx, ut_id), b"~~");
        put(offset_of!(utmpx, ut_user), self.user.as_bytes());
        let release = kernel_release();
        let length = release.len().min(size_of_host() - 1);
        put(offset_of!(utmpx, ut_host), &release[..length]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        // Seconds and microseconds are 32 bits wide where the file format is shared with 32-bit programs.
        let time = offset_of!(utmpx, ut_tv);
        if offset_of!(utmpx, ut_addr_v6) - time == 8 {
            put(time, &(now.as_secs() as u32).to_ne_bytes());
            put(time + 4, &now.subsec_micros().to_ne_bytes());
        } else {
            put(time, &now.as_secs().to_ne_bytes());
            put(time + 8, &u64::from(now.subsec_micros()).to_ne_bytes());
        }
        bytes
    }
}

/// Bytes in the host field, the terminating zero included (utmp(5): UT_HOSTSIZE).
const fn size_of_host() -> usize {
    offset_of!(utmpx, ut_exit) - offset_of!(utmpx, ut_host)
}

fn kernel_release() -> Vec<u8> {
    let name = nix::sys::utsname::uname();
    name.map_or_else(|_| Vec::new(), |name| name.release().as_encoded_bytes().to_vec())
}

fn kind(record: &[u8]) -> i16 {
    let offset = offset_of!(utmpx, ut_type);
    i16::from_ne_bytes([record[offset], record[offset + 1]])
}

/// The levels in a RUN_LVL record; `None` for one that only says that the system went down.
fn runlevel_of(record: &[u8]) -> Option<Runlevel> {
    let offset = offset_of!(utmpx, ut_pid);
    let bytes = record[offset..offset + 4].try_into().ok()?;
    let pid = u32::from_ne_bytes(bytes);
    let level = (pid % 256) as u8;
    let previous = (pid / 256 % 256) as u8;
    let runlevel =
        Runlevel { level: char::from(level), previous: if previous == 0 { 'N' } else { char::from(previous) } };
    (level != 0).then_some(runlevel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Utmp {
        let directory = std::env::temp_dir().join(format!("utmp-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let place = Utmp { utmp: directory.join("utmp"), wtmp: directory.join("wtmp") };
        File::create(&place.utmp).unwrap();
        File::create(&place.wtmp).unwrap();
        place
    }

    fn level(level: char, previous: char) -> Runlevel {
        Runlevel { level, previous }
    }

    fn kinds(path: &PathBuf) -> Vec<i16> {
        let bytes = std::fs::read(path).unwrap();
        bytes.chunks(RECORD).map(kind).collect()
    }

    #[test]
    fn a_runlevel_is_read_back_and_replaced_in_place() {
        let place = place("replaced");
        assert_eq!(place.runlevel().unwrap(), None);
        place.write_runlevel(level('2', 'N')).unwrap();
        assert_eq!(place.runlevel().unwrap(), Some(level('2', 'N')));
        place.write_runlevel(level('S', '2')).unwrap();
        place.write_shutdown().unwrap();
        assert_eq!(place.runlevel().unwrap(), Some(level('S', '2')));
        let (boot, run) = (libc::BOOT_TIME, libc::RUN_LVL);
        assert_eq!(kinds(&place.utmp), [boot, run]);
        assert_eq!(kinds(&place.wtmp), [boot, run, run, run]);
        std::fs::remove_dir_all(place.utmp.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_torn_record_is_written_over() {
        let place = place("torn");
        std::fs::write(&place.utmp, vec![1; RECORD / 2]).unwrap();
        place.write_runlevel(level('3', '2')).unwrap();
        assert_eq!(place.runlevel().unwrap(), Some(level('3', '2')));
        assert_eq!(kinds(&place.utmp).len(), 2);
        std::fs::remove_dir_all(place.utmp.parent().unwrap()).unwrap();
    }

    #[test]
    fn absent_files_are_left_absent() {
        let place = Utmp { utmp: PathBuf::from("/nonexistent/utmp"), wtmp: PathBuf::from("/nonexistent/wtmp") };
        place.write_runlevel(level('3', '2')).unwrap();
        assert_eq!(place.runlevel().unwrap(), None);
    }
}
