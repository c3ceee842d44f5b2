//! The time of day where the machine is.
//!
//! Knows localtime(3) only; it is asked for times that people type and read.

// localtime_r(3) has no safe form in the C library's bindings.
#![allow(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

/// Minutes in a day.
pub const DAY_MIN: u32 = 24 * 60;

/// Minutes since local midnight.
#[allow(clippy::disallowed_methods, reason = "people type times of day")]
pub fn minute_of_day() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.unwrap_or_default().as_secs() as libc::time_t;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values; zero is a valid `tm`, should the call fail.
    let parts = unsafe {
        libc::localtime_r(&seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    u32::try_from(parts.tm_hour * 60 + parts.tm_min).unwrap_or_default() % DAY_MIN
}
