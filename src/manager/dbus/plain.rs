//! Messages of plain shapes, written straight as bytes.
//!
//! A job's life is some 25 signals and a reply. Their headers are always the same few fields and their bodies a string or
//! two, so the general way of building a message (validated names, typed fields, dynamic signatures) would be most of what
//! starting a job costs the manager. What is written here is little-endian D-Bus, protocol version 1, as in the chapter
//! "Message Protocol" of the D-Bus specification. Everything of another shape goes through `wire`.
//!
//! Knows no announcement and no object.

use machine::effect::Caller;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A whole message as it leaves; one for all that it goes to.
pub(super) type Bytes = Arc<[u8]>;

/// The longest array or message that D-Bus allows, less what the header could take, in bytes.
const BODY_BYTES: usize = 63 << 20;

/// Serials of these messages have the highest bit set, those that zbus gives out (from 1 on) never come that far.
const SERIALS_FROM: u32 = 1 << 31;

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    /// Nothing.
    Nothing,
    /// Signature `s`.
    Text(&'a str),
    /// Signature `o`; must be a valid path.
    Path(&'a str),
    /// Signature `i`.
    Number(i32),
    /// Signature `sas`.
    TextAndList(&'a str, &'a [String]),
}

impl Body<'_> {
    fn signature(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Text(_) => "s",
            Self::Path(_) => "o",
            Self::Number(_) => "i",
            Self::TextAndList(..) => "sas",
        }
    }

    /// Whether D-Bus can carry it: no string has a NUL, and it is not too long.
    fn is_fit(self) -> bool {
        let fits = |text: &str| !text.as_bytes().contains(&0);
        let length = |text: &str| text.len() + 8;
        match self {
            Self::Nothing | Self::Number(_) => true,
            Self::Text(text) | Self::Path(text) => fits(text) && length(text) <= BODY_BYTES,
            Self::TextAndList(text, list) => {
                let lengths = length(text) + list.iter().map(|one| length(one)).sum::<usize>();
                fits(text) && list.iter().all(|one| fits(one)) && lengths <= BODY_BYTES
            }
        }
    }
}

/// A signal; `path`, `interface` and `member` must be valid. None if D-Bus cannot carry the body.
pub(super) fn signal(path: &str, interface: &str, member: &str, body: Body<'_>) -> Option<Bytes> {
    let length = path.len() + interface.len() + member.len();
    Writer::begin(4, length, body)?.field(1, 'o', path).field(2, 's', interface).field(3, 's', member).end(body)
}

/// A method return. None if D-Bus cannot carry the body.
pub(super) fn reply(caller: &Caller, body: Body<'_>) -> Option<Bytes> {
    let sender = caller.sender.as_deref();
    let mut writer = Writer::begin(2, sender.map_or(0, str::len), body)?.reply_serial(caller.serial);
    if let Some(sender) = sender {
        writer = writer.field(6, 's', sender);
    }
    writer.end(body)
}

/// A message in the making.
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// The fixed part, with room for so many more bytes of names.
    fn begin(kind: u8, names: usize, body: Body<'_>) -> Option<Self> {
        const NO_REPLY_EXPECTED: u8 = 1;
        static SERIAL: AtomicU32 = AtomicU32::new(SERIALS_FROM);
        if !body.is_fit() {
            return None;
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed) | SERIALS_FROM;
        let mut bytes = Vec::with_capacity(128 + names);
        bytes.extend([b'l', kind, NO_REPLY_EXPECTED, 1]);
        // Lengths of body and fields; they are known at the end.
        bytes.extend([0; 4]);
        bytes.extend(serial.to_le_bytes());
        bytes.extend([0; 4]);
        Some(Self { bytes })
    }

    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        // Not above BODY_BYTES.
        self.number(text.len() as u32);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// A field that is a string (`s`) or a path (`o`).
    fn field(mut self, code: u8, kind: char, text: &str) -> Self {
        self.align(8);
        self.bytes.extend([code, 1, kind as u8, 0]);
        self.text(text);
        self
    }

    fn reply_serial(mut self, serial: u32) -> Self {
        self.align(8);
        self.bytes.extend([5, 1, b'u', 0]);
        self.number(serial);
        self
    }

    fn end(mut self, body: Body<'_>) -> Option<Bytes> {
        let signature = body.signature();
        if !signature.is_empty() {
            self.align(8);
            self.bytes.extend([8, 1, b'g', 0, signature.len() as u8]);
            self.bytes.extend(signature.as_bytes());
            self.bytes.push(0);
        }
        let fields = u32::try_from(self.bytes.len() - 16).ok()?;
        self.align(8);
        let begin = self.bytes.len();
        self.body(body);
        let length = u32::try_from(self.bytes.len() - begin).ok()?;
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&fields.to_le_bytes());
        Some(self.bytes.into())
    }

    fn body(&mut self, body: Body<'_>) {
        match body {
            Body::Nothing => {}
            Body::Text(text) | Body::Path(text) => self.text(text),
            Body::Number(number) => self.bytes.extend(number.to_le_bytes()),
            Body::TextAndList(text, list) => {
                self.text(text);
                self.align(4);
                let at = self.bytes.len();
                self.bytes.extend([0; 4]);
                list.iter().for_each(|one| self.text(one));
                let length = (self.bytes.len() - at - 4) as u32;
                self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;
    use proptest::prelude::*;
    use zbus::message::{Message, Type};

    fn read(bytes: &Bytes) -> Message {
        let start = bytes.first_chunk().unwrap();
        assert_eq!(wire::length(start), Some(bytes.len()));
        wire::parse(bytes.to_vec(), Vec::new()).unwrap()
    }

    #[test]
    fn a_reply_goes_to_its_caller() {
        let caller = Caller { connection: 1, serial: 77, sender: Some(":1.5".into()) };
        let reply = read(&reply(&caller, Body::Path("/com/ubuntu/Upstart/jobs/a/_")).unwrap());
        let header = reply.header();
        assert_eq!(header.message_type(), Type::MethodReturn);
        assert_eq!(header.reply_serial().unwrap().get(), 77);
        assert_eq!(header.destination().unwrap().as_str(), ":1.5");
        assert!(header.path().is_none() && header.member().is_none());
        let body = reply.body();
        let path: zbus::ObjectPath<'_> = body.deserialize().unwrap();
        assert_eq!(path.as_str(), "/com/ubuntu/Upstart/jobs/a/_");
        let silent = Caller { connection: 1, serial: 1, sender: None };
        let reply = read(&super::reply(&silent, Body::Nothing).unwrap());
        assert!(reply.header().destination().is_none());
        assert_eq!(reply.header().signature().to_string(), "");
    }

    #[test]
    fn what_dbus_cannot_carry_is_refused() {
        assert!(signal("/a", "b.c", "D", Body::Text("x\0y")).is_none());
        assert!(signal("/a", "b.c", "D", Body::TextAndList("x", &["y\0".into()])).is_none());
        let long = "x".repeat(BODY_BYTES);
        assert!(signal("/a", "b.c", "D", Body::Text(&long)).is_none());
    }

    proptest! {
        /// zbus, which builds everything else, is the oracle: the same header and the same body, byte for byte.
        #[test]
        fn a_signal_is_what_zbus_would_build(
            path in "(/[A-Za-z0-9_]{1,9}){1,5}", interface in "[a-z]{1,9}(\\.[A-Za-z]{1,9}){1,4}",
            member in "[A-Za-z]{1,20}", text in "[^\0]{0,20}", list in proptest::collection::vec("[^\0]{0,20}", 0..5),
            number: i32, which in 0..5
        ) {
            let build = |body: Body<'_>| signal(&path, &interface, &member, body).unwrap();
            let other = || Message::signal(path.as_str(), interface.as_str(), member.as_str());
            let (ours, theirs) = match which {
                0 => (build(Body::Nothing), other().build(&()).unwrap()),
                1 => (build(Body::Text(&text)), other().build(&text).unwrap()),
                2 => {
                    let object = zbus::ObjectPath::try_from(path.as_str()).unwrap();
                    (build(Body::Path(&path)), other().build(&object).unwrap())
                }
                3 => (build(Body::Number(number)), other().build(&number).unwrap()),
                _ => (build(Body::TextAndList(&text, &list)), other().build(&(&text, &list)).unwrap()),
            };
            let read = read(&ours);
            let (header, expected) = (read.header(), theirs.header());
            prop_assert_eq!(header.message_type(), Type::Signal);
            prop_assert_eq!(header.path(), expected.path());
            prop_assert_eq!(header.interface(), expected.interface());
            prop_assert_eq!(header.member(), expected.member());
            prop_assert_eq!(header.signature(), expected.signature());
            let (read, theirs) = (read.body(), theirs.body());
            prop_assert_eq!(read.data().bytes(), theirs.data().bytes());
        }
    }
}
