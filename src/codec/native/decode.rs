//! Bytes to rows: everything is checked, so that whoever takes the rows in can rely on them.

use super::super::{DecodeError, Reader, wtf8};
use super::columns::{Column, ColumnReaders};
use super::encode::{head, place};
use super::names;
use super::rows::{
    AuthorContext, COUNTER_END, ClocksIn, ContentIn, Context, Dep, DepsIn, Element,
    LISTED_CLOCKS_MAX, NO_NAME, OpIn, REMOVALS_MAX, REMOVED_MAX, REMOVED_PER_BYTE, RowIn, Span,
    Stretch, UNITS_MAX, read_clock, read_step, unzigzag,
};
use crate::clock::{Hlc, PeerId};
use std::collections::HashSet;

/// Where a decoder reads.
pub(crate) trait Source<'a> {
    fn column(&mut self, column: Column) -> &mut Reader<'a>;
    /// Refuses what is left.
    fn finish(&self) -> Result<(), DecodeError>;
}

/// The interleaved layout; what follows the rows is not theirs.
impl<'a> Source<'a> for Reader<'a> {
    #[inline]
    fn column(&mut self, _: Column) -> &mut Reader<'a> {
        self
    }

    fn finish(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// The rows of one body.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub rows: Vec<RowIn>,
    pub spans: Vec<Span>,
    pub deps: Vec<Dep>,
    /// Of the input.
    pub values: Vec<Stretch>,
    /// Kinds, and bodies of the input.
    pub bodies: Vec<(u8, Stretch)>,
    /// Elements that the rows remove.
    removed: u64,
}

impl Decoded {
    /// Adds to what is removed: a few bytes must not stand for any number of elements.
    fn count_removed(&mut self, len: u64) -> bool {
        self.removed = self.removed.saturating_add(len);
        self.removed <= REMOVED_MAX
    }

    /// How many elements the rows remove.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// What the rows remove, if that is more than what a body of `bytes` may remove in any case.
    pub fn removals_beyond(&self, bytes: usize) -> Option<Removals> {
        // Most bodies: the rows need not be looked at.
        if self.removed <= Removals::default().limit(0, bytes) {
            return None;
        }
        let authors: HashSet<u32> = self.rows.iter().map(|row| row.author).collect();
        let inserted = self.rows.iter().map(|row| match row.op {
            OpIn::Insert { step, .. } => u64::from(step) * u64::from(row.changes),
            _ => 0,
        });
        let removals = Removals {
            authors: authors.len() as u64,
            inserted: inserted.sum(),
        };
        (removals.limit(0, bytes) < self.removed).then_some(removals)
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.spans.clear();
        self.deps.clear();
        self.values.clear();
        self.bodies.clear();
        self.removed = 0;
    }
}

/// How many elements the rows of a body remove. An author removes an element once: more than each
/// author all that there are is no history, but a few bytes that stand for much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Removals {
    pub authors: u64,
    pub inserted: u64,
}

impl Removals {
    /// How many may be removed in a body of `bytes`, where `known` elements were before.
    pub fn limit(self, known: u64, bytes: usize) -> u64 {
        let there = known.saturating_add(self.inserted);
        let unknown = REMOVED_PER_BYTE * bytes as u64;
        there.saturating_mul(self.authors).saturating_add(unknown)
    }
}

/// Reads rows; remembers what was said. After an error it is of no use any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowDecoder {
    /// The authors by number.
    pub authors: Vec<PeerId>,
    /// Type tags and ids by number.
    pub names: Vec<(Box<str>, Box<str>)>,
    context: Context,
    scratch: Vec<u16>,
}

impl RowDecoder {
    /// Reads `count` rows, columns first if the layout has them.
    pub fn read_body<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        bytes: &'a [u8],
        columns: bool,
        decoded: &mut Decoded,
    ) -> Result<(), DecodeError> {
        // A row is a byte at least; positions of the input are stored in 32 bits.
        let count = reader.count(1)?;
        if u32::try_from(bytes.len()).is_err() {
            return Err(reader.error("a body of changes has less than 4 GiB"));
        }
        match columns {
            true => {
                let mut source = ColumnReaders::open(reader, bytes)?;
                self.read_rows(count, &mut source, decoded)
            }
            false => self.read_rows(count, reader, decoded),
        }
    }

    fn read_rows<'a>(
        &mut self,
        count: usize,
        source: &mut impl Source<'a>,
        decoded: &mut Decoded,
    ) -> Result<(), DecodeError> {
        // Real rows are longer than the shortest.
        decoded
            .rows
            .reserve(count.min(source.column(Column::Heads).remaining()));
        for _ in 0..count {
            let row = self.read_row(source, decoded)?;
            decoded.rows.push(row);
        }
        source.finish()
    }

    fn read_row<'a>(
        &mut self,
        source: &mut impl Source<'a>,
        decoded: &mut Decoded,
    ) -> Result<RowIn, DecodeError> {
        let head = source.column(Column::Heads).byte("the head of a row")?;
        if head & head::WHO != 0 {
            self.read_who(source.column(Column::Who))?;
        }
        let (author, name) = (self.context.author, self.context.name);
        if self.authors.is_empty() {
            return Err(source
                .column(Column::Who)
                .error("the first row names its author"));
        }
        let changes = match head & head::SEVERAL {
            0 => 1,
            _ => {
                let counts = source.column(Column::Counts);
                let start = counts.clone();
                u32::try_from(counts.uvarint()?)
                    .ok()
                    .and_then(|count| count.checked_add(2))
                    .ok_or_else(|| start.error("a row has too many changes"))?
            }
        };
        let clocks = source.column(Column::Clocks);
        let first_clock = match head & head::CLOCK {
            0 => self.context.next_clock(),
            _ => read_clock(self.context.last.clock, clocks)?,
        };
        let (clocks, last_clock) = self.read_steps(clocks, changes, first_clock)?;
        let deps = match head & head::DEPS {
            0 if self.context.last.author == u32::MAX => {
                let deps = source.column(Column::Deps);
                return Err(deps.error("the first row names its dependencies"));
            }
            0 => DepsIn::Previous,
            _ => self.read_deps(source.column(Column::Deps), first_clock, &mut decoded.deps)?,
        };
        let op = self.read_op(head, author, changes, source, decoded)?;
        let step = match clocks {
            ClocksIn::Step(step) if changes > 1 => step,
            _ => self.context.step,
        };
        self.context.finish_row(author, name, last_clock, step);
        Ok(RowIn {
            author,
            name,
            changes,
            first_clock,
            last_clock,
            clocks,
            deps,
            op,
        })
    }

    fn read_who(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.context.author = self.read_author(reader)?;
        let start = reader.clone();
        let number = reader.uvarint()?;
        self.context.name = match number.checked_sub(1) {
            None => NO_NAME,
            Some(known) if known < self.names.len() as u64 => known as u32,
            Some(new) if new == self.names.len() as u64 => {
                let (type_tag, id) = names::read(reader)?;
                self.names.push((type_tag.into(), id.into()));
                new as u32
            }
            Some(_) => return Err(start.error("the number of a handler is not known")),
        };
        Ok(())
    }

    fn read_author(&mut self, reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
        let start = reader.clone();
        let number = reader.uvarint()?;
        if number < self.authors.len() as u64 {
            return Ok(number as u32);
        }
        if number > self.authors.len() as u64 {
            return Err(start.error("the number of an author is not known"));
        }
        let peer = PeerId::from_bytes(reader.array("the peer id of an author")?);
        self.authors.push(peer);
        self.context.of_author.push(AuthorContext::NEW);
        Ok(number as u32)
    }

    fn read_steps(
        &self,
        reader: &mut Reader<'_>,
        changes: u32,
        first: Hlc,
    ) -> Result<(ClocksIn, Hlc), DecodeError> {
        if changes == 1 {
            return Ok((ClocksIn::Step(0), first));
        }
        let start = reader.clone();
        let step = reader.uvarint()?;
        if step == 0 {
            if changes > LISTED_CLOCKS_MAX {
                return Err(start.error("too many clocks in one row"));
            }
            let from = reader.offset();
            let mut clock = first;
            for _ in 1..changes {
                clock = read_step(clock, reader)?;
            }
            let steps = Stretch {
                start: from as u32,
                len: (reader.offset() - from) as u32,
            };
            return Ok((ClocksIn::Steps(steps), clock));
        }
        let last = u32::try_from(step)
            .ok()
            .and_then(|step| u64::from(step).checked_mul(u64::from(changes) - 1))
            .and_then(|growth| first.to_u64().checked_add(growth));
        match last {
            Some(last) => Ok((ClocksIn::Step(step as u32), Hlc::from_u64(last))),
            None => Err(start.error("the clocks of a row are out of range")),
        }
    }

    fn read_deps(
        &mut self,
        reader: &mut Reader<'_>,
        first_clock: Hlc,
        pool: &mut Vec<Dep>,
    ) -> Result<DepsIn, DecodeError> {
        let start = pool.len() as u32;
        let count = reader.count(2)?;
        for _ in 0..count {
            let author = self.read_author(reader)?;
            let clock = read_clock(first_clock, reader)?;
            pool.push(Dep { author, clock });
        }
        Ok(DepsIn::List(Stretch {
            start,
            len: count as u32,
        }))
    }

    fn read_op<'a>(
        &mut self,
        head: u8,
        author: u32,
        changes: u32,
        source: &mut impl Source<'a>,
        decoded: &mut Decoded,
    ) -> Result<OpIn, DecodeError> {
        match head & head::OP {
            kind @ (head::INSERT_NARROW | head::INSERT_OTHER) => {
                self.read_insert(head, kind, author, changes, source, decoded)
            }
            kind @ (head::REMOVE_FORWARDS | head::REMOVE_BACKWARDS | head::REMOVE_STRETCHES) => {
                self.read_remove(head, kind, author, changes, source, decoded)
            }
            head::BODIES => {
                let start = decoded.bodies.len() as u32;
                for _ in 0..changes {
                    let kind = source.column(Column::Lengths).byte("an operation's kind")?;
                    decoded.bodies.push((kind, read_bytes(source)?));
                }
                Ok(OpIn::Bodies(Stretch {
                    start,
                    len: changes,
                }))
            }
            _ if changes > 1 => Err(source
                .column(Column::Counts)
                .error("rows of such operations have one change")),
            head::REMOVE_SPANS => self.read_spans(author, source, decoded),
            _ => Ok(OpIn::Opaque(read_bytes(source)?)),
        }
    }

    fn read_insert<'a>(
        &mut self,
        head: u8,
        kind: u8,
        author: u32,
        changes: u32,
        source: &mut impl Source<'a>,
        decoded: &mut Decoded,
    ) -> Result<OpIn, DecodeError> {
        let expected = self.context.of_author[author as usize];
        let elements = source.column(Column::Elements);
        let start = elements.clone();
        let (mut first, mut step) = (expected.next, 1);
        let (mut left, mut right) = (expected.caret, expected.right);
        if head & head::PLACE != 0 {
            let bits = elements.byte("where an insertion goes")?;
            if bits & place::FIRST != 0 {
                first = counter(expected.next, elements)?;
            }
            if bits & place::STEP != 0 {
                step = elements.uvarint()?;
            }
            left = self.read_left(bits, author, expected, elements)?;
            right = self.read_right(bits, author, expected, left, elements)?;
        }
        let len = step
            .checked_mul(u64::from(changes))
            .filter(|len| (1..=UNITS_MAX).contains(len) && u64::from(first) + len <= COUNTER_END)
            .ok_or_else(|| start.error("the elements of a row are out of range"))?;
        let content = match kind {
            head::INSERT_NARROW => {
                let narrow = source.column(Column::Narrow);
                let from = narrow.offset();
                let text = narrow.take(len as usize, "the text of a row is cut off")?;
                if !text.is_ascii() {
                    return Err(narrow.error("narrow text is ASCII"));
                }
                ContentIn::Narrow(Stretch {
                    start: from as u32,
                    len: len as u32,
                })
            }
            _ => self.read_other(len, source, &mut decoded.values)?,
        };
        self.context.inserted(author, first, len as u32, right);
        Ok(OpIn::Insert {
            first,
            step: step as u32,
            left,
            right,
            content,
        })
    }

    fn read_other<'a>(
        &mut self,
        len: u64,
        source: &mut impl Source<'a>,
        values: &mut Vec<Stretch>,
    ) -> Result<ContentIn, DecodeError> {
        let lengths = source.column(Column::Lengths);
        let start = lengths.clone();
        match lengths.byte("what an insertion inserts")? {
            head::INSERTS_WIDE => Ok(ContentIn::Wide(self.read_wide(len, source)?)),
            head::INSERTS_VALUES => {
                let start = values.len() as u32;
                // Each value has a length, so the input justifies the pool.
                for _ in 0..len {
                    values.push(read_bytes(source)?);
                }
                Ok(ContentIn::Values(Stretch {
                    start,
                    len: len as u32,
                }))
            }
            _ => Err(start.error("what an insertion inserts is not known")),
        }
    }

    fn read_wide<'a>(
        &mut self,
        len: u64,
        source: &mut impl Source<'a>,
    ) -> Result<Stretch, DecodeError> {
        let lengths = source.column(Column::Lengths);
        let text_len = lengths.count_of(len.saturating_mul(3))?;
        let bytes = source.column(Column::Bytes);
        let from = bytes.offset();
        let text = bytes.take(text_len, "the text of a row is cut off")?;
        self.scratch.clear();
        wtf8::decode_to_utf16(text, &mut self.scratch)?;
        if self.scratch.len() as u64 != len {
            return Err(bytes.error("the text of a row has another length"));
        }
        Ok(Stretch {
            start: from as u32,
            len: text_len as u32,
        })
    }

    fn read_left(
        &mut self,
        bits: u8,
        author: u32,
        expected: AuthorContext,
        reader: &mut Reader<'_>,
    ) -> Result<Element, DecodeError> {
        Ok(match bits & place::LEFT {
            place::LEFT_CARET => expected.caret,
            place::LEFT_NULL => Element::NULL,
            place::LEFT_OWN => own_element(author, expected.caret, expected.next, reader)?,
            _ => self.read_foreign(reader)?,
        })
    }

    fn read_right(
        &mut self,
        bits: u8,
        author: u32,
        expected: AuthorContext,
        left: Element,
        reader: &mut Reader<'_>,
    ) -> Result<Element, DecodeError> {
        Ok(match bits & place::RIGHT {
            place::RIGHT_SAME => expected.right,
            place::RIGHT_NEXT if left != Element::NULL => Element {
                counter: left
                    .counter
                    .checked_add(1)
                    .filter(|counter| u64::from(*counter) < COUNTER_END)
                    .ok_or_else(|| reader.error("an element is out of range"))?,
                ..left
            },
            place::RIGHT_NULL => Element::NULL,
            place::RIGHT_OWN => own_element(author, expected.right, expected.next, reader)?,
            place::RIGHT_OTHER => self.read_foreign(reader)?,
            _ => return Err(reader.error("where an insertion goes is not known")),
        })
    }

    fn read_foreign(&mut self, reader: &mut Reader<'_>) -> Result<Element, DecodeError> {
        let author = self.read_author(reader)?;
        let from = self.context.of_author[author as usize].next;
        Ok(Element {
            author,
            counter: counter(from, reader)?,
        })
    }

    fn read_remove<'a>(
        &mut self,
        head: u8,
        kind: u8,
        author: u32,
        changes: u32,
        source: &mut impl Source<'a>,
        decoded: &mut Decoded,
    ) -> Result<OpIn, DecodeError> {
        let start = source.column(Column::Elements).clone();
        let out_of_range = || start.error("the elements of a row are out of range");
        if changes > REMOVALS_MAX {
            return Err(start.error("too many removals in one row"));
        }
        let step = match kind {
            head::REMOVE_FORWARDS => 1,
            head::REMOVE_BACKWARDS => -1,
            _ => i32::try_from(source.column(Column::Lengths).uvarint()?)
                .ok()
                .filter(|step| *step > 0)
                .ok_or_else(out_of_range)?,
        };
        let first = match head & head::PLACE {
            0 => self.context.of_author[author as usize].caret,
            _ => self.read_element(author, source.column(Column::Elements))?,
        };
        let mut lowest = first;
        if step < 0 {
            lowest.counter = first
                .counter
                .checked_sub(changes - 1)
                .ok_or_else(out_of_range)?;
        } else {
            let end = u64::from(first.counter) + step as u64 * u64::from(changes);
            if end > COUNTER_END {
                return Err(out_of_range());
            }
        }
        if !decoded.count_removed(u64::from(step.unsigned_abs()) * u64::from(changes)) {
            return Err(start.error("too many elements are removed"));
        }
        if first == Element::NULL && (changes > 1 || step > 1) {
            return Err(out_of_range());
        }
        self.context.removed(author, lowest);
        Ok(OpIn::Remove { first, step })
    }

    fn read_element(
        &mut self,
        author: u32,
        reader: &mut Reader<'_>,
    ) -> Result<Element, DecodeError> {
        let caret = self.context.of_author[author as usize].caret;
        let start = reader.clone();
        let head = reader.uvarint()?;
        if head & 1 == 0 {
            let distance = unzigzag(head >> 1);
            return match caret {
                Element::NULL => Err(start.error("there is no element before this one")),
                caret => moved(caret.counter, distance)
                    .map(|counter| Element { counter, ..caret })
                    .ok_or_else(|| start.error("an element is out of range")),
            };
        }
        match head {
            1 => self.read_foreign(reader),
            3 => Ok(Element::NULL),
            _ => Err(start.error("an element is of no known form")),
        }
    }

    fn read_spans<'a>(
        &mut self,
        author: u32,
        source: &mut impl Source<'a>,
        decoded: &mut Decoded,
    ) -> Result<OpIn, DecodeError> {
        let start = decoded.spans.len() as u32;
        let lengths = source.column(Column::Lengths);
        let count_at = lengths.clone();
        let count = lengths.count(1)?;
        if count < 2 {
            return Err(count_at.error("one span has a form of its own"));
        }
        for _ in 0..count {
            let first = self.read_element(author, source.column(Column::Elements))?;
            let lengths = source.column(Column::Lengths);
            let len_at = lengths.clone();
            let len = lengths.uvarint()?;
            let fits = (1..COUNTER_END).contains(&len)
                && decoded.count_removed(len)
                && u64::from(first.counter) + len <= COUNTER_END
                && (first != Element::NULL || len == 1);
            if !fits {
                return Err(len_at.error("the elements of a row are out of range"));
            }
            decoded.spans.push(Span {
                first,
                len: len as u32,
            });
            self.context.removed(author, first);
        }
        Ok(OpIn::RemoveSpans(Stretch {
            start,
            len: count as u32,
        }))
    }
}

/// A counter near `from`.
/// An element of the row's own author: counted from `near` if that is one of theirs, else from
/// their next one.
fn own_element(
    author: u32,
    near: Element,
    next: u32,
    reader: &mut Reader<'_>,
) -> Result<Element, DecodeError> {
    let from = if near.author == author {
        near.counter
    } else {
        next
    };
    Ok(Element {
        author,
        counter: counter(from, reader)?,
    })
}

fn counter(from: u32, reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let start = reader.clone();
    moved(from, unzigzag(reader.uvarint()?))
        .ok_or_else(|| start.error("an element is out of range"))
}

fn moved(from: u32, distance: i64) -> Option<u32> {
    let to = i64::from(from).checked_add(distance)?;
    u32::try_from(to)
        .ok()
        .filter(|to| u64::from(*to) < COUNTER_END)
}

fn read_bytes<'a>(source: &mut impl Source<'a>) -> Result<Stretch, DecodeError> {
    let len = source
        .column(Column::Lengths)
        .count_of(u64::from(u32::MAX))?;
    let bytes = source.column(Column::Bytes);
    let start = bytes.offset() as u32;
    bytes.take(len, "the bytes of an operation are cut off")?;
    Ok(Stretch {
        start,
        len: len as u32,
    })
}
