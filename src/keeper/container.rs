//! Whether process 1 is that of a container: of a part of a machine that somebody outside has made, and will take away.
//!
//! There are no devices, mounts or power to look after then, and to end is to exit.

/// Whoever makes a container says so in this variable of its process 1 (systemd's "Container Interface", which Podman, LXC and
/// systemd-nspawn follow; an image for Docker sets it itself).
const VARIABLE: &str = "container";

/// The signal that means shutdown in a container, besides SIGTERM (same interface: SIGRTMIN+3).
#[must_use]
pub fn shutdown_signal() -> i32 {
    libc::SIGRTMIN() + 3
}

/// Whether this is one, for process 1 and its manager, which has the same environment.
#[must_use]
pub fn is_container() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty())
}
