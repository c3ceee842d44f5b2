//! What must hold for any input at all. Each oracle takes arbitrary bytes and panics where a promise is broken.
//!
//! The fuzz targets call them with what libFuzzer makes up, `tests/seeds.rs` with the checked-in seeds and a plain
//! generator, on stable Rust. Oracles know the public face of the crates only, and never how they do what they do.

pub mod codec;
pub mod condition;
pub mod dbus;
pub mod draw;
mod glob;
pub mod inputs;
pub mod job_file;
pub mod journal;
pub mod keeper;
mod play;
pub mod replay;
#[path = "../../src/machine/tests/world/mod.rs"]
mod world;

/// A question to ask of any bytes.
pub type Oracle = fn(&[u8]);

/// All targets: the name of the target (and of the folder of its seeds), and its oracle.
pub const TARGETS: [(&str, Oracle); 10] = [
    ("change_codec", codec::change_codec),
    ("condition", condition::condition),
    ("dbus_handshake", dbus::handshake),
    ("dbus_messages", dbus::messages),
    ("frame", journal::frame),
    ("job_file", job_file::job_file),
    ("keeper_protocol", keeper::protocol),
    ("machine_inputs", inputs::machine_inputs),
    ("replay", replay::replay),
    ("segment_scan", journal::segment_scan),
];
