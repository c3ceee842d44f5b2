//! The program that worked: a copy of ourselves for the keeper, in case the next one does not.
//!
//! After an upgrade the installed manager may be one that cannot start. The keeper then goes back to the last that could,
//! which it holds as a sealed memory file; it is made here, once this manager has resumed and seen its job files. Only the
//! system's keeper gets one: it is the one whose end is the machine's, and the copy takes some megabytes of memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::sync::oneshot;

/// A copy on its way.
#[derive(Debug)]
pub struct Image(Option<oneshot::Receiver<OwnedFd>>);

impl Image {
    /// None is wanted.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Begins to make one; on a thread of its own, because it reads a disk.
    #[must_use]
    pub fn begin() -> Self {
        let (done, receiver) = oneshot::channel();
        let spawned = thread::Builder::new().name("image".into()).stack_size(128 * 1024).spawn(move || match make() {
            Ok(image) => drop(done.send(image)),
            Err(error) => crate::report::warn(&format!("no copy of the manager is kept for a failed upgrade: {error}")),
        });
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

fn make() -> io::Result<OwnedFd> {
    let mut image = File::from(memfd_create(c"manager", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut image)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&image, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(image.into())
}
