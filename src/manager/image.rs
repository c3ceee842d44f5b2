//! The program that worked: a copy of ourselves for the keeper, in case the next one does not.
//!
//! After an upgrade the installed manager may be one that cannot start, or that starts and keeps crashing. The keeper then goes
//! back to the last that did neither, which it holds; it is made here, once this manager has resumed and seen its job
//! files and, where there is one of another already, has lived for a while. The system's is a sealed memory file, since it is
//! the one whose end is the machine's; a session's is the program's file itself, which an upgrade replaces but does not
//! change, and which takes no memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::sync::oneshot;

/// How long a manager must live to take the place of the one that is kept: longer than the keeper needs to see that managers
/// keep ending.
const PROBATION: Duration = Duration::from_secs(15);

/// A copy on its way.
#[derive(Debug)]
pub struct Image(Option<oneshot::Receiver<OwnedFd>>);

/// Whether this program is one that was kept: its name, as the keeper executed it.
#[must_use]
pub fn old_program() -> Option<String> {
    let name = std::env::args_os().next()?;
    name.to_str()?.starts_with("/proc/self/fd/").then(|| {
        let running = std::fs::read_link("/proc/self/exe").unwrap_or_default();
        format!("version {}, {}", env!("CARGO_PKG_VERSION"), running.display())
    })
}

impl Image {
    /// None is wanted.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Begins to make one; on a thread of its own, because it reads a disk. `has_one`: one is kept already.
    #[must_use]
    pub fn begin(is_session: bool, has_one: bool) -> Self {
        if old_program().is_some() {
            // It is the one that is kept.
            return Self::none();
        }
        let (done, receiver) = oneshot::channel();
        let make = move || {
            if has_one {
                thread::sleep(PROBATION);
            }
            match if is_session { File::open("/proc/self/exe").map(OwnedFd::from) } else { copy() } {
                Ok(image) => drop(done.send(image)),
                Err(error) => {
                    crate::report::warn(&format!("no copy of the manager is kept for a failed upgrade: {error}"));
                }
            }
        };
        let spawned = thread::Builder::new().name("image".into()).stack_size(128 * 1024).spawn(make);
        Self(spawned.is_ok().then_some(receiver))
    }

    /// The copy, once it is made. Cancel-safe.
    pub async fn next(&mut self) -> OwnedFd {
        if let Some(receiver) = &mut self.0 {
            let made = receiver.await;
            self.0 = None;
            if let Ok(image) = made {
                return image;
            }
        }
        std::future::pending().await
    }
}

fn copy() -> io::Result<OwnedFd> {
    let mut image = File::from(memfd_create(c"manager", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut image)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&image, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(image.into())
}
