//! Messages of plain shapes, written straight as bytes.
//!
//! A job's life is some 25 signals and a reply. Their headers are always the same few fields and their bodies a string or
//! two, so the general way of building a message (validated names, typed fields, dynamic signatures) would be most of what
//! starting a job costs the manager. What is written here is little-endian D-Bus, protocol version 1, as in the chapter
//! "Message Protocol" of the D-Bus specification. Everything of another shape goes through `wire`.
//!
//! Knows no announcement, and of objects their paths.

use machine::effect::Caller;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::path::Path;

/// Whole messages as they leave, one or more; in memory once for all that they go to.
pub(super) type Bytes = Arc<[u8]>;

/// The longest array that D-Bus allows, less what escaping and a header could add, in bytes.
const BODY_BYTES: usize = 63 << 20;

/// The longest name that becomes a part of a path, where each byte may take three.
const NAME_BYTES: usize = 8 << 20;

/// Serials of these messages have the highest bit set, those that zbus gives out (from 1 on) never come that far.
const SERIALS_FROM: u32 = 1 << 31;

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    /// Nothing.
    Nothing,
    /// Signature `s`.
    Text(&'a str),
    /// Signature `o`.
    Object(Path<'a>),
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
            Self::Object(_) => "o",
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
            Self::Text(text) => fits(text) && length(text) <= BODY_BYTES,
            Self::Object(Path::Manager) => true,
            Self::Object(Path::Class(name)) => name.len() <= NAME_BYTES,
            Self::Object(Path::Instance(class, name)) => class.len().max(name.len()) <= NAME_BYTES,
            Self::TextAndList(text, list) => {
                let lengths = length(text) + list.iter().map(|one| length(one)).sum::<usize>();
                fits(text) && list.iter().all(|one| fits(one)) && lengths <= BODY_BYTES
            }
        }
    }
}

/// Appends a signal; `interface` and `member` must be valid. Nothing, if D-Bus cannot carry it.
pub(super) fn signal(to: &mut Vec<u8>, path: Path<'_>, interface: &str, member: &str, body: Body<'_>) {
    if body.is_fit() && Body::Object(path).is_fit() {
        let mut writer = Writer::begin(to, 4);
        writer.object_field(1, path);
        writer.field(2, interface);
        writer.field(3, member);
        writer.end(body);
    }
}

/// A method return. None if D-Bus cannot carry the body.
pub(super) fn reply(caller: &Caller, body: Body<'_>) -> Option<Bytes> {
    if !body.is_fit() {
        return None;
    }
    let mut bytes = Vec::with_capacity(256);
    let mut writer = Writer::begin(&mut bytes, 2);
    writer.reply_serial(caller.serial);
    if let Some(sender) = &caller.sender {
        writer.field(6, sender);
    }
    writer.end(body);
    Some(bytes.into())
}

/// A message in the making, behind others.
struct Writer<'b> {
    bytes: &'b mut Vec<u8>,
    /// Where it begins: all alignment counts from there.
    begin: usize,
}

impl<'b> Writer<'b> {
    /// The fixed part.
    fn begin(bytes: &'b mut Vec<u8>, kind: u8) -> Self {
        const NO_REPLY_EXPECTED: u8 = 1;
        static SERIAL: AtomicU32 = AtomicU32::new(SERIALS_FROM);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed) | SERIALS_FROM;
        let begin = bytes.len();
        let mut fixed = [b'l', kind, NO_REPLY_EXPECTED, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        // Lengths of body and fields, before and after it, are known at the end.
        fixed[8..12].copy_from_slice(&serial.to_le_bytes());
        bytes.extend(fixed);
        Self { bytes, begin }
    }

    fn align(&mut self, to: usize) {
        let length = (self.bytes.len() - self.begin).next_multiple_of(to);
        self.bytes.resize(self.begin + length, 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_le_bytes());
    }

    /// Fills in a length that was left open.
    fn patch(&mut self, at: usize, length: usize) {
        // What is written was fit for a message.
        self.bytes[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn object(&mut self, path: Path<'_>) {
        self.number(0);
        let begin = self.bytes.len();
        path.write(self.bytes);
        self.patch(begin - 4, self.bytes.len() - begin);
        self.bytes.push(0);
    }

    /// The head of a field of this type.
    fn head(&mut self, code: u8, kind: u8) {
        self.align(8);
        self.bytes.extend([code, 1, kind, 0]);
    }

    fn field(&mut self, code: u8, text: &str) {
        self.head(code, b's');
        self.text(text);
    }

    fn object_field(&mut self, code: u8, path: Path<'_>) {
        self.head(code, b'o');
        self.object(path);
    }

    fn reply_serial(&mut self, serial: u32) {
        self.head(5, b'u');
        self.number(serial);
    }

    fn end(mut self, body: Body<'_>) {
        let signature = body.signature();
        if !signature.is_empty() {
            self.head(8, b'g');
            self.bytes.push(signature.len() as u8);
            self.bytes.extend(signature.as_bytes());
            self.bytes.push(0);
        }
        self.patch(self.begin + 12, self.bytes.len() - self.begin - 16);
        self.align(8);
        let begin = self.bytes.len();
        self.body(body);
        self.patch(self.begin + 4, self.bytes.len() - begin);
    }

    fn body(&mut self, body: Body<'_>) {
        match body {
            Body::Nothing => {}
            Body::Text(text) => self.text(text),
            Body::Object(path) => self.object(path),
            Body::Number(number) => self.bytes.extend(number.to_le_bytes()),
            Body::TextAndList(text, list) => {
                self.text(text);
                self.number(0);
                let begin = self.bytes.len();
                list.iter().for_each(|one| self.text(one));
                self.patch(begin - 4, self.bytes.len() - begin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{path, wire};
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
        let reply = read(&reply(&caller, Body::Object(Path::Instance("a", ""))).unwrap());
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
    fn what_dbus_cannot_carry_is_refused_and_leaves_no_trace() {
        let long = "x".repeat(BODY_BYTES);
        let name = "x".repeat(NAME_BYTES + 1);
        let list = ["y\0".to_owned()];
        let unfit = [
            Body::Text("x\0y"),
            Body::TextAndList("x", &list),
            Body::Text(&long),
            Body::Object(Path::Class(&name)),
            Body::Object(Path::Instance("a", &name)),
        ];
        for body in unfit {
            let mut bytes = vec![7];
            signal(&mut bytes, Path::Manager, "b.c", "D", body);
            assert_eq!(bytes, [7]);
        }
        let mut bytes = Vec::new();
        signal(&mut bytes, Path::Instance(&name, ""), "b.c", "D", Body::Nothing);
        assert!(bytes.is_empty());
    }

    proptest! {
        /// zbus, which builds everything else, is the oracle: the same header and the same body, byte for byte, wherever in
        /// the bytes it begins.
        #[test]
        fn a_signal_is_what_zbus_would_build(
            class_name in ".{0,9}", name in ".{0,9}", of in 0..3, interface in "[a-z]{1,9}(\\.[A-Za-z]{1,9}){1,4}",
            member in "[A-Za-z]{1,20}", text in "[^\0]{0,20}", list in proptest::collection::vec("[^\0]{0,20}", 0..5),
            number: i32, which in 0..5, before in 0..9_usize
        ) {
            let (path, expected) = match of {
                0 => (Path::Manager, path::MANAGER.to_owned()),
                1 => (Path::Class(&class_name), path::class(&class_name)),
                _ => (Path::Instance(&class_name, &name), path::instance(&class_name, &name)),
            };
            let build = |body: Body<'_>| {
                let mut bytes = vec![0xff; before];
                signal(&mut bytes, path, &interface, &member, body);
                Bytes::from(&bytes[before..])
            };
            let other = || Message::signal(expected.as_str(), interface.as_str(), member.as_str());
            let (ours, theirs) = match which {
                0 => (build(Body::Nothing), other().build(&()).unwrap()),
                1 => (build(Body::Text(&text)), other().build(&text).unwrap()),
                2 => {
                    let object = zbus::ObjectPath::try_from(expected.as_str()).unwrap();
                    (build(Body::Object(path)), other().build(&object).unwrap())
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
