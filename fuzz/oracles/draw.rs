//! Arbitrary bytes as a source of choices. When they run out, every choice is the first one, so that inputs stay short.

/// Bytes that are taken one after the other.
#[derive(Clone, Debug)]
pub struct Draw<'a> {
    rest: &'a [u8],
}

impl<'a> Draw<'a> {
    /// From these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next byte, or 0.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// So many bytes, or what is left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A number below `bound` (at most 256).
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// True for one choice in two.
    pub fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// One of these.
    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// A number of any size; small ones and the largest are as likely as all others.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => u64::from(small),
            200..=209 => u64::MAX - u64::from(self.byte()),
            _ => self.bytes(8).iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
        }
    }

    /// A short text of any bytes, read as UTF-8 as far as it is.
    pub fn text(&mut self) -> String {
        let count = self.below(24);
        String::from_utf8_lossy(self.bytes(count)).into_owned()
    }

    /// Up to `limit` things.
    pub fn list<T>(&mut self, limit: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(limit + 1);
        (0..count).map(|_| one(self)).collect()
    }
}
