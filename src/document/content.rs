//! The content of a document's Fugue texts and lists: every unit and every value ever inserted,
//! once. Runs and log rows refer to it, so that typing appends one byte and nothing is copied when
//! it is read, exported or split.
//!
//! Text that is all ASCII takes one byte per UTF-16 unit, other text two; a value, its bytes and
//! four more.

use super::types::TextUnit;
use super::wide_pool::WidePool;
use crate::sequence::Content;
use crate::tree::{LazyVec, TextSums};

/// Three append-only pools.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContentPool {
    narrow: Vec<u8>,
    wide: WidePool,
    values: Values,
    /// Units that nothing refers to any more, as far as is known.
    garbage: usize,
}

impl ContentPool {
    /// Where the next ASCII text will be.
    #[inline]
    pub fn next_narrow(&self) -> Content {
        Content::new(self.narrow.len() as u32, false)
    }

    /// Adds an ASCII character.
    #[inline]
    pub fn push_byte(&mut self, byte: u8) {
        if self.narrow.len() == self.narrow.capacity() {
            reserve(&mut self.narrow, 1);
        }
        self.narrow.push(byte);
    }

    /// Adds text; returns where it is and its length in UTF-16 units.
    #[inline]
    pub fn push_str(&mut self, text: &str) -> (Content, u32) {
        if let [byte @ 0..0x80] = text.as_bytes() {
            // A key was pressed: no call to copy a byte.
            let content = self.next_narrow();
            self.push_byte(*byte);
            return (content, 1);
        }
        self.push_long_str(text)
    }

    fn push_long_str(&mut self, text: &str) -> (Content, u32) {
        if text.is_ascii() {
            let content = Content::new(self.narrow.len() as u32, false);
            reserve(&mut self.narrow, text.len());
            self.narrow.extend_from_slice(text.as_bytes());
            return (content, text.len() as u32);
        }
        let start = self.wide.len();
        self.wide.push_str(text);
        (
            Content::new(start as u32, true),
            (self.wide.len() - start) as u32,
        )
    }

    /// Adds ASCII text.
    pub fn push_ascii(&mut self, text: &[u8]) -> Content {
        debug_assert!(text.is_ascii());
        let content = Content::new(self.narrow.len() as u32, false);
        self.narrow.extend_from_slice(text);
        content
    }

    /// Adds UTF-16 units to the wide pool, whatever they are.
    pub fn push_wide(&mut self, units: &[u16]) -> Content {
        let content = Content::new(self.wide.len() as u32, true);
        self.wide.extend_from_slice(units);
        content
    }

    /// Where the next ASCII text and the next other text go.
    pub fn ends(&self) -> [Content; 2] {
        [
            Content::new(self.narrow.len() as u32, false),
            Content::new(self.wide.len() as u32, true),
        ]
    }

    /// Adds UTF-16 units, which may hold lone surrogates.
    pub fn push_units(&mut self, units: &[u16]) -> Content {
        if units.iter().all(|unit| *unit < 0x80) {
            let content = Content::new(self.narrow.len() as u32, false);
            reserve(&mut self.narrow, units.len());
            self.narrow.extend(units.iter().map(|unit| *unit as u8));
            return content;
        }
        let content = Content::new(self.wide.len() as u32, true);
        self.wide.extend_from_slice(units);
        content
    }

    /// Adds the bytes of one value.
    pub fn push_value(&mut self, value: &[u8]) -> Content {
        self.push_values([value])
    }

    /// Adds the bytes of several values; returns where the first one is.
    pub fn push_values<'a>(&mut self, values: impl IntoIterator<Item = &'a [u8]>) -> Content {
        let start = self.values_end();
        values.into_iter().for_each(|value| self.values.push(value));
        start
    }

    /// Adds a value, the bytes that `write` appends; returns how many. An error leaves nothing
    /// behind.
    pub fn push_written<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (bytes, ends) = (self.values.bytes.filled(), self.values.ends.filled());
        let before = bytes.len();
        write(bytes).inspect_err(|_| bytes.truncate(before))?;
        ends.push(bytes.len() as u32);
        Ok(bytes.len() - before)
    }

    /// Where the next value will be.
    pub fn values_end(&self) -> Content {
        Content::of_value(self.values.ends.len() as u32)
    }

    /// Forgets the values from a place on, which nothing refers to.
    pub fn truncate_values(&mut self, end: Content) {
        self.values.truncate(end.offset() as usize);
    }

    /// The bytes of one value.
    pub fn value(&self, content: Content) -> &[u8] {
        self.values.get(content.offset() as usize)
    }

    /// The bytes of `count` values from a place on.
    pub fn values(&self, content: Content, count: u32) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..count).map(move |nth| self.value(content.plus(nth)))
    }

    /// Whether the units from a place on are these.
    pub fn holds(&self, content: Content, units: &[u16]) -> bool {
        match self.slice(content, units.len() as u32) {
            Units::Narrow(bytes) => bytes
                .iter()
                .map(|byte| u16::from(*byte))
                .eq(units.iter().copied()),
            Units::Wide(known) => known == units,
        }
    }

    /// Nothing refers to so many units any more.
    pub fn give_up(&mut self, units: usize) {
        self.garbage += units;
    }

    /// Whether most of it is of no use.
    pub fn is_mostly_garbage(&self) -> bool {
        self.garbage * 2 > self.narrow.len() + self.wide.len() + self.values.ends.len()
    }

    /// No pool is longer than this, in its own units.
    pub fn len_max(&self) -> usize {
        let values = self.values.bytes.len() | self.values.ends.len();
        self.narrow.len() | self.wide.len() | values
    }

    /// Whether content of so many bytes fits: pools hold less than 2^31 narrow units, 2^30 wide
    /// ones, and 2^30 values of 4 GiB.
    pub fn has_room(&self, bytes: usize) -> bool {
        const COUNT_MAX: usize = Content::OFFSET_LIMIT as usize - 1;
        self.narrow.len() + bytes < 2 * COUNT_MAX
            && self.wide.len().max(self.values.ends.len()) + bytes < COUNT_MAX
            && self.values.bytes.len() + bytes < u32::MAX as usize
    }

    /// Appends `units` UTF-16 units from a place on.
    pub fn copy_utf16(&self, content: Content, units: u32, out: &mut Vec<u16>) {
        match self.slice(content, units) {
            Units::Narrow(bytes) => out.extend(bytes.iter().map(|byte| u16::from(*byte))),
            Units::Wide(units) => out.extend_from_slice(units),
        }
    }

    /// The units of text from a place on.
    pub fn slice(&self, content: Content, units: u32) -> Units<'_> {
        let start = content.offset() as usize;
        let range = start..start + units as usize;
        match content.is_wide() {
            true => Units::Wide(self.wide.slice(range)),
            false => Units::Narrow(&self.narrow[range]),
        }
    }

    /// How long a stretch of text is in every unit. O(1).
    pub fn sums(&self, content: Content, units: u32) -> TextSums {
        let start = content.offset() as usize;
        match content.is_wide() {
            true => self.wide.sums(start..start + units as usize),
            false => TextSums::ascii(u64::from(units)),
        }
    }

    /// Skips a part of a stretch of text whose end is not behind `index`: from a text `reached`
    /// on, where it begins. What is left, if it is wide, is short. O(log units).
    pub fn skip(
        &self,
        content: Content,
        units: u32,
        reached: TextSums,
        index: u64,
        unit: TextUnit,
    ) -> (u32, TextSums) {
        if !content.is_wide() {
            return (0, reached);
        }
        let start = content.offset() as usize;
        let range = start..start + units as usize;
        let (at, reached) = self.wide.skip(range, reached, index, unit);
        ((at - start) as u32, reached)
    }

    /// Copies a stretch of another pool; returns where it is now.
    pub fn copy_from(&mut self, other: &ContentPool, content: Content, units: u32) -> Content {
        if content.is_value() {
            return self.push_values(other.values(content, units));
        }
        match other.slice(content, units) {
            Units::Narrow(bytes) => {
                let start = self.narrow.len() as u32;
                self.narrow.extend_from_slice(bytes);
                Content::new(start, false)
            }
            Units::Wide(units) => {
                let start = self.wide.len() as u32;
                self.wide.extend_from_slice(units);
                Content::new(start, true)
            }
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.narrow.capacity()
            + self.wide.heap_bytes()
            + self.values.bytes.capacity()
            + 4 * self.values.ends.capacity()
    }
}

/// Room for so many more. A large pool grows by a part of itself, where a doubling vector would
/// hold up to twice what it needs.
pub(super) fn reserve<T>(pool: &mut Vec<T>, more: usize) {
    const DOUBLED_MAX: usize = 1 << 15;
    let (len, capacity) = (pool.len(), pool.capacity());
    if len + more > capacity && len > DOUBLED_MAX {
        pool.reserve_exact(more.max(len / 8));
    }
}

/// Values as the codecs wrote them, end to end.
#[derive(Clone, Debug, Default)]
struct Values {
    bytes: LazyVec<u8>,
    /// Where each value ends.
    ends: LazyVec<u32>,
}

impl Values {
    fn push(&mut self, value: &[u8]) {
        self.bytes.filled().extend_from_slice(value);
        self.ends.filled().push(self.bytes.len() as u32);
    }

    fn start(&self, number: usize) -> usize {
        let before = number.checked_sub(1);
        before.map_or(0, |before| self.ends[before] as usize)
    }

    fn get(&self, number: usize) -> &[u8] {
        &self.bytes[self.start(number)..self.ends[number] as usize]
    }

    fn truncate(&mut self, count: usize) {
        let end = self.start(count);
        self.bytes.filled().truncate(end);
        self.ends.filled().truncate(count);
    }
}

/// A stretch of text as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Units<'a> {
    /// ASCII.
    Narrow(&'a [u8]),
    /// UTF-16.
    Wide(&'a [u16]),
}

impl Units<'_> {
    /// One of them.
    pub fn get(self, nth: usize) -> u16 {
        match self {
            Units::Narrow(bytes) => u16::from(bytes[nth]),
            Units::Wide(units) => units[nth],
        }
    }
}

/// Joins stretches of content into UTF-8. A surrogate pair may be split between two stretches;
/// lone surrogates become U+FFFD.
#[derive(Default)]
pub(crate) struct Utf8Builder {
    out: Vec<u8>,
    /// A high surrogate that waits for its other half.
    high: Option<u16>,
}

impl Utf8Builder {
    pub fn with_capacity(bytes: usize) -> Self {
        Utf8Builder {
            out: Vec::with_capacity(bytes),
            high: None,
        }
    }

    pub fn push(&mut self, units: Units<'_>) {
        match units {
            Units::Narrow(bytes) => {
                self.flush();
                self.out.extend_from_slice(bytes);
            }
            Units::Wide(units) => units.iter().for_each(|unit| self.push_unit(*unit)),
        }
    }

    /// Adds UTF-16 units that are all ASCII.
    pub fn push_ascii(&mut self, units: &[u16]) {
        self.flush();
        self.out.extend(units.iter().map(|unit| *unit as u8));
    }

    fn push_unit(&mut self, unit: u16) {
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, unit) {
            self.high = None;
            let code = 0x10000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
            self.push_char(char::from_u32(code).expect("a surrogate pair"));
            return;
        }
        self.flush();
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => self
                .push_char(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn flush(&mut self) {
        if self.high.take().is_some() {
            self.push_char(char::REPLACEMENT_CHARACTER);
        }
    }

    fn push_char(&mut self, character: char) {
        let mut buffer = [0; 4];
        self.out
            .extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    }

    pub fn finish(mut self) -> String {
        self.flush();
        String::from_utf8(self.out).expect("built from characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_character_join_across_stretches() {
        let mut builder = Utf8Builder::default();
        builder.push(Units::Narrow(b"a"));
        builder.push(Units::Wide(&[0xd83d]));
        builder.push(Units::Wide(&[0xde00, 0xe9, 0xdc00, 0xd83d]));
        builder.push(Units::Narrow(b"z"));
        builder.push(Units::Wide(&[0xd83d]));
        assert_eq!(
            builder.finish(),
            "a\u{1f600}\u{e9}\u{fffd}\u{fffd}z\u{fffd}"
        );
    }

    #[test]
    fn text_comes_back() {
        let mut pool = ContentPool::default();
        for text in ["plain", "", "h\u{e9}llo", "\u{1f600}x"] {
            let (content, units) = pool.push_str(text);
            let mut out = Vec::new();
            pool.copy_utf16(content, units, &mut out);
            assert_eq!(String::from_utf16(&out).unwrap(), text);
            let again = pool.push_units(&out);
            assert_eq!(pool.slice(again, units).is_wide(), !text.is_ascii());
        }
    }

    #[test]
    fn values_come_back_and_move() {
        let mut pool = ContentPool::default();
        let values: [&[u8]; 4] = [b"1", b"", b"\"text\"", b"null"];
        let first = pool.push_value(values[0]);
        pool.push_values(values[1..].iter().copied());
        assert!(pool.values(first, 4).eq(values));
        let mut other = ContentPool::default();
        other.push_value(b"other");
        let moved = other.copy_from(&pool, first.plus(1), 3);
        assert!(other.values(moved, 3).eq(values[1..].iter().copied()));
        pool.truncate_values(first.plus(2));
        assert_eq!(pool.values_end(), first.plus(2));
        assert_eq!(pool.push_value(b"3"), first.plus(2));
        assert!(pool.values(first, 3).eq([&b"1"[..], b"", b"3"]));
    }

    impl Units<'_> {
        fn is_wide(&self) -> bool {
            matches!(self, Units::Wide(_))
        }
    }
}
