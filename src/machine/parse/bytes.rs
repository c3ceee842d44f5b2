//! Bytes in, text out, and back: job files are bytes, classes hold text.
//!
//! Job files of the last century are Latin-1 as often as UTF-8, and a script with such a byte must reach the shell as it
//! was written. A byte that is no UTF-8 therefore becomes one character of a private range, U+F780 for 0x80 to U+F7FF for
//! 0xFF, and becomes that byte again when a process is spawned. Characters of that range itself are taken apart into bytes
//! the same way, so that nothing is ambiguous: `bytes_of(text_of(x)) == x` for every x. It must never know what it carries.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// What is added to a byte to get its stand-in.
const BASE: u32 = 0xF700;

/// Text for bytes of any kind; borrowed when they are plain UTF-8.
#[must_use]
pub fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = core::str::from_utf8(bytes)
        && !text.contains(is_stand_in)
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_stand_in(character) {
                let mut buffer = [0; 4];
                character.encode_utf8(&mut buffer).bytes().for_each(|byte| text.push(stand_in(byte)));
            } else {
                text.push(character);
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push(stand_in(*byte)));
    }
    Cow::Owned(text)
}

/// The bytes that [`text_of`] made this text from: what argv, environment and scripts of a process must be given.
#[must_use]
pub fn bytes_of(text: &str) -> Cow<'_, [u8]> {
    // All of the range begin with this byte in UTF-8, and hardly anything else does.
    if !text.as_bytes().contains(&0xEF) || !text.contains(is_stand_in) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte_behind(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// Whether this character stands for a byte.
pub(super) fn is_stand_in(character: char) -> bool {
    byte_behind(character).is_some()
}

fn byte_behind(character: char) -> Option<u8> {
    let byte = u32::from(character).checked_sub(BASE)?;
    u8::try_from(byte).ok().filter(|byte| !byte.is_ascii())
}

/// Only for bytes that are not ASCII, which invalid bytes and the parts of a longer character never are.
fn stand_in(byte: u8) -> char {
    char::from_u32(BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(text_of("exec caf\u{e9}\n".as_bytes()), Cow::Borrowed(_)));
        assert!(matches!(bytes_of("exec caf\u{e9}\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn latin_1_survives_the_way_there_and_back() {
        let text = text_of(b"author J\xfcrgen");
        assert_eq!(text, "author J\u{f7fc}rgen");
        assert_eq!(&*bytes_of(&text), b"author J\xfcrgen");
    }

    #[test]
    fn characters_of_the_private_range_are_no_bytes_afterwards() {
        let original = "a\u{f7fc}b\u{f700}".as_bytes();
        let text = text_of(original);
        assert_eq!(text.chars().filter(|c| is_stand_in(*c)).count(), 3);
        assert_eq!(&*bytes_of(&text), original);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let text = text_of(&bytes);
            proptest::prop_assert_eq!(&*bytes_of(&text), &bytes[..]);
        }
    }
}
