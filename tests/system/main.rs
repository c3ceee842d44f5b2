//! The whole system, for real: `init` as process 1 of a machine of its own, real kills, real clients.
//!
//! Each module is one fear.

mod rig;
