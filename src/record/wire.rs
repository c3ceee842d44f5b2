//! Reading bincode's standard configuration out of a slice, for views: whoever looks at millions of changes pays for each call
//! that is not made inline, and for each error that could have been.
//!
//! It reads what `bincode::config::standard()` writes and refuses what that refuses; a test holds each change against it. The
//! recovery does not come here.
//!
//! | what | form |
//! |---|---|
//! | bool, u8, i8 | one byte |
//! | other unsigned numbers | one byte up to 250; or 251, 252, 253 and then two, four or eight bytes, little-endian |
//! | other signed numbers | the same of `2n`, or `-2n - 1` if negative |
//! | text, bytes, sequences, maps | how many (a number), and then each |
//! | optional | one byte: 0, or 1 and then the value |
//! | variants | which (a number), and then its fields |
//! | structs, tuples | each field |

use std::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Why bytes are not what they should be.
#[derive(Debug)]
pub(crate) enum Bad {
    /// They end too early.
    End,
    /// A byte or number that has no meaning there.
    Value,
    /// A text that is not UTF-8.
    Text,
    /// What the type says.
    Other(Box<str>),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End => "it ends too early",
            Self::Value => "a value without a meaning",
            Self::Text => "a text that is not UTF-8",
            Self::Other(text) => text,
        })
    }
}

impl std::error::Error for Bad {}

impl de::Error for Bad {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Other(text.to_string().into())
    }
}

/// Bytes that are being read.
#[derive(Debug)]
pub(crate) struct Wire<'de> {
    rest: &'de [u8],
}

impl<'de> Wire<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes nobody has read.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Bad> {
        let (&byte, rest) = self.rest.split_first().ok_or(Bad::End)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Bad::End)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// A number of at most so many bytes.
    #[inline]
    fn number(&mut self, bytes_max: u8) -> Result<u64, Bad> {
        match self.byte()? {
            byte @ 0..=250 => Ok(u64::from(byte)),
            mark => self.long_number(mark, bytes_max),
        }
    }

    #[inline(never)]
    fn long_number(&mut self, mark: u8, bytes_max: u8) -> Result<u64, Bad> {
        match mark {
            251 => Ok(u64::from(u16::from_le_bytes(self.array()?))),
            252 if bytes_max >= 4 => Ok(u64::from(u32::from_le_bytes(self.array()?))),
            253 if bytes_max >= 8 => Ok(u64::from_le_bytes(self.array()?)),
            _ => Err(Bad::Value),
        }
    }

    #[inline]
    fn signed(&mut self, bytes_max: u8) -> Result<i64, Bad> {
        let number = self.number(bytes_max)?;
        let half = (number >> 1) as i64;
        Ok(if number & 1 == 0 { half } else { !half })
    }

    /// How many follow. Each of them takes a byte at least, so what claims more is a lie, and is not believed to any allocator.
    #[inline]
    fn count(&mut self) -> Result<usize, Bad> {
        let count = usize::try_from(self.number(8)?).map_err(|_| Bad::End)?;
        if count > self.rest.len() { Err(Bad::End) } else { Ok(count) }
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'de [u8], Bad> {
        let count = self.count()?;
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, Bad> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| Bad::Text)
    }
}

macro_rules! numbers {
    ($($function:ident $visit:ident $number:ty, $read:ident $bytes:expr;)*) => {
        $(#[inline]
        fn $function<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
            visitor.$visit(<$number>::try_from(self.$read($bytes)?).map_err(|_| Bad::Value)?)
        })*
    };
}

/// What bytes do not tell of themselves, or what no record has in it.
macro_rules! refused {
    ($($function:ident)*) => {
        $(fn $function<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Bad> {
            Err(Bad::Value)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Wire<'de> {
    type Error = Bad;

    numbers! {
        deserialize_u16 visit_u16 u16, number 2;
        deserialize_u32 visit_u32 u32, number 4;
        deserialize_u64 visit_u64 u64, number 8;
        deserialize_i16 visit_i16 i16, signed 2;
        deserialize_i32 visit_i32 i32, signed 4;
        deserialize_i64 visit_i64 i64, signed 8;
    }

    refused! {
        deserialize_any deserialize_f32 deserialize_f64 deserialize_char deserialize_identifier deserialize_ignored_any
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(Bad::Value),
        }
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_u8(self.byte()?)
    }

    #[inline]
    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_i8(self.byte()? as i8)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            _ => Err(Bad::Value),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        let left = self.count()?;
        visitor.visit_seq(Parts { wire: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_seq(Parts { wire: self, left })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Bad> {
        visitor.visit_seq(Parts { wire: self, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Bad> {
        let left = self.count()?;
        visitor.visit_map(Parts { wire: self, left })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Bad> {
        visitor.visit_seq(Parts { wire: self, left: fields.len() })
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Bad> {
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// What comes one after the other.
struct Parts<'a, 'de> {
    wire: &'a mut Wire<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Bad;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Bad> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.wire).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = Bad;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Bad> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Bad> {
        seed.deserialize(&mut *self.wire)
    }
}

impl<'de> EnumAccess<'de> for &mut Wire<'de> {
    type Error = Bad;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Bad> {
        let number = u32::try_from(self.number(4)?).map_err(|_| Bad::Value)?;
        let number: U32Deserializer<Bad> = number.into_deserializer();
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Wire<'de> {
    type Error = Bad;

    #[inline]
    fn unit_variant(self) -> Result<(), Bad> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Bad> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_seq(Parts { wire: self, left })
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Bad> {
        visitor.visit_seq(Parts { wire: self, left: fields.len() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use serde::{Deserialize, Serialize};

    use super::*;

    fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Bad> {
        let mut wire = Wire::new(bytes);
        let value = T::deserialize(&mut wire)?;
        if wire.left() == 0 { Ok(value) } else { Err(Bad::Value) }
    }

    fn assert_read<T: Serialize + for<'a> Deserialize<'a> + PartialEq + Debug>(value: T) {
        let bytes = bincode::serde::encode_to_vec(&value, bincode::config::standard()).unwrap();
        assert_eq!(read::<T>(&bytes).unwrap(), value);
        for cut in 0..bytes.len() {
            assert!(read::<T>(&bytes[..cut]).is_err(), "{value:?} {cut}");
        }
    }

    #[test]
    fn what_bincode_writes_is_read_and_no_part_of_it_is_taken_for_the_whole() {
        for bits in 0..64 {
            let number = 1_u64 << bits;
            for number in [number - 1, number, number + 1, !number] {
                assert_read((number, number as i64, (number as i64).wrapping_neg()));
                assert_read((number as u32, number as i32, number as u16, number as i16, number as u8, number as i8));
            }
        }
        assert_read((true, false, Some("text".to_owned()), None::<u8>, vec![Some(3), None]));
        assert_read(BTreeMap::from([("a".to_owned(), vec![1_u8, 2]), ("ä".repeat(300), vec![])]));
    }

    #[test]
    fn what_has_no_meaning_is_refused_as_bincode_refuses_it() {
        assert!(read::<bool>(&[2]).is_err() && read::<Option<u8>>(&[2, 1]).is_err());
        assert!(read::<u16>(&[252, 1, 0, 0, 0]).is_err() && read::<u32>(&[253, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(read::<u64>(&[254; 17]).is_err() && read::<u64>(&[255]).is_err());
        assert!(read::<&str>(&[1, 0xff]).is_err());
        // Lengths without end.
        assert!(read::<&str>(&[253, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
        assert!(read::<Vec<u64>>(&[252, 255, 255, 255, 255, 1]).is_err());
    }
}
