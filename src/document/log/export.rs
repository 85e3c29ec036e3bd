//! Rows back to changes: ids, dependencies and payload bytes exactly as the reference writes them.

use super::bodies::Bodies;
use super::row::Row;
use super::{ChangeKey, Log, Operation, Place, Span};
use crate::clock::{AuthorIdx, Hlc, OperationId, VersionVector};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{Change, wtf8};
use crate::sequence::{Content, ElementKey};
use crate::tree::sort_by_key;
use std::ops::Bound;

impl Log {
    /// The id of a change as it travels.
    pub fn operation_id(&self, key: ChangeKey) -> OperationId {
        OperationId::new(self.authors.peer(key.author), key.clock)
    }

    /// One change.
    pub fn change(&self, place: Place) -> Change {
        let mut found = None;
        self.walk_row(place.row as usize, place.nth, |_, _, change| {
            if found.is_none() {
                found = Some(change.clone());
            }
            false
        });
        found.expect("the place is of this log")
    }

    /// All changes in the order in which they were stored, without the first `skip`. Stops when
    /// `body` answers false. The change is reused: take what you need.
    pub fn for_each_from(
        &self,
        skip: u64,
        mut body: impl FnMut(Place, ChangeKey, &Change) -> bool,
    ) {
        // Followers are close to the end: look for the first row from there.
        let mut row = self.rows.len();
        let mut before = self.change_count;
        while row > 0 && before > skip {
            row -= 1;
            before -= u64::from(self.rows[row].changes);
        }
        if before > skip {
            return;
        }
        let mut nth = (skip - before) as u32;
        while row < self.rows.len() {
            if !self.walk_row(row, nth, &mut body) {
                return;
            }
            nth = 0;
            row += 1;
        }
    }

    /// Changes that `seen` does not cover: by author in order of the authors' first changes in
    /// the store, clocks ascending (specification 8.6).
    pub fn newer_than(&self, seen: &VersionVector) -> Vec<Change> {
        let mut authors: Vec<(u32, AuthorIdx)> = Vec::new();
        for (number, author) in self.by_author.iter().enumerate() {
            if let Some(first) = author.rows.first() {
                authors.push((*first, AuthorIdx(number as u32)));
            }
        }
        sort_by_key(&mut authors, |(first, _)| *first);
        let mut out = Vec::new();
        for (_, author) in authors {
            self.newer_of_author(author, seen.get(&self.authors.peer(author)), &mut out);
        }
        out
    }

    fn newer_of_author(&self, author: AuthorIdx, seen: Option<Hlc>, out: &mut Vec<Change>) {
        let rows = &self.by_author[author.0 as usize];
        if seen.is_some_and(|seen| seen >= rows.latest) {
            return;
        }
        let is_new = |clock: Hlc| seen.is_none_or(|seen| clock > seen);
        let start = out.len();
        // All that is new lies in the last row that begins before, and behind.
        let skip = seen.map_or(0, |seen| {
            rows.rows
                .partition_point(|row| self.rows[*row as usize].first_clock <= seen)
                .saturating_sub(1)
        });
        let strays = rows.strays.range((
            seen.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        ));
        for row in rows.rows[skip..].iter().chain(strays.map(|(_, row)| row)) {
            self.walk_row(*row as usize, 0, |_, key, change| {
                if is_new(key.clock) {
                    out.push(change.clone());
                }
                true
            });
        }
        if !rows.strays.is_empty() {
            sort_by_key(&mut out[start..], |change| change.id.hlc);
        }
    }

    /// Changes of a row from its `nth` on.
    pub(super) fn walk_row(
        &self,
        number: usize,
        nth: u32,
        mut body: impl FnMut(Place, ChangeKey, &Change) -> bool,
    ) -> bool {
        let row = self.rows[number];
        let peer = self.authors.peer(row.author);
        let mut previous: Option<Hlc> = None;
        let mut change = Change {
            id: OperationId::new(peer, row.first_clock),
            deps: Vec::new(),
            payload: Vec::new(),
        };
        let mut bodies = self.row_bodies(&row).map(|bodies| bodies.skip(nth));
        for (at, clock) in self.clocks(&row).enumerate() {
            if at as u32 >= nth {
                change.id.hlc = clock;
                self.fill_deps(number, peer, previous, &mut change.deps);
                let place = Place {
                    row: number as u32,
                    nth: at as u32,
                };
                change.payload.clear();
                let mut write =
                    |op: Operation<'_>| self.write_payload(&row, op, &mut change.payload);
                match bodies.as_mut().map(Bodies::take) {
                    Some((kind, body)) => write(Operation::Other { kind, body }),
                    None => self.with_operation(place, write),
                }
                if !body(
                    place,
                    ChangeKey {
                        author: row.author,
                        clock,
                    },
                    &change,
                ) {
                    return false;
                }
            }
            previous = Some(clock);
        }
        true
    }

    fn fill_deps(
        &self,
        row: usize,
        peer: crate::clock::PeerId,
        previous: Option<Hlc>,
        out: &mut Vec<OperationId>,
    ) {
        out.clear();
        match previous {
            Some(clock) => out.push(OperationId::new(peer, clock)),
            None => {
                let mut deps = Vec::new();
                self.row_deps(row, &mut deps);
                out.extend(deps.into_iter().map(|dep| self.operation_id(dep)));
            }
        }
    }

    fn write_payload(&self, row: &Row, op: Operation<'_>, out: &mut Vec<u8>) {
        match op {
            Operation::Opaque { payload } => out.extend_from_slice(payload),
            _ => {
                out.extend_from_slice(&self.name(row.name).prefix);
                self.write_operation(row.author, op, out);
            }
        }
    }

    /// Kind and body of an operation (specification chapter 9).
    pub fn write_operation(&self, author: AuthorIdx, op: Operation<'_>, out: &mut Vec<u8>) {
        match op {
            Operation::Insert {
                first,
                len,
                left,
                right,
                content,
            } => {
                out.push(0);
                self.write_element(left, out);
                self.write_element(right, out);
                write_uvarint(out, u64::from(len));
                self.write_items(
                    ElementKey {
                        author,
                        counter: first,
                    },
                    len,
                    content,
                    out,
                );
            }
            Operation::Remove { spans } => {
                out.push(1);
                self.write_spans(spans, out);
            }
            Operation::Other { kind, body } => {
                out.push(kind);
                out.extend_from_slice(body);
            }
            Operation::Opaque { payload } => out.extend_from_slice(payload),
        }
    }

    fn write_items(&self, first: ElementKey, len: u32, content: Content, out: &mut Vec<u8>) {
        if content.is_value() {
            for (nth, value) in self.content.values(content, len).enumerate() {
                self.write_element(first.plus(nth as u32), out);
                write_prefixed(out, value);
            }
            return;
        }
        let units = self.content.slice(content, len);
        for nth in 0..len {
            self.write_element(first.plus(nth), out);
            write_unit(units.get(nth as usize), out);
        }
    }

    /// Content of one element: a value, or text of so many units.
    pub fn write_content(&self, content: Content, units: u32, out: &mut Vec<u8>) {
        match (content.is_value(), units) {
            (true, _) => write_prefixed(out, self.content.value(content)),
            (false, 1) => write_unit(self.content.slice(content, 1).get(0), out),
            (false, _) => {
                let (mut text, mut bytes) = (Vec::new(), Vec::new());
                self.content.copy_utf16(content, units, &mut text);
                wtf8::encode_utf16(&text, &mut bytes);
                write_prefixed(out, &bytes);
            }
        }
    }

    fn write_spans(&self, spans: &[Span], out: &mut Vec<u8>) {
        let count: u64 = spans.iter().map(|span| u64::from(span.len)).sum();
        write_uvarint(out, count);
        for span in spans {
            (0..span.len).for_each(|nth| self.write_element(span.id.plus(nth), out));
        }
    }

    /// FugueElementID bytes (3.3).
    pub fn write_element(&self, key: ElementKey, out: &mut Vec<u8>) {
        if key.is_null() {
            out.push(0);
            return;
        }
        out.push(1);
        out.extend_from_slice(self.authors.peer(key.author).bytes());
        write_uvarint(out, u64::from(key.counter));
    }
}

/// `lp(WTF-8)` of one UTF-16 unit, which may be half of a pair.
fn write_unit(unit: u16, out: &mut Vec<u8>) {
    match unit {
        0..=0x7f => out.extend_from_slice(&[1, unit as u8]),
        0x80..=0x7ff => {
            out.extend_from_slice(&[2, 0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8])
        }
        _ => out.extend_from_slice(&[
            3,
            0xe0 | (unit >> 12) as u8,
            0x80 | (unit >> 6 & 0x3f) as u8,
            0x80 | (unit & 0x3f) as u8,
        ]),
    }
}
