//! A row of the log: changes of one author that continue each other. Typing a word is one row.

use crate::clock::{AuthorIdx, Hlc};
use crate::sequence::{Content, ElementKey};

/// Number of a (type tag, handler id) pair within a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameIdx(pub u32);

impl NameIdx {
    /// Of a payload that names no handler.
    pub const NONE: NameIdx = NameIdx(u32::MAX);
}

/// Consecutive elements of one author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub id: ElementKey,
    pub len: u32,
}

/// The elements of one removal. One span, as most removals have, takes no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    one: Option<Span>,
    /// All spans, once there are several.
    several: Vec<Span>,
}

impl Spans {
    /// Adds elements behind those that are there.
    #[inline]
    pub fn add(&mut self, id: ElementKey, len: u32) {
        let last = match self.several.last_mut() {
            Some(last) => Some(last),
            None => self.one.as_mut(),
        };
        match last {
            None => self.one = Some(Span { id, len }),
            Some(last) if last.id.plus(last.len) == id => last.len += len,
            Some(_) => {
                if self.several.is_empty() {
                    self.several.extend(self.one);
                }
                self.several.push(Span { id, len });
            }
        }
    }

    /// All of them, as few as can be.
    pub fn as_slice(&self) -> &[Span] {
        match &self.one {
            Some(one) if self.several.is_empty() => std::slice::from_ref(one),
            _ => &self.several,
        }
    }
}

/// What one change does, as the log sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    /// A chain of the author's own elements of one unit each (specification 9.9, kind 0).
    Insert {
        first: u32,
        len: u32,
        left: ElementKey,
        right: ElementKey,
        content: Content,
    },
    /// Elements removed, in the order of the body (kind 1).
    Remove { spans: &'a [Span] },
    /// Anything else, as its bytes.
    Other { kind: u8, body: &'a [u8] },
    /// A payload that is not an envelope, or not in its shortest form: kept as it came.
    Opaque { payload: &'a [u8] },
}

/// The operations of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowOp {
    /// Change n inserts elements `first + n * step ..+ step`; its left origin is `left` for the
    /// first change, else the element before.
    Insert {
        first: u32,
        step: u32,
        left: ElementKey,
        right: ElementKey,
        content: Content,
    },
    /// Change n removes `step.abs()` elements of one author, from `first + n * step` on.
    Remove {
        author: AuthorIdx,
        first: u32,
        step: i32,
    },
    /// One change; its spans in the span pool.
    RemoveSpans { start: u32, count: u32 },
    /// Kinds and bodies in the pool of bodies, from here on.
    Other { start: u32 },
    /// One change; its whole payload in the pool of bodies.
    Opaque { start: u32, len: u32 },
}

/// What the first change of a row depends on; every other depends on the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowDeps {
    None,
    /// The last change of the row before, alone.
    PreviousRow,
    /// A list in the pool.
    List(u32),
}

/// See the module. Rows are dense in the order in which changes were stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub first_clock: Hlc,
    pub op: RowOp,
    pub author: AuthorIdx,
    pub changes: u32,
    pub name: NameIdx,
    pub deps: RowDeps,
    pub clocks: Clocks,
}

/// How a change continues a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Straight,
    /// The second removal lies before the first: the row was the beginning of backspacing.
    Backwards,
}

impl Row {
    /// Whether the row's operations can be followed by one more, and how.
    #[inline(always)]
    pub fn continued_by(&self, op: &Operation<'_>) -> Option<Turn> {
        match (&self.op, op) {
            (
                RowOp::Insert {
                    first,
                    step,
                    right,
                    content,
                    ..
                },
                Operation::Insert {
                    first: next,
                    len,
                    left: l,
                    right: r,
                    content: c,
                },
            ) => {
                let grown = step.checked_mul(self.changes)?;
                let end = first + grown;
                let fits = len == step
                    && *next == end
                    && (l.author, l.counter) == (self.author, end.wrapping_sub(1))
                    && r == right
                    && *c == content.plus(grown);
                fits.then_some(Turn::Straight)
            }
            (
                RowOp::Remove {
                    author,
                    first,
                    step,
                },
                Operation::Remove { spans: [span] },
            ) => {
                if span.id.author != *author || span.len != step.unsigned_abs() {
                    return None;
                }
                let changes = i32::try_from(self.changes).ok()?;
                let forwards = first.checked_add_signed(step.checked_mul(changes)?);
                if forwards == Some(span.id.counter) {
                    return Some(Turn::Straight);
                }
                // Backspacing: decided by the second removal.
                let backwards = self.changes == 1
                    && *step == 1
                    && first.checked_sub(1) == Some(span.id.counter);
                backwards.then_some(Turn::Backwards)
            }
            (RowOp::Other { .. }, Operation::Other { .. }) => {
                (self.changes < BODIES_MAX).then_some(Turn::Straight)
            }
            _ => None,
        }
    }

    /// See [`Turn::Backwards`].
    pub fn turn_backwards(&mut self) {
        if let RowOp::Remove { step, .. } = &mut self.op {
            *step = -1;
        }
    }

    /// Stores one more clock behind `last`; false if the row is full or the clock too far.
    #[inline]
    pub fn continue_clocks(&mut self, last: Hlc, next: Hlc, pool: &mut Vec<u8>) -> bool {
        let distance = next.to_u64() - last.to_u64();
        match self.clocks {
            Clocks::Step(step) if self.changes > 1 && u64::from(step) == distance => true,
            _ => self.continue_uneven_clocks(last, next, distance, pool),
        }
    }

    #[inline(never)]
    fn continue_uneven_clocks(
        &mut self,
        last: Hlc,
        next: Hlc,
        distance: u64,
        pool: &mut Vec<u8>,
    ) -> bool {
        match self.clocks {
            Clocks::Step(_) if self.changes == 1 && distance <= 0xffff => {
                self.clocks = Clocks::Step(distance as u32);
            }
            Clocks::Step(step) if self.changes <= POOLED_CHANGES_MAX / 8 => {
                self.clocks = Clocks::Pool(pool.len() as u32);
                let mut clock = self.first_clock;
                for _ in 1..self.changes {
                    let later = Hlc::from_u64(clock.to_u64() + u64::from(step));
                    write_clock_step(clock, later, pool);
                    clock = later;
                }
                write_clock_step(last, next, pool);
            }
            Clocks::Pool(_) if self.changes < POOLED_CHANGES_MAX => {
                write_clock_step(last, next, pool);
            }
            _ => return false,
        }
        true
    }
}

/// The clocks of a row after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocks {
    /// Equal distance.
    Step(u32),
    /// Distances as varints in the clock pool, from here on.
    Pool(u32),
}

/// A change within the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub row: u32,
    pub nth: u32,
}

/// Most changes in a row whose clocks are in the pool: bounds the walk to one of them.
pub(super) const POOLED_CHANGES_MAX: u32 = 256;

/// Most changes in a row of bodies: bounds the walk to one of them.
pub(super) const BODIES_MAX: u32 = if cfg!(any(test, fuzzing)) { 5 } else { 32 };

/// The distance of two clocks of a row as a varint: mostly one byte. Bit 0 tells whether the
/// millisecond stayed; then the counter's growth follows, else the milliseconds, and bit 1 tells
/// whether a counter follows them.
pub(super) fn write_clock_step(from: Hlc, to: Hlc, out: &mut Vec<u8>) {
    use crate::codec::bytes::write_uvarint;
    let ms = (to.ms() - from.ms()) as u64;
    if ms == 0 {
        write_uvarint(out, u64::from(to.counter() - from.counter()) << 1 | 1);
    } else {
        let has_counter = to.counter() != 0;
        write_uvarint(out, ms << 2 | u64::from(has_counter) << 1);
        if has_counter {
            write_uvarint(out, u64::from(to.counter()));
        }
    }
}

/// The inverse: reads a distance at `at`, moves `at` behind it.
pub(super) fn read_clock_step(from: Hlc, bytes: &[u8], at: &mut usize) -> Hlc {
    let mut varint = || {
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    };
    let head = varint();
    if head & 1 == 1 {
        return Hlc::from_u64(from.to_u64() + (head >> 1));
    }
    let counter = if head & 2 == 2 { varint() } else { 0 };
    Hlc::new(from.ms() + (head >> 2) as i64, counter as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_steps_come_back() {
        let clocks = [
            (0, 0),
            (0, 1),
            (0, 65535),
            (1, 0),
            (1, 2),
            (1 << 40, 0),
            ((1 << 48) - 1, 65535),
        ];
        for (nth, (ms, counter)) in clocks.iter().enumerate() {
            for (later_ms, later_counter) in &clocks[nth + 1..] {
                let (from, to) = (Hlc::new(*ms, *counter), Hlc::new(*later_ms, *later_counter));
                let mut bytes = vec![7];
                write_clock_step(from, to, &mut bytes);
                let mut at = 1;
                assert_eq!(read_clock_step(from, &bytes, &mut at), to);
                assert_eq!(at, bytes.len());
            }
        }
    }
}
