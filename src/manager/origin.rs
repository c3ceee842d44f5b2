//! When a turn was taken and who asked for it, as that is written down beside its changes. Nothing of it is ever replayed.

use std::time::{SystemTime, UNIX_EPOCH};

use machine::effect::Caller;
use nix::time::{ClockId, clock_gettime};
use record::{Stamp, Who};

use crate::dbus::Dbus;

/// Time since boot, in microseconds; goes on during suspend (clock_gettime(2)).
#[must_use]
pub fn since_boot_us() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or_else(|_| nix::sys::time::TimeSpec::new(0, 0));
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1000
}

/// Now, by both clocks.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "what people will look for; nothing is decided by it")]
pub fn stamp() -> Stamp {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp { boot_us: since_boot_us(), wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX) }
}

/// Who makes a call over the private socket.
#[must_use]
pub fn who(caller: &Caller, dbus: &Dbus) -> Option<Who> {
    if caller.sender.is_some() {
        return None;
    }
    let (uid, pid, program) = dbus.peer(caller.connection)?;
    Some(Who { uid: *uid, pid: *pid, program: program.clone() })
}
