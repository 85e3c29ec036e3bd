//! Rows as plain values: changes of one author that continue each other.

use super::super::{DecodeError, Reader};
use crate::clock::Hlc;

/// Most changes in a row of removals: a row of a few bytes must not stand for any number of
/// changes. Writers begin another row.
pub(crate) const REMOVALS_MAX: u32 = 1 << 12;

/// Most changes in a row whose clocks are listed.
pub(crate) const LISTED_CLOCKS_MAX: u32 = 256;

/// Element counters stay below.
pub(crate) const COUNTER_END: u64 = u32::MAX as u64;

/// Most units of text in a row.
pub(crate) const UNITS_MAX: u64 = (1 << 27) - 1;

/// Most elements that the rows of one body remove.
pub(crate) const REMOVED_MAX: u64 = (1 << 27) - 1;

/// How many elements a body may remove per byte that nobody inserted.
pub(crate) const REMOVED_PER_BYTE: u64 = 1;

/// No handler: the row's changes name none, or only their payload does.
pub(crate) const NO_NAME: u32 = u32::MAX;

/// An element: number of its author, and its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub author: u32,
    pub counter: u32,
}

impl Element {
    /// No element.
    pub const NULL: Element = Element {
        author: u32::MAX,
        counter: 0,
    };
}

/// Consecutive elements of one author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub first: Element,
    pub len: u32,
}

/// A change: number of its author, and its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dep {
    pub author: u32,
    pub clock: Hlc,
}

/// A row to be written. Authors and names are numbers of the writer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowOut<'a> {
    pub author: u32,
    pub name: u32,
    pub changes: u32,
    pub first_clock: Hlc,
    pub last_clock: Hlc,
    pub clocks: ClocksOut<'a>,
    /// What the first change depends on; every other on the one before.
    pub deps: &'a [Dep],
    pub op: OpOut<'a>,
}

/// The clocks after the first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClocksOut<'a> {
    /// Equal distance; 0 in rows of one change.
    Step(u32),
    /// Steps as the log has them.
    Steps(&'a [u8]),
}

/// What the changes of a row do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpOut<'a> {
    Insert {
        first: u32,
        step: u32,
        left: Element,
        right: Element,
        content: ContentOut<'a>,
    },
    Remove {
        first: Element,
        step: i32,
    },
    RemoveSpans(&'a [Span]),
    /// Kind and body of each change.
    Bodies(&'a [(u8, &'a [u8])]),
    Opaque(&'a [u8]),
}

/// What a row inserts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ContentOut<'a> {
    /// ASCII.
    Narrow(&'a [u8]),
    /// UTF-16.
    Wide(&'a [u16]),
    /// Values, as many as elements.
    Values(&'a [&'a [u8]]),
}

/// A stretch of the input, or of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub start: u32,
    pub len: u32,
}

impl Stretch {
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// A row that was read and checked. Authors and names are numbers of the decoder's tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowIn {
    pub author: u32,
    pub name: u32,
    pub changes: u32,
    pub first_clock: Hlc,
    pub last_clock: Hlc,
    pub clocks: ClocksIn,
    pub deps: DepsIn,
    pub op: OpIn,
}

/// The clocks after the first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClocksIn {
    Step(u32),
    /// Of the input.
    Steps(Stretch),
}

/// What the first change of a row depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DepsIn {
    /// The last change of the row before.
    Previous,
    /// Of the pool of dependencies.
    List(Stretch),
}

/// What the changes of a row do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpIn {
    Insert {
        first: u32,
        step: u32,
        left: Element,
        right: Element,
        content: ContentIn,
    },
    Remove {
        first: Element,
        step: i32,
    },
    /// Of the pool of spans.
    RemoveSpans(Stretch),
    /// Of the pool of bodies, one per change.
    Bodies(Stretch),
    /// Of the input.
    Opaque(Stretch),
}

/// What a row inserts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ContentIn {
    /// ASCII, of the input.
    Narrow(Stretch),
    /// WTF-8, of the input.
    Wide(Stretch),
    /// Of the pool of values, as many as elements.
    Values(Stretch),
}

/// What both sides know of the rows so far: whatever is as expected needs no bytes.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub author: u32,
    pub name: u32,
    /// Of the last change.
    pub last: Dep,
    /// Distance of the last two clocks.
    pub step: u32,
    pub of_author: Vec<AuthorContext>,
}

/// Where an author's next insertion is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthorContext {
    pub next: u32,
    pub caret: Element,
    pub right: Element,
}

impl Default for Context {
    fn default() -> Self {
        Context {
            author: 0,
            name: NO_NAME,
            last: Dep {
                author: u32::MAX,
                clock: Hlc::ZERO,
            },
            // What typing within a millisecond makes.
            step: 2,
            of_author: Vec::new(),
        }
    }
}

impl AuthorContext {
    pub const NEW: AuthorContext = AuthorContext {
        next: 0,
        caret: Element::NULL,
        right: Element::NULL,
    };
}

impl Context {
    pub fn inserted(&mut self, author: u32, first: u32, len: u32, right: Element) {
        let next = first + len;
        self.of_author[author as usize] = AuthorContext {
            next,
            caret: Element {
                author,
                counter: next - 1,
            },
            right,
        };
    }

    /// The caret goes before what was removed.
    pub fn removed(&mut self, author: u32, lowest: Element) {
        self.of_author[author as usize].caret = match lowest.counter {
            0 => Element::NULL,
            counter => Element {
                counter: counter - 1,
                ..lowest
            },
        };
    }

    /// The row's last change is what the next row continues.
    pub fn finish_row(&mut self, author: u32, name: u32, clock: Hlc, step: u32) {
        (self.author, self.name, self.step) = (author, name, step);
        self.last = Dep { author, clock };
    }

    /// The clock that the next row is expected to begin with.
    pub fn next_clock(&self) -> Hlc {
        Hlc::from_u64(self.last.clock.to_u64().wrapping_add(u64::from(self.step)))
    }
}

/// Signed as unsigned, small numbers first.
#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse.
#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The distance from one clock to any other, so that near ones are short: bit 0 tells whether the
/// millisecond is the same; then the counter's difference follows, else that of the milliseconds,
/// with bit 1 for a counter behind it.
pub(crate) fn write_clock(from: Hlc, to: Hlc, out: &mut Vec<u8>) {
    use super::super::bytes::write_uvarint;
    let ms = to.ms() - from.ms();
    if ms == 0 {
        let counter = i64::from(to.counter()) - i64::from(from.counter());
        return write_uvarint(out, zigzag(counter) << 1 | 1);
    }
    let has_counter = to.counter() != 0;
    write_uvarint(out, zigzag(ms) << 2 | u64::from(has_counter) << 1);
    if has_counter {
        write_uvarint(out, u64::from(to.counter()));
    }
}

/// The inverse.
pub(crate) fn read_clock(from: Hlc, reader: &mut Reader<'_>) -> Result<Hlc, DecodeError> {
    const MS_END: i64 = 1 << 48;
    let start = reader.clone();
    let head = reader.uvarint()?;
    let (ms, counter) = if head & 1 == 1 {
        (
            from.ms(),
            i64::from(from.counter()).checked_add(unzigzag(head >> 1)),
        )
    } else {
        let ms = from.ms().checked_add(unzigzag(head >> 2)).unwrap_or(-1);
        let counter = if head & 2 == 2 { reader.uvarint()? } else { 0 };
        (ms, i64::try_from(counter).ok())
    };
    match counter {
        Some(counter @ 0..=0xffff) if (0..MS_END).contains(&ms) => Ok(Hlc::new(ms, counter as u32)),
        _ => Err(start.error("a clock is out of range")),
    }
}

/// Reads a step of listed clocks, as the log stores them: always forwards.
pub(super) fn read_step(from: Hlc, reader: &mut Reader<'_>) -> Result<Hlc, DecodeError> {
    let start = reader.clone();
    let head = reader.uvarint()?;
    let to = if head & 1 == 1 {
        // The log adds counters without looking at their end.
        (head >> 1)
            .checked_add(u64::from(from.counter()))
            .filter(|counter| *counter <= 0xffff)
            .map(|counter| Hlc::new(from.ms(), counter as u32))
    } else {
        let counter = if head & 2 == 2 { reader.uvarint()? } else { 0 };
        let ms = (head >> 2).checked_add(from.ms() as u64);
        ms.filter(|ms| *ms < 1 << 48 && counter <= 0xffff)
            .map(|ms| Hlc::new(ms as i64, counter as u32))
    };
    to.filter(|to| *to > from)
        .ok_or_else(|| start.error("the clocks of a row rise"))
}

/// The clock `count` steps behind `from`, and where the next step begins. The steps were checked.
pub(crate) fn read_step_at(from: Hlc, steps: &[u8], count: u32) -> (Hlc, usize) {
    let mut reader = Reader::new(steps);
    let mut clock = from;
    for _ in 0..count {
        clock = read_step(clock, &mut reader).unwrap_or(clock);
    }
    (clock, reader.offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_come_back_from_any_other() {
        let clocks = [
            Hlc::ZERO,
            Hlc::from_u64(1),
            Hlc::from_u64(0xffff),
            Hlc::from_u64(0x10000),
            Hlc::new(1_700_000_000_000, 3),
            Hlc::new(1_700_000_000_000, 0),
            Hlc::new(1_700_000_000_001, 65535),
            Hlc::MAX,
        ];
        for from in clocks {
            for to in clocks {
                let mut bytes = Vec::new();
                write_clock(from, to, &mut bytes);
                let mut reader = Reader::new(&bytes);
                assert_eq!(read_clock(from, &mut reader), Ok(to));
                reader.finish().unwrap();
            }
        }
    }
}
