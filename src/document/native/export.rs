//! Rows of the log to native bytes.

use super::removals::{counts, inserted};
use crate::clock::{AuthorIdx, PeerId, VersionVector};
use crate::codec::bytes::write_uvarint;
use crate::codec::native::container::seal;
use crate::codec::native::rows::{
    ClocksOut, ContentOut, Dep, Element, NO_NAME, OpOut, REMOVALS_MAX, RowOut, Span, UNITS_MAX,
};
use crate::codec::native::{Columns, Directory, Kind, Layout, RowEncoder};
use crate::document::content::Units;
use crate::document::log::{
    ChangeKey, Log, NameIdx, Operation, Place, Slice, SliceClocks, SliceOp,
};
use crate::document::{Document, LogPosition};
use crate::sequence::{Content, ElementKey};
use std::collections::HashSet;

/// So few rows are written one behind the other: columns would cost more than they save.
const INTERLEAVED_ROWS_MAX: usize = 16;

impl Document {
    /// The changes that `since` does not cover, in the native form (docs/format.md), in an order
    /// in which they can be taken in. Whatever a change was made by, its crdt_lf bytes come back.
    /// O(rows that are new): typing a word is one row. See
    /// [`deflated`](crate::codec::native::deflated) for less bytes and more time.
    pub fn export_native(&self, since: &VersionVector) -> Vec<u8> {
        let slices = self.log.slices_newer_than(since);
        let (bytes, _) = self.pack(&slices, usize::MAX);
        bytes
    }

    /// Changes stored since `position` in the native form, in parts of about `bytes_target`, each
    /// on its own; None if history was rewritten meanwhile: then whoever follows starts over with
    /// [`stored_snapshot`](Self::stored_snapshot). O(what is new).
    pub fn native_changes_since(
        &self,
        position: LogPosition,
        bytes_target: usize,
    ) -> Option<Vec<Vec<u8>>> {
        if position.generation != self.generation {
            return None;
        }
        Some(self.pack_in_parts(&self.log.slices_from(position.index), bytes_target))
    }

    /// As [`export_native`](Self::export_native), in parts of about `bytes_target`, each on its own,
    /// to be taken in in this order; none if nothing is new.
    pub fn export_native_parts(&self, since: &VersionVector, bytes_target: usize) -> Vec<Vec<u8>> {
        self.pack_in_parts(&self.log.slices_newer_than(since), bytes_target)
    }

    fn pack_in_parts(&self, mut slices: &[Slice], bytes_target: usize) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        while !slices.is_empty() {
            let (part, taken) = self.pack(slices, bytes_target);
            parts.push(part);
            slices = &slices[taken..];
        }
        parts
    }

    /// Slices in one container, until it reaches `bytes_target`; and how many they were.
    fn pack(&self, slices: &[Slice], bytes_target: usize) -> (Vec<u8>, usize) {
        let mut writer = SliceWriter::default();
        let mut count = Vec::with_capacity(5);
        if slices.len() <= INTERLEAVED_ROWS_MAX {
            let mut rows = Vec::with_capacity(96);
            writer.write_all(&self.log, slices, &mut rows);
            write_uvarint(&mut count, writer.rows);
            return (seal(Kind::Changes, false, &[&count, &rows]), slices.len());
        }
        let mut columns = Columns::default();
        let mut taken = 0;
        while taken < slices.len() && columns.len() < bytes_target {
            writer.write(&self.log, slices[taken], &mut columns);
            taken += 1;
        }
        write_uvarint(&mut count, writer.rows);
        let mut rows = Vec::new();
        columns.finish(&mut rows);
        (seal(Kind::Changes, true, &[&count, &rows]), taken)
    }
}

/// Writes slices of one log.
#[derive(Clone, Debug, Default)]
pub(super) struct SliceWriter {
    encoder: RowEncoder,
    /// How many rows were written since this was set to zero.
    pub rows: u64,
    /// Of the body at hand: authors, and how many elements rows remove.
    authors: HashSet<AuthorIdx>,
    last_author: Option<AuthorIdx>,
    removed: u64,
    /// How many elements there are at least, once that mattered.
    known: u64,
    keys: Vec<ChangeKey>,
    deps: Vec<Dep>,
    spans: Vec<Span>,
}

/// What the parts of a row borrow.
struct Borrowed<'a> {
    spans: &'a mut Vec<Span>,
    values: Vec<&'a [u8]>,
    bodies: Vec<(u8, &'a [u8])>,
}

impl Directory for Log {
    fn peer(&self, author: u32) -> PeerId {
        self.authors.peer(AuthorIdx(author))
    }

    fn name(&self, name: u32) -> (&str, &str) {
        let name = Log::name(self, NameIdx(name));
        (&name.type_tag, &name.id)
    }
}

impl SliceWriter {
    pub fn write_all(&mut self, log: &Log, slices: &[Slice], out: &mut impl Layout) {
        for slice in slices {
            self.write(log, *slice, out);
        }
    }

    /// What is written from now on is another body.
    pub fn begin_body(&mut self) {
        self.rows = 0;
        self.removed = 0;
        self.authors.clear();
        self.last_author = None;
    }

    /// A row may stand for so much only; longer slices become several rows.
    pub fn write(&mut self, log: &Log, slice: Slice, out: &mut impl Layout) {
        if !self.may_remove(log, slice) {
            for nth in 0..slice.changes {
                let change = Slice {
                    first: Place {
                        nth: slice.first.nth + nth,
                        ..slice.first
                    },
                    changes: 1,
                };
                let payload = log.change(change.first).payload;
                self.write_row(log, change, Some(&payload), out);
            }
            return;
        }
        let max = match log.slice_op(slice) {
            SliceOp::Insert(Operation::Insert { len, .. }) => UNITS_MAX as u32 / len,
            SliceOp::Single(Operation::Other { .. }) => slice.changes,
            SliceOp::Insert(_) | SliceOp::Single(_) => 1,
            SliceOp::Remove { .. } => REMOVALS_MAX,
        };
        let Place { row, nth } = slice.first;
        let mut done = 0;
        while done < slice.changes {
            let changes = max.max(1).min(slice.changes - done);
            let part = Slice {
                first: Place {
                    row,
                    nth: nth + done,
                },
                changes,
            };
            self.write_row(log, part, None, out);
            done += changes;
        }
    }

    /// Whether a row may stand for what a slice removes. Whoever reads it takes no more than all
    /// elements of each author, so what was forged goes as it came.
    fn may_remove(&mut self, log: &Log, slice: Slice) -> bool {
        let (_, removed) = counts(log, slice);
        let author = log.author_of(slice.first);
        if self.last_author.replace(author) != Some(author) {
            self.authors.insert(author);
        }
        if removed == 0 {
            return true;
        }
        let all = self.removed + removed;
        let authors = self.authors.len() as u64;
        // A row has more bytes than that.
        if all > self.rows && all > self.known.saturating_mul(authors) {
            self.known = inserted(log);
            if all > self.known.saturating_mul(authors) {
                return false;
            }
        }
        self.removed = all;
        true
    }

    fn write_row(
        &mut self,
        log: &Log,
        slice: Slice,
        payload: Option<&[u8]>,
        out: &mut impl Layout,
    ) {
        log.slice_deps(slice, &mut self.keys);
        self.deps.clear();
        self.deps.extend(self.keys.iter().map(|key| Dep {
            author: key.author.0,
            clock: key.clock,
        }));
        let parts = log.slice_parts(slice);
        let mut borrowed = Borrowed {
            spans: &mut self.spans,
            values: Vec::new(),
            bodies: Vec::new(),
        };
        let op = match payload {
            Some(payload) => OpOut::Opaque(payload),
            None => borrowed.op_out(log, slice),
        };
        let name = match (op, parts.name) {
            (OpOut::Opaque(_), _) | (_, NameIdx::NONE) => NO_NAME,
            (_, name) => name.0,
        };
        let row = RowOut {
            author: parts.author.0,
            name,
            changes: slice.changes,
            first_clock: parts.first_clock,
            last_clock: parts.last_clock,
            clocks: match parts.clocks {
                SliceClocks::Step(step) => ClocksOut::Step(step),
                SliceClocks::Steps(steps) => ClocksOut::Steps(steps),
            },
            deps: &self.deps,
            op,
        };
        self.encoder.push(&row, log, out);
        self.rows += 1;
    }
}

impl<'a> Borrowed<'a> {
    fn op_out<'b>(&'b mut self, log: &'a Log, slice: Slice) -> OpOut<'b> {
        match log.slice_op(slice) {
            SliceOp::Insert(Operation::Insert {
                first,
                len,
                left,
                right,
                content,
            }) => OpOut::Insert {
                first,
                step: len,
                left: element(left),
                right: element(right),
                content: self.content_out(log, content, len * slice.changes),
            },
            SliceOp::Remove {
                author,
                first,
                step,
            } => OpOut::Remove {
                first: Element {
                    author: author.0,
                    counter: first,
                },
                step,
            },
            SliceOp::Insert(op) | SliceOp::Single(op) => match op {
                Operation::Remove { spans: removed } => {
                    self.spans.clear();
                    self.spans.extend(removed.iter().map(|span| Span {
                        first: element(span.id),
                        len: span.len,
                    }));
                    OpOut::RemoveSpans(self.spans)
                }
                Operation::Other { .. } => {
                    log.slice_bodies(slice, &mut self.bodies);
                    OpOut::Bodies(&self.bodies)
                }
                Operation::Opaque { payload } => OpOut::Opaque(payload),
                Operation::Insert { .. } => unreachable!("insertions are slices of their own"),
            },
        }
    }

    fn content_out<'b>(&'b mut self, log: &'a Log, content: Content, len: u32) -> ContentOut<'b> {
        if content.is_value() {
            self.values.extend(log.content.values(content, len));
            return ContentOut::Values(&self.values);
        }
        match log.content.slice(content, len) {
            Units::Narrow(bytes) => ContentOut::Narrow(bytes),
            Units::Wide(units) => ContentOut::Wide(units),
        }
    }
}

fn element(key: ElementKey) -> Element {
    Element {
        author: key.author.0,
        counter: key.counter,
    }
}
