//! What whole-system tests and the demo stand on: the programs themselves, a machine of their own to run them on, and
//! eyes for everything that happens there.
//!
//! A [`World`] is a machine in the kernel's namespaces: its own pids (so that `init` is process 1), mounts, network
//! and, without root, users. It needs no privilege, no other program, and leaves nothing behind, however it ends.
//! A [`Machine`] is a world with the system init and a user's session in it, set up as people set theirs up.
//!
//! Nothing here waits for time to pass, only for things to happen ([`until`]).

mod machine;
mod namespaces;
mod processes;
mod programs;
mod waiting;
mod world;

pub use machine::{CONDITIONS, Machine, Scope, USER_HOME, USER_RUNTIME};
pub use namespaces::StartError;
pub use processes::{Process, resident_bytes};
pub use programs::{programs, source_root};
pub use waiting::{PATIENCE, until, wait_for};
pub use world::{Answer, PROGRAMS, Setup, World};
