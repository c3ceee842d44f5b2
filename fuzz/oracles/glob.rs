//! Shell patterns as the C library reads them: the reference for values in conditions.

#![allow(unsafe_code)] // fnmatch(3) is only there as a C function.

use std::ffi::CString;

/// What fnmatch(3) says of a pattern and a text, in the C locale; none where a string holds a NUL.
pub(crate) fn of_the_c_library(pattern: &str, text: &str) -> Option<bool> {
    let (pattern, text) = (CString::new(pattern).ok()?, CString::new(text).ok()?);
    // SAFETY: both are strings that end in NUL and outlive the call, which keeps neither.
    Some(unsafe { libc::fnmatch(pattern.as_ptr(), text.as_ptr(), 0) } == 0)
}
