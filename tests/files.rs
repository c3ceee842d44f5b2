//! (to be)
#![allow(clippy::unwrap_used)]
