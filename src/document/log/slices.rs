//! Rows as a whole, in and out: what the native forms are made of. A *slice* is a part of a row.

use super::row::{Clocks, Row, RowOp, read_clock_step};
use super::{ChangeKey, Log, NameIdx, Operation, Place, Span};
use crate::clock::{AuthorIdx, Hlc, VersionVector};
use crate::sequence::ElementKey;
use crate::tree::sort_by_key;
use std::ops::Bound;

/// Changes of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The first change.
    pub first: Place,
    /// How many.
    pub changes: u32,
}

/// A slice as its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceParts<'a> {
    pub author: AuthorIdx,
    pub name: NameIdx,
    pub first_clock: Hlc,
    pub last_clock: Hlc,
    pub clocks: SliceClocks<'a>,
}

/// The clocks behind the first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SliceClocks<'a> {
    /// Equal distance.
    Step(u32),
    /// Steps as the log has them, one per change behind the first.
    Steps(&'a [u8]),
}

/// What the changes of a slice do: as [`Operation`], for all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SliceOp<'a> {
    /// Change n inserts the `len` elements behind those of change n - 1; the operation is that of
    /// the first.
    Insert(Operation<'a>),
    /// Change n removes `step.abs()` elements from `first + n * step` on.
    Remove {
        author: AuthorIdx,
        first: u32,
        step: i32,
    },
    /// One change; or several with bodies, of which this is the first: see
    /// [`Log::slice_bodies`].
    Single(Operation<'a>),
}

/// A row to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRow<'a> {
    pub key: ChangeKey,
    pub name: NameIdx,
    pub changes: u32,
    pub last_clock: Hlc,
    pub clocks: SliceClocks<'a>,
    pub op: SliceOp<'a>,
}

impl NewRow<'_> {
    /// Hands the operation of the first change to `body`.
    fn with_first<R>(&self, body: impl FnOnce(Operation<'_>) -> R) -> R {
        match self.op {
            SliceOp::Insert(op) | SliceOp::Single(op) => body(op),
            SliceOp::Remove {
                author,
                first,
                step,
            } => {
                let id = ElementKey {
                    author,
                    counter: first,
                };
                let len = step.unsigned_abs();
                body(Operation::Remove {
                    spans: &[Span { id, len }],
                })
            }
        }
    }
}

impl Log {
    /// The changes that `seen` does not cover, in store order. O(authors + rows that are new).
    pub fn slices_newer_than(&self, seen: &VersionVector) -> Vec<Slice> {
        let mut out = Vec::new();
        for (number, rows) in self.by_author.iter().enumerate() {
            if rows.rows.is_empty() {
                continue;
            }
            let seen = seen.get(&self.authors.peer(AuthorIdx(number as u32)));
            if seen.is_some_and(|seen| seen >= rows.latest) {
                continue;
            }
            let skip = seen.map_or(0, |seen| self.row_at_or_before(&rows.rows, seen));
            for row in &rows.rows[skip..] {
                out.extend(self.slice_newer_than(*row, seen));
            }
            let behind = seen.map_or(Bound::Unbounded, Bound::Excluded);
            for row in rows
                .strays
                .range((behind, Bound::Unbounded))
                .map(|(_, row)| *row)
            {
                out.extend(self.slice_newer_than(row, None));
            }
        }
        if self.by_author.len() > 1 || out.len() > 1 {
            sort_by_key(&mut out, |slice: &Slice| slice.first.row);
        }
        out
    }

    /// The last of `rows` that begins at `clock` or before, else the first. New clocks are asked
    /// for most, so the search begins at the end.
    fn row_at_or_before(&self, rows: &[u32], clock: Hlc) -> usize {
        let begins_behind = |row: &u32| self.rows[*row as usize].first_clock > clock;
        match rows.last() {
            Some(last) if !begins_behind(last) => rows.len() - 1,
            _ => rows
                .partition_point(|row| !begins_behind(row))
                .saturating_sub(1),
        }
    }

    fn slice_newer_than(&self, number: u32, seen: Option<Hlc>) -> Option<Slice> {
        let row = &self.rows[number as usize];
        let nth = match seen {
            Some(seen) if seen >= row.first_clock => match row.clocks {
                Clocks::Step(0) => row.changes,
                Clocks::Step(step) => {
                    let passed = (seen.to_u64() - row.first_clock.to_u64()) / u64::from(step);
                    passed.min(u64::from(row.changes) - 1) as u32 + 1
                }
                Clocks::Pool(_) => self.clocks(row).filter(|clock| *clock <= seen).count() as u32,
            },
            _ => 0,
        };
        (nth < row.changes).then_some(Slice {
            first: Place { row: number, nth },
            changes: row.changes - nth,
        })
    }

    /// All changes in store order, without the first `skip`. O(rows that are left).
    pub fn slices_from(&self, skip: u64) -> Vec<Slice> {
        let mut out = Vec::new();
        let mut before = self.change_count;
        for row in (0..self.rows.len()).rev() {
            if before <= skip {
                break;
            }
            let changes = self.rows[row].changes;
            before -= u64::from(changes);
            let nth = skip.saturating_sub(before) as u32;
            let row = row as u32;
            out.push(Slice {
                first: Place { row, nth },
                changes: changes - nth,
            });
        }
        out.reverse();
        out
    }

    /// What was stored since a change, which is the last of its row or was so: from the one behind
    /// it on. None: all. In store order. O(rows that are new).
    pub fn slices_since(&self, last: Option<Place>, out: &mut Vec<Slice>) {
        let mut row = 0;
        if let Some(last) = last {
            let all = self.rows[last.row as usize].changes;
            if last.nth + 1 < all {
                let nth = last.nth + 1;
                out.push(Slice {
                    first: Place { row: last.row, nth },
                    changes: all - nth,
                });
            }
            row = last.row + 1;
        }
        while (row as usize) < self.rows.len() {
            out.push(Slice {
                first: Place { row, nth: 0 },
                changes: self.rows[row as usize].changes,
            });
            row += 1;
        }
    }

    /// Author, name and clocks of a slice. O(1), or O(changes of the row) for clocks in the pool
    /// unless the slice is the last change of all.
    pub fn slice_parts(&self, slice: Slice) -> SliceParts<'_> {
        let row = &self.rows[slice.first.row as usize];
        let is_last = slice.first.row as usize + 1 == self.rows.len()
            && slice.first.nth + slice.changes == row.changes;
        let (first_clock, last_clock, clocks) = match row.clocks {
            Clocks::Step(step) => {
                let clock = |nth: u32| {
                    Hlc::from_u64(row.first_clock.to_u64() + u64::from(step) * u64::from(nth))
                };
                let last = clock(slice.first.nth + slice.changes - 1);
                (clock(slice.first.nth), last, SliceClocks::Step(step))
            }
            Clocks::Pool(_) if is_last && slice.changes == 1 => {
                (self.last_clock, self.last_clock, SliceClocks::Step(0))
            }
            Clocks::Pool(start) => self.pooled_clocks(row, start, slice),
        };
        SliceParts {
            author: row.author,
            name: row.name,
            first_clock,
            last_clock,
            clocks,
        }
    }

    fn pooled_clocks(&self, row: &Row, start: u32, slice: Slice) -> (Hlc, Hlc, SliceClocks<'_>) {
        let mut at = start as usize;
        let mut clock = row.first_clock;
        for _ in 0..slice.first.nth {
            clock = read_clock_step(clock, &self.clock_pool, &mut at);
        }
        let (first, from) = (clock, at);
        for _ in 1..slice.changes {
            clock = read_clock_step(clock, &self.clock_pool, &mut at);
        }
        (first, clock, SliceClocks::Steps(&self.clock_pool[from..at]))
    }

    /// The dependencies of a slice's first change; `out` is emptied first.
    pub fn slice_deps(&self, slice: Slice, out: &mut Vec<ChangeKey>) {
        out.clear();
        let Place { row, nth } = slice.first;
        match nth.checked_sub(1) {
            None => self.row_deps(row as usize, out),
            Some(nth) => {
                let before = Slice {
                    first: Place { row, nth },
                    changes: 1,
                };
                let parts = self.slice_parts(before);
                out.push(ChangeKey {
                    author: parts.author,
                    clock: parts.first_clock,
                });
            }
        }
    }

    /// What the changes of a slice do.
    pub fn slice_op(&self, slice: Slice) -> SliceOp<'_> {
        match self.rows[slice.first.row as usize].op {
            RowOp::Insert { .. } => SliceOp::Insert(self.operation(slice.first)),
            RowOp::Remove {
                author,
                first,
                step,
            } => SliceOp::Remove {
                author,
                first: first.wrapping_add_signed(step.wrapping_mul(slice.first.nth as i32)),
                step,
            },
            RowOp::RemoveSpans { .. } | RowOp::Other { .. } | RowOp::Opaque { .. } => {
                SliceOp::Single(self.operation(slice.first))
            }
        }
    }

    /// Stores a row of changes that are all new and younger than what is stored of their author;
    /// the dependencies of the first are known. Returns where they are now. O(1), but for its
    /// bytes.
    pub fn push_slice(&mut self, new: &NewRow<'_>, deps: &[ChangeKey]) -> Slice {
        if new.changes == 1 {
            new.with_first(|op| self.push(new.key, deps, new.name, op));
        } else {
            if !self.continue_row(new, deps) {
                self.begin_row(new, deps);
            }
            self.change_count += u64::from(new.changes);
            if new.name != NameIdx::NONE {
                self.names[new.name.0 as usize].change_count += u64::from(new.changes);
            }
            self.last_clock = new.last_clock;
            let author = &mut self.by_author[new.key.author.0 as usize];
            author.latest = author.latest.max(new.last_clock);
        }
        let row = self.rows.len() as u32 - 1;
        let nth = self.rows[row as usize].changes - new.changes;
        Slice {
            first: Place { row, nth },
            changes: new.changes,
        }
    }

    fn begin_row(&mut self, new: &NewRow<'_>, deps: &[ChangeKey]) {
        let deps = self.store_deps(deps);
        let mut op = new.with_first(|op| self.store_op(op));
        if let (RowOp::Remove { step, .. }, SliceOp::Remove { step: signed, .. }) =
            (&mut op, new.op)
        {
            *step = signed;
        }
        let clocks = match new.clocks {
            SliceClocks::Step(step) => Clocks::Step(step),
            SliceClocks::Steps(steps) => {
                let start = self.clock_pool.len() as u32;
                self.clock_pool.extend_from_slice(steps);
                Clocks::Pool(start)
            }
        };
        let row = self.rows.len() as u32;
        self.rows.push(Row {
            first_clock: new.key.clock,
            op,
            author: new.key.author,
            changes: new.changes,
            name: new.name,
            deps,
            clocks,
        });
        self.add_to_author(new.key, row);
        if new.name != NameIdx::NONE {
            self.names[new.name.0 as usize].rows.push(row);
        }
    }

    /// Adds changes to the last row, if they go on with its text at its pace.
    fn continue_row(&mut self, new: &NewRow<'_>, deps: &[ChangeKey]) -> bool {
        let SliceOp::Insert(Operation::Insert {
            first,
            len,
            left,
            right,
            content,
        }) = new.op
        else {
            return false;
        };
        let (Some(last), Some(row)) = (self.last_change(), self.rows.last_mut()) else {
            return false;
        };
        let (Clocks::Step(pace), SliceClocks::Step(new_pace)) = (row.clocks, new.clocks) else {
            return false;
        };
        let RowOp::Insert {
            first: row_first,
            step,
            right: row_right,
            content: row_content,
            ..
        } = row.op
        else {
            return false;
        };
        let grown = step * row.changes;
        let before = ElementKey {
            author: row.author,
            counter: row_first + grown - 1,
        };
        let goes_on = len == step
            && first == row_first + grown
            && left == before
            && right == row_right
            && content == row_content.plus(grown)
            && grown.checked_add(step * new.changes).is_some();
        let fits = goes_on
            && row.changes > 1
            && pace == new_pace
            && row.author == new.key.author
            && row.name == new.name
            && deps == [last]
            && new.key.clock.to_u64() - last.clock.to_u64() == u64::from(pace)
            && last.clock == self.by_author[new.key.author.0 as usize].latest;
        if fits {
            row.changes += new.changes;
        }
        fits
    }

    /// Appends kinds and bodies of a slice's changes, if that is what they are.
    pub fn slice_bodies<'a>(&'a self, slice: Slice, out: &mut Vec<(u8, &'a [u8])>) {
        let row = &self.rows[slice.first.row as usize];
        if let Some(bodies) = self.row_bodies(row) {
            let mut bodies = bodies.skip(slice.first.nth);
            out.extend((0..slice.changes).map(|_| bodies.take()));
        }
    }

    /// The changes of a slice one by one: places and clocks.
    pub fn slice_clocks(&self, slice: Slice) -> Vec<(Place, Hlc)> {
        let Place { row, nth } = slice.first;
        let clocks = self.clocks(&self.rows[row as usize]).enumerate();
        clocks
            .skip(nth as usize)
            .take(slice.changes as usize)
            .map(|(nth, clock)| {
                let nth = nth as u32;
                (Place { row, nth }, clock)
            })
            .collect()
    }
}
