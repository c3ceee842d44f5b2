//! Feeds arbitrary bytes to the oracle of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::dbus::handshake(data));
