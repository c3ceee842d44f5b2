//! Messages as bytes: where one ends, and building those that init sends. Knows no object and no method.

#![allow(unsafe_code)] // Message::from_bytes is marked unsafe.

use machine::effect::Caller;
use serde::Serialize;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use zbus::message::Message;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{DynamicType, Endian};

use super::plain::Bytes;

/// The largest message taken from a bus, in bytes; longer ones are passed over.
pub(super) const BUS_BYTES: usize = 1024 * 1024;
/// The largest message taken from a client that may change something, in bytes.
pub(super) const PRIVILEGED_BYTES: usize = 8 * 1024 * 1024;
/// The largest message taken from anybody else, in bytes.
pub(super) const ORDINARY_BYTES: usize = 64 * 1024;
/// So many bytes tell how long a message is.
pub(super) const FIXED_BYTES: usize = 16;

/// The error name for what has no other.
pub(super) const FAILED: &str = "org.freedesktop.DBus.Error.Failed";

/// Length of the message that begins like this; none if it is no D-Bus message.
pub(super) fn length(start: &[u8; FIXED_BYTES]) -> Option<usize> {
    let number = |at: usize| {
        let bytes = [start[at], start[at + 1], start[at + 2], start[at + 3]];
        match start[0] {
            b'l' => Some(u32::from_le_bytes(bytes)),
            b'B' => Some(u32::from_be_bytes(bytes)),
            _ => None,
        }
    };
    let body = usize::try_from(number(4)?).ok()?;
    let fields = usize::try_from(number(12)?).ok()?;
    // 128 MiB and 64 MiB are the limits of the specification; they keep the sum from overflowing too.
    (body <= 128 << 20 && fields <= 64 << 20).then(|| FIXED_BYTES + fields.next_multiple_of(8) + body)
}

/// Reads a whole message.
///
/// # Errors
/// When it is malformed.
pub(super) fn parse(bytes: Vec<u8>, descriptors: Vec<OwnedFd>) -> Result<Message, zbus::Error> {
    let endian = match bytes.first() {
        Some(b'B') => Endian::Big,
        _ => Endian::Little,
    };
    let data = Data::new_fds(bytes, Context::new(endian, 0), descriptors.into_iter().map(zbus::OwnedFd::from));
    // SAFETY: "unsafe as bytes may have an invalid encoding" means that getters of the message may fail; the header is
    // checked here, the body when it is deserialized.
    unsafe { Message::from_bytes(data) }
}

/// The bytes of a message without descriptors.
pub(super) fn bytes(message: &Message) -> Bytes {
    message.data().bytes().into()
}

/// A call to take a header from: replies are made for a header, and all that is known here is a [`Caller`].
fn template() -> Option<&'static Message> {
    static TEMPLATE: OnceLock<Option<Message>> = OnceLock::new();
    TEMPLATE.get_or_init(|| Message::method_call("/", "Template").build(&()).ok()).as_ref()
}

/// A method return. None only if the body cannot be written as D-Bus (a string with a NUL).
pub(super) fn reply<B: Serialize + DynamicType>(caller: &Caller, body: &B) -> Option<Bytes> {
    let header = template()?.header();
    let mut builder = Message::method_return(&header).reply_serial(NonZeroU32::new(caller.serial));
    if let Some(sender) = &caller.sender {
        builder = builder.destination(sender.as_str());
    }
    builder.build(body).ok().as_ref().map(bytes)
}

/// An error.
pub(super) fn error(caller: &Caller, name: &str, text: &str) -> Option<Bytes> {
    let header = template()?.header();
    let mut builder = Message::error(&header, name).reply_serial(NonZeroU32::new(caller.serial));
    if let Some(sender) = &caller.sender {
        builder = builder.destination(sender.as_str());
    }
    builder.build(&text).ok().as_ref().map(bytes)
}

/// A signal.
pub(super) fn signal<B: Serialize + DynamicType>(path: &str, interface: &str, member: &str, body: &B) -> Option<Bytes> {
    Message::signal(path, interface, member).build(body).ok().as_ref().map(bytes)
}

/// A call to the bus itself.
pub(super) fn bus_call<B: Serialize + DynamicType>(member: &str, body: &B) -> Option<Message> {
    const BUS: &str = "org.freedesktop.DBus";
    Message::method_call("/org/freedesktop/DBus", member).destination(BUS).interface(BUS).build(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn caller() -> Caller {
        Caller { connection: 1, serial: 77, sender: Some(":1.5".into()) }
    }

    #[test]
    fn a_reply_is_made_of_a_caller_alone() {
        let reply = reply(&caller(), &("x", 1_u32)).unwrap();
        assert_eq!(length(reply[..FIXED_BYTES].try_into().unwrap()), Some(reply.len()));
        let read = parse(reply.to_vec(), Vec::new()).unwrap();
        let header = read.header();
        assert_eq!(header.reply_serial().unwrap().get(), 77);
        assert_eq!(header.destination().unwrap().as_str(), ":1.5");
        assert!(header.path().is_none() && header.member().is_none());
        let error = parse(error(&caller(), FAILED, "text").unwrap().to_vec(), Vec::new()).unwrap();
        assert_eq!(error.header().error_name().unwrap().as_str(), FAILED);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), start: bool) {
            if start {
                let call = Message::method_call("/a", "B").interface("c.d").build(&(vec!["x"], 1_u8)).unwrap();
                let whole = call.data().bytes();
                for (at, byte) in whole.iter().enumerate() {
                    match bytes.get_mut(at) {
                        Some(old) if *old % 8 != 0 => *old = *byte,
                        Some(_) => {}
                        None => bytes.push(*byte),
                    }
                }
            }
            if let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() {
                let _ = length(fixed);
            }
            if let Ok(message) = parse(bytes, Vec::new()) {
                let header = message.header();
                let _ = (header.path(), header.member(), header.sender(), header.signature().to_string());
                let _ = message.body().deserialize::<(Vec<String>, u8)>();
                let _ = message.body().deserialize::<(String, String, zbus::Variant<'_>)>();
            }
        }
    }
}
