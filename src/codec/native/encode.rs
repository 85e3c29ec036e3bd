//! Rows to bytes.

use super::super::bytes::write_uvarint;
use super::super::wtf8;
use super::columns::{Column, Layout};
use super::names;
use super::rows::{
    AuthorContext, ClocksOut, ContentOut, Context, Dep, Element, NO_NAME, OpOut, RowOut,
    write_clock, zigzag,
};
use crate::clock::PeerId;

/// Bits of a row's head: the operation, then what does not follow from the row before.
pub(super) mod head {
    pub const OP: u8 = 0x07;
    pub const INSERT_NARROW: u8 = 0;
    /// What it inserts is told by a byte: [`INSERTS_WIDE`], [`INSERTS_VALUES`].
    pub const INSERT_OTHER: u8 = 1;
    /// Single elements, each behind the one before.
    pub const REMOVE_FORWARDS: u8 = 2;
    /// Single elements, each before the one before.
    pub const REMOVE_BACKWARDS: u8 = 3;
    /// Stretches of a length that follows.
    pub const REMOVE_STRETCHES: u8 = 4;
    pub const REMOVE_SPANS: u8 = 5;
    pub const BODIES: u8 = 6;
    pub const OPAQUE: u8 = 7;
    /// Another author or handler than that of the row before.
    pub const WHO: u8 = 1 << 3;
    /// Other dependencies than the row before.
    pub const DEPS: u8 = 1 << 4;
    /// A first clock that was not expected.
    pub const CLOCK: u8 = 1 << 5;
    /// More changes than one.
    pub const SEVERAL: u8 = 1 << 6;
    /// Elements that were not expected.
    pub const PLACE: u8 = 1 << 7;

    pub const INSERTS_WIDE: u8 = 0;
    pub const INSERTS_VALUES: u8 = 1;
}

/// Bits of an insertion's place.
pub(super) mod place {
    pub const FIRST: u8 = 1;
    pub const STEP: u8 = 1 << 1;
    pub const LEFT: u8 = 0x0c;
    pub const LEFT_CARET: u8 = 0;
    pub const LEFT_NULL: u8 = 1 << 2;
    /// Of the row's author.
    pub const LEFT_OWN: u8 = 2 << 2;
    pub const LEFT_OTHER: u8 = 3 << 2;
    pub const RIGHT: u8 = 0x70;
    /// That of the author's insertion before.
    pub const RIGHT_SAME: u8 = 0;
    /// The element that follows the left origin in its author's numbers.
    pub const RIGHT_NEXT: u8 = 1 << 4;
    pub const RIGHT_NULL: u8 = 2 << 4;
    pub const RIGHT_OWN: u8 = 3 << 4;
    pub const RIGHT_OTHER: u8 = 4 << 4;
}

/// What the writer's numbers of authors and names stand for.
pub(crate) trait Directory {
    fn peer(&self, author: u32) -> PeerId;
    /// Type tag and id.
    fn name(&self, name: u32) -> (&str, &str);
}

/// Writes rows; remembers what was said. See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowEncoder {
    authors: Numbers,
    names: Numbers,
    context: Context,
}

/// Numbers in order of first use for numbers of the writer's.
#[derive(Clone, Debug, Default)]
struct Numbers {
    /// By the writer's number: ours plus one, or 0.
    known: Vec<u32>,
    count: u32,
}

impl Numbers {
    #[inline]
    fn find(&self, number: u32) -> Option<u32> {
        self.known.get(number as usize)?.checked_sub(1)
    }

    fn give(&mut self, number: u32) -> u32 {
        let at = number as usize;
        if self.known.len() <= at {
            self.known.resize(at + 1, 0);
        }
        self.count += 1;
        self.known[at] = self.count;
        self.count - 1
    }
}

impl RowEncoder {
    /// Appends a row.
    pub fn push(&mut self, row: &RowOut<'_>, directory: &impl Directory, out: &mut impl Layout) {
        let head_at = out.column(Column::Heads).len();
        out.column(Column::Heads).push(0);
        let mut head = self.write_who(row, directory, out);
        let author = self.context.author;
        if row.changes > 1 {
            head |= head::SEVERAL;
            write_uvarint(out.column(Column::Counts), u64::from(row.changes) - 2);
        }
        if self.context.next_clock() != row.first_clock {
            head |= head::CLOCK;
            write_clock(
                self.context.last.clock,
                row.first_clock,
                out.column(Column::Clocks),
            );
        }
        let step = self.write_steps(row, out);
        head |= self.write_deps(row, directory, out);
        head |= self.write_op(row, author, directory, out);
        out.column(Column::Heads)[head_at] = head;
        let name = self.context.name;
        self.context.finish_row(author, name, row.last_clock, step);
    }

    /// Makes author and name of the row those of the context.
    fn write_who(
        &mut self,
        row: &RowOut<'_>,
        directory: &impl Directory,
        out: &mut impl Layout,
    ) -> u8 {
        let author = self.authors.find(row.author);
        let name = match row.name {
            NO_NAME => Some(NO_NAME),
            name => self.names.find(name),
        };
        if author == Some(self.context.author) && name == Some(self.context.name) {
            return 0;
        }
        let out = out.column(Column::Who);
        self.context.author = self.write_author(row.author, directory, out);
        self.context.name = match (name, row.name) {
            (_, NO_NAME) => {
                out.push(0);
                NO_NAME
            }
            (Some(known), _) => {
                write_uvarint(out, u64::from(known) + 1);
                known
            }
            (None, name) => {
                let number = self.names.give(name);
                write_uvarint(out, u64::from(number) + 1);
                let (type_tag, id) = directory.name(name);
                names::write(type_tag, id, out);
                number
            }
        };
        head::WHO
    }

    /// Appends an author's number, and who that is at first use.
    fn write_author(&mut self, author: u32, directory: &impl Directory, out: &mut Vec<u8>) -> u32 {
        if let Some(known) = self.authors.find(author) {
            write_uvarint(out, u64::from(known));
            return known;
        }
        let number = self.authors.give(author);
        self.context.of_author.push(AuthorContext::NEW);
        write_uvarint(out, u64::from(number));
        out.extend_from_slice(directory.peer(author).bytes());
        number
    }

    /// The distance of the last two clocks.
    fn write_steps(&self, row: &RowOut<'_>, out: &mut impl Layout) -> u32 {
        if row.changes == 1 {
            return self.context.step;
        }
        let out = out.column(Column::Clocks);
        match row.clocks {
            ClocksOut::Step(step) => {
                write_uvarint(out, u64::from(step));
                step
            }
            ClocksOut::Steps(steps) => {
                out.push(0);
                out.extend_from_slice(steps);
                self.context.step
            }
        }
    }

    fn write_deps(
        &mut self,
        row: &RowOut<'_>,
        directory: &impl Directory,
        out: &mut impl Layout,
    ) -> u8 {
        if let [dep] = row.deps {
            let previous = self.context.last;
            if self.authors.find(dep.author) == Some(previous.author) && dep.clock == previous.clock
            {
                return 0;
            }
        }
        let out = out.column(Column::Deps);
        write_uvarint(out, row.deps.len() as u64);
        for Dep { author, clock } in row.deps {
            self.write_author(*author, directory, out);
            write_clock(row.first_clock, *clock, out);
        }
        head::DEPS
    }

    fn write_op(
        &mut self,
        row: &RowOut<'_>,
        author: u32,
        directory: &impl Directory,
        out: &mut impl Layout,
    ) -> u8 {
        match row.op {
            OpOut::Insert {
                first,
                step,
                left,
                right,
                content,
            } => {
                let head = self.write_place(author, first, step, left, right, directory, out);
                let kind = write_content(content, out);
                let right = self.known(right).unwrap_or(Element::NULL);
                self.context
                    .inserted(author, first, step * row.changes, right);
                head | kind
            }
            OpOut::Remove { first, step } => {
                let kind = match step {
                    1 => head::REMOVE_FORWARDS,
                    -1 => head::REMOVE_BACKWARDS,
                    step => {
                        write_uvarint(out.column(Column::Lengths), step as u64);
                        head::REMOVE_STRETCHES
                    }
                };
                let head = match self.known(first) {
                    Some(known) if known == self.context.of_author[author as usize].caret => 0,
                    _ => {
                        self.write_element(author, first, directory, out);
                        head::PLACE
                    }
                };
                let mut lowest = self.known(first).expect("just written");
                if step < 0 {
                    lowest.counter -= row.changes - 1;
                }
                self.context.removed(author, lowest);
                head | kind
            }
            OpOut::RemoveSpans(spans) => {
                write_uvarint(out.column(Column::Lengths), spans.len() as u64);
                for span in spans {
                    self.write_element(author, span.first, directory, out);
                    write_uvarint(out.column(Column::Lengths), u64::from(span.len));
                    let lowest = self.known(span.first).expect("just written");
                    self.context.removed(author, lowest);
                }
                head::REMOVE_SPANS
            }
            OpOut::Bodies(bodies) => {
                for (kind, body) in bodies {
                    out.column(Column::Lengths).push(*kind);
                    write_bytes(body, out);
                }
                head::BODIES
            }
            OpOut::Opaque(payload) => {
                write_bytes(payload, out);
                head::OPAQUE
            }
        }
    }

    /// The element with its author's number here; None if that has none yet.
    fn known(&self, element: Element) -> Option<Element> {
        if element == Element::NULL {
            return Some(Element::NULL);
        }
        let author = self.authors.find(element.author)?;
        Some(Element { author, ..element })
    }

    #[allow(clippy::too_many_arguments)] // The parts of one operation.
    fn write_place(
        &mut self,
        author: u32,
        first: u32,
        step: u32,
        left: Element,
        right: Element,
        directory: &impl Directory,
        out: &mut impl Layout,
    ) -> u8 {
        let expected = self.context.of_author[author as usize];
        let (known_left, known_right) = (self.known(left), self.known(right));
        if first == expected.next
            && step == 1
            && known_left == Some(expected.caret)
            && known_right == Some(expected.right)
        {
            return 0;
        }
        let out = out.column(Column::Elements);
        let at = out.len();
        out.push(0);
        let mut bits = 0;
        if first != expected.next {
            bits |= place::FIRST;
            write_uvarint(out, zigzag(i64::from(first) - i64::from(expected.next)));
        }
        if step != 1 {
            bits |= place::STEP;
            write_uvarint(out, u64::from(step));
        }
        bits |= match known_left {
            Some(left) if left == expected.caret => place::LEFT_CARET,
            Some(Element::NULL) => place::LEFT_NULL,
            Some(left) if left.author == author => {
                let from = match expected.caret {
                    caret if caret.author == author => caret.counter,
                    _ => expected.next,
                };
                write_uvarint(out, zigzag(i64::from(left.counter) - i64::from(from)));
                place::LEFT_OWN
            }
            _ => {
                self.write_foreign(left, directory, out);
                place::LEFT_OTHER
            }
        };
        let next = Element {
            counter: left.counter.wrapping_add(1),
            ..left
        };
        bits |= match known_right {
            Some(right) if right == expected.right => place::RIGHT_SAME,
            _ if left != Element::NULL && right == next => place::RIGHT_NEXT,
            Some(Element::NULL) => place::RIGHT_NULL,
            Some(right) if right.author == author => {
                let from = match expected.right {
                    right if right.author == author => right.counter,
                    _ => expected.next,
                };
                write_uvarint(out, zigzag(i64::from(right.counter) - i64::from(from)));
                place::RIGHT_OWN
            }
            _ => {
                self.write_foreign(right, directory, out);
                place::RIGHT_OTHER
            }
        };
        out[at] = bits;
        head::PLACE
    }

    fn write_foreign(&mut self, element: Element, directory: &impl Directory, out: &mut Vec<u8>) {
        let number = self.write_author(element.author, directory, out);
        let from = self.context.of_author[number as usize].next;
        write_uvarint(out, zigzag(i64::from(element.counter) - i64::from(from)));
    }

    /// An element to be removed.
    fn write_element(
        &mut self,
        author: u32,
        element: Element,
        directory: &impl Directory,
        out: &mut impl Layout,
    ) {
        let out = out.column(Column::Elements);
        let caret = self.context.of_author[author as usize].caret;
        match self.known(element) {
            // Of the author that the caret is at: near it.
            Some(known) if caret != Element::NULL && known.author == caret.author => {
                let distance = i64::from(known.counter) - i64::from(caret.counter);
                write_uvarint(out, zigzag(distance) << 1);
            }
            Some(Element::NULL) => out.push(3),
            _ => {
                out.push(1);
                self.write_foreign(element, directory, out);
            }
        }
    }
}

fn write_content(content: ContentOut<'_>, out: &mut impl Layout) -> u8 {
    match content {
        ContentOut::Narrow(bytes) => {
            // Its length follows from the number of elements.
            out.column(Column::Narrow).extend_from_slice(bytes);
            return head::INSERT_NARROW;
        }
        ContentOut::Wide(units) => {
            let mut text = Vec::with_capacity(units.len() * 3);
            wtf8::encode_utf16(units, &mut text);
            out.column(Column::Lengths).push(head::INSERTS_WIDE);
            write_bytes(&text, out);
        }
        ContentOut::Values(values) => {
            out.column(Column::Lengths).push(head::INSERTS_VALUES);
            values.iter().for_each(|value| write_bytes(value, out));
        }
    }
    head::INSERT_OTHER
}

fn write_bytes(bytes: &[u8], out: &mut impl Layout) {
    write_uvarint(out.column(Column::Lengths), bytes.len() as u64);
    out.column(Column::Bytes).extend_from_slice(bytes);
}
