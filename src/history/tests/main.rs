//! What the tools for the past are afraid of, one module a fear.
#![allow(clippy::unwrap_used)]

mod archive;
mod pictures;
mod rig;
mod tool;
mod truth;
