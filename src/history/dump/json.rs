//! JSON of changes, byte by byte as `serde_json` writes it, at several times its speed: it goes into memory only, the names of
//! fields and variants need no look for what must be escaped, and most texts do not either.
//!
//! It knows the shapes that changes and origins are made of. Whatever else there is in one (job files have maps in them) is left
//! to `serde_json`, the whole of it.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};

/// Appends a value.
pub(super) fn put<T: Serialize + ?Sized>(buffer: &mut Vec<u8>, value: &T) {
    let begin = buffer.len();
    if value.serialize(Json { out: buffer }).is_err() {
        buffer.truncate(begin);
        // Writing into memory what has only strings as keys cannot fail.
        let _ = serde_json::to_writer(buffer, value);
    }
}

/// Appends a text.
pub(super) fn put_text(buffer: &mut Vec<u8>, text: &str) {
    // Without an early end, so that the compiler makes it many bytes at a time.
    let must_escape = |found: bool, &byte: &u8| found | (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if text.as_bytes().iter().fold(false, must_escape) {
        let _ = serde_json::to_writer(buffer, text);
        return;
    }
    buffer.reserve(text.len() + 2);
    buffer.push(b'"');
    buffer.extend_from_slice(text.as_bytes());
    buffer.push(b'"');
}

/// Appends a number.
pub(super) fn put_number(buffer: &mut Vec<u8>, number: impl itoa::Integer) {
    buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A shape that is not among ours.
#[derive(Debug)]
struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a shape that changes are not made of")
    }
}

impl std::error::Error for Unknown {}

impl ser::Error for Unknown {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Json<'a> {
    out: &'a mut Vec<u8>,
}

impl Json<'_> {
    /// A name out of the source, which needs no escape.
    #[inline]
    fn name(&mut self, name: &'static str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
    }

    #[inline]
    fn variant(&mut self, name: &'static str) {
        self.out.push(b'{');
        self.name(name);
        self.out.push(b':');
    }
}

/// What has parts, and how it ends.
struct Parts<'a> {
    json: Json<'a>,
    is_first: bool,
    end: &'static [u8],
}

impl<'a> Parts<'a> {
    #[inline]
    fn new(json: Json<'a>, begin: u8, end: &'static [u8]) -> Self {
        json.out.push(begin);
        Self { json, is_first: true, end }
    }

    #[inline]
    fn next(&mut self) {
        if !self.is_first {
            self.json.out.push(b',');
        }
        self.is_first = false;
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
        self.next();
        value.serialize(Json { out: self.json.out })
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unknown> {
        self.next();
        self.json.name(name);
        self.json.out.push(b':');
        value.serialize(Json { out: self.json.out })
    }

    #[inline]
    fn finish(self) -> Result<(), Unknown> {
        self.json.out.extend_from_slice(self.end);
        Ok(())
    }
}

/// Parts without names.
macro_rules! elements {
    ($($kind:ident $function:ident),*) => {
        $(impl ser::$kind for Parts<'_> {
            type Ok = ();
            type Error = Unknown;

            #[inline]
            fn $function<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<(), Unknown> {
                self.finish()
            }
        })*
    };
}

elements!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleVariant serialize_field
);

/// Parts with names.
macro_rules! fields {
    ($($kind:ident),*) => {
        $(impl ser::$kind for Parts<'_> {
            type Ok = ();
            type Error = Unknown;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unknown> {
                self.field(name, value)
            }

            #[inline]
            fn end(self) -> Result<(), Unknown> {
                self.finish()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

macro_rules! numbers {
    ($($function:ident $number:ty),*) => {
        $(#[inline]
        fn $function(self, number: $number) -> Result<(), Unknown> {
            put_number(self.out, number);
            Ok(())
        })*
    };
}

macro_rules! unknown {
    ($($function:ident($($argument:ty),*) -> $answer:ty;)*) => {
        $(fn $function(self, $(_: $argument),*) -> Result<$answer, Unknown> {
            Err(Unknown)
        })*
    };
}

impl<'a> Serializer for Json<'a> {
    type Ok = ();
    type Error = Unknown;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Impossible<(), Unknown>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Impossible<(), Unknown>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    numbers!(serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64);
    numbers!(serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64);

    unknown! {
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_tuple_struct(&'static str, usize) -> Impossible<(), Unknown>;
        serialize_map(Option<usize>) -> Impossible<(), Unknown>;
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Unknown> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Unknown> {
        put_text(self.out, text);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Unknown> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unknown> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit_variant(mut self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Unknown> {
        self.name(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unknown> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        self.variant(variant);
        value.serialize(Json { out: &mut *self.out })?;
        self.out.push(b'}');
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Unknown> {
        Ok(Parts::new(self, b'[', b"]"))
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Unknown> {
        Ok(Parts::new(self, b'[', b"]"))
    }

    #[inline]
    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Unknown> {
        self.variant(variant);
        Ok(Parts::new(self, b'[', b"]}"))
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Unknown> {
        Ok(Parts::new(self, b'{', b"}"))
    }

    #[inline]
    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Unknown> {
        self.variant(variant);
        Ok(Parts::new(self, b'{', b"}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_same(value: &(impl Serialize + fmt::Debug)) {
        let mut ours = Vec::new();
        put(&mut ours, value);
        let theirs = serde_json::to_vec(value).unwrap();
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs), "{value:?}");
    }

    /// Whether there is a turn that begins like this, with all that follows being zeros, ones or twos.
    fn is_one(begin: &[u8]) -> bool {
        let mut is_found = false;
        for fill in [0, 1, 2] {
            for length in 0..300 {
                let bytes: Vec<u8> = begin.iter().copied().chain(std::iter::repeat_n(fill, length)).collect();
                let mut changes = Vec::new();
                if let Ok(head) = record::view_turn(&bytes, &mut changes) {
                    assert_same(&head.origin);
                    changes.iter().for_each(assert_same);
                    is_found = true;
                }
            }
        }
        is_found
    }

    /// Fear: a script that reads the dump gets something else than before, for a change that no test has in its journal.
    #[test]
    fn every_change_and_origin_becomes_what_serde_json_makes_of_it() {
        const TICK: u8 = 18;
        const ANNOUNCED: u8 = 42;
        let count = |begin: &[u8]| (0..=60).filter(|number| is_one(&[begin, &[*number]].concat())).count();
        assert_eq!(count(&[2, 0, 0]), 19, "origins");
        assert_eq!(count(&[2, 0, 0, TICK, 1]), 51, "changes");
        assert_eq!(count(&[2, 0, 0, TICK, 1, ANNOUNCED]), 11, "announcements");
    }

    #[test]
    fn every_text_and_number_is_as_serde_json_writes_it() {
        for c in (0..0x120).chain([0x2028, 0xfffd, 0x1f600]).filter_map(char::from_u32) {
            assert_same(&format!("{c}"));
            assert_same(&format!("a text that is long enough for the fast way{c}, and goes on behind it"));
        }
        for number in [0, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
            assert_same(&number);
        }
        assert_same(&(i32::MIN, -1_i64, [Some(true), None], Some("x"), ()));
        let map = std::collections::BTreeMap::from([(1, 2.5), (3, 4.0)]);
        assert_same(&(map, 'c'));
    }
}
