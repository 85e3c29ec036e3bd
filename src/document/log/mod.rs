//! The changes of a document in the order in which they were stored, run-length encoded, and the
//! queries on them. The bytes of a change are produced from its row on export; whatever has no
//! compact row is kept as it came, so that every change leaves as it arrived.
//!
//! Cost per typed character: one byte of content and, while the typing goes on, a byte or less
//! of log. Appending is O(1), finding a change O(log rows).

mod bodies;
mod export;
mod graph;
mod produced;
mod prune;
mod replay;
mod row;
mod slices;
#[cfg(test)]
mod tests;

pub(crate) use graph::SeenChanges;
pub(crate) use prune::Pruned;
pub(crate) use replay::Stretch;
pub(crate) use row::{NameIdx, Operation, Place, Span, Spans};
pub(crate) use slices::{NewRow, Slice, SliceClocks, SliceOp};

pub(crate) use super::content::ContentPool;
use super::types::HandlerKind;
use crate::clock::{AuthorIdx, Authors, Hlc, OperationId, OrderKey};
use crate::codec::bytes::write_prefixed;
use crate::sequence::ElementKey;
use crate::tree::{ChunkedVec, LazyMap, LazyVec, push_few};
use bodies::{Bodies, BodyPool};
use row::{Clocks, Row, RowDeps, RowOp, Turn, read_clock_step};
use std::collections::BTreeMap;

/// A change id within one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChangeKey {
    pub author: AuthorIdx,
    pub clock: Hlc,
}

/// A handler as changes name it.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub type_tag: Box<str>,
    pub id: Box<str>,
    /// What Dart calls so.
    pub kind: Option<HandlerKind>,
    /// `lp(type) ‖ lp(id)`: how every payload for this handler begins.
    pub prefix: Box<[u8]>,
    /// How many changes name it.
    pub change_count: u64,
    /// Its rows, ascending.
    rows: Vec<u32>,
}

/// The rows of one author.
#[derive(Clone, Debug, Default)]
struct AuthorRows {
    /// Ascending by first clock, without overlap.
    rows: Vec<u32>,
    /// Largest clock stored.
    latest: Hlc,
    /// Changes that came with a smaller clock than one before them, which no honest writer's do:
    /// a row each.
    strays: BTreeMap<Hlc, u32>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub authors: Authors,
    pub content: ContentPool,
    names: Vec<Name>,
    /// By prefix. Invariant: empty while there are few names, else complete.
    name_numbers: LazyMap<Box<[u8]>, NameIdx>,
    /// The name given out last; see `recent_name`.
    recent: Option<NameIdx>,
    rows: ChunkedVec<Row>,
    by_author: Vec<AuthorRows>,
    /// Clock of the last change of the last row.
    last_clock: Hlc,
    clock_pool: Vec<u8>,
    bodies: BodyPool,
    /// Where the body of the change stored last begins, if its row has bodies.
    last_body: u32,
    span_pool: LazyVec<Span>,
    /// Lists one behind the other. Each begins with its length, in place of an author.
    dep_pool: Option<Box<ChunkedVec<ChangeKey>>>,
    change_count: u64,
}

/// Up to so many names are looked for one by one.
const NAMES_SEARCHED_MAX: usize = if cfg!(any(test, fuzzing)) { 2 } else { 8 };

impl Log {
    /// Number of changes.
    pub fn change_count(&self) -> u64 {
        self.change_count
    }

    /// The number of a (type tag, handler id) pair, given now if it has none.
    pub fn intern(&mut self, type_tag: &str, id: &str) -> NameIdx {
        let mut prefix = Vec::with_capacity(type_tag.len() + id.len() + 2);
        write_prefixed(&mut prefix, type_tag.as_bytes());
        write_prefixed(&mut prefix, id.as_bytes());
        if let Some(number) = self.number_of(&prefix) {
            self.recent = Some(number);
            return number;
        }
        let number = NameIdx(self.names.len() as u32);
        self.recent = Some(number);
        let new = Name {
            type_tag: type_tag.into(),
            id: id.into(),
            kind: HandlerKind::of_tag(type_tag),
            prefix: prefix.into(),
            change_count: 0,
            rows: Vec::new(),
        };
        push_few(&mut self.names, new);
        match self.names.len() {
            0..=NAMES_SEARCHED_MAX => (),
            len if len == NAMES_SEARCHED_MAX + 1 => {
                let numbered = self.names.iter().zip(0..);
                let numbered = numbered.map(|(name, at)| (name.prefix.clone(), NameIdx(at)));
                self.name_numbers.filled().extend(numbered);
            }
            _ => {
                let prefix = self.name(number).prefix.clone();
                self.name_numbers.filled().insert(prefix, number);
            }
        }
        number
    }

    fn number_of(&self, prefix: &[u8]) -> Option<NameIdx> {
        if self.names.len() > NAMES_SEARCHED_MAX {
            return self.name_numbers.get(prefix).copied();
        }
        let at = self.names.iter().position(|name| *name.prefix == *prefix)?;
        Some(NameIdx(at as u32))
    }

    /// The name given out last, if the payload begins with it, and kind and body: what decoding
    /// the envelope would give, without looking at the text again.
    pub fn recent_name<'a>(&self, payload: &'a [u8]) -> Option<(NameIdx, u8, &'a [u8])> {
        let number = self.recent?;
        let name = self.name(number);
        let (kind, body) = payload.strip_prefix(&*name.prefix)?.split_first()?;
        // Decoding drops a byte order mark: a payload with one names another handler.
        let marked = |text: &str| text.starts_with('\u{feff}');
        (!marked(&name.type_tag) && !marked(&name.id)).then_some((number, *kind, body))
    }

    /// The handler that a number stands for.
    pub fn name(&self, name: NameIdx) -> &Name {
        &self.names[name.0 as usize]
    }

    /// The place of the change stored last.
    pub fn last_place(&self) -> Option<Place> {
        let row = self.rows.last()?;
        Some(Place {
            row: self.rows.len() as u32 - 1,
            nth: row.changes - 1,
        })
    }

    /// The changes of a handler row by row: the first one that `keep` wants, and how many there
    /// are from it to the end of the row; changes with bodies one by one. For what needs no single
    /// changes where they have a compact form.
    pub fn stretches(
        &self,
        name: NameIdx,
        keep: impl Fn(ChangeKey) -> bool,
    ) -> Vec<(OrderKey, Place, u32)> {
        let mut found = Vec::new();
        for number in self.name(name).rows.iter().copied() {
            let row = &self.rows[number as usize];
            let wanted = |clock: &Hlc| {
                keep(ChangeKey {
                    author: row.author,
                    clock: *clock,
                })
            };
            let each = matches!(row.op, RowOp::Other { .. });
            let first = self
                .clocks(row)
                .enumerate()
                .filter(|(_, clock)| wanted(clock))
                .take(if each { row.changes as usize } else { 1 });
            found.extend(first.map(|(nth, clock)| {
                let place = Place {
                    row: number,
                    nth: nth as u32,
                };
                let key = OperationId::new(self.authors.peer(row.author), clock);
                let count = if each { 1 } else { row.changes - nth as u32 };
                (key, place, count)
            }));
        }
        found.sort_unstable_by_key(|(key, ..)| *key);
        found
    }

    /// The handler that a change names.
    pub fn name_of(&self, place: Place) -> NameIdx {
        self.rows[place.row as usize].name
    }

    /// The authors of the changes from number `start` on, row by row.
    pub fn for_each_author_from(&self, start: u64, mut body: impl FnMut(AuthorIdx)) {
        let mut before = self.change_count;
        for row in self.rows.iter().rev() {
            if before <= start {
                return;
            }
            body(row.author);
            before -= u64::from(row.changes);
        }
    }

    /// Who made a change.
    pub fn author_of(&self, place: Place) -> AuthorIdx {
        self.rows[place.row as usize].author
    }

    /// All handlers that were ever named.
    pub fn names(&self) -> impl Iterator<Item = (NameIdx, &Name)> {
        self.names
            .iter()
            .enumerate()
            .map(|(number, name)| (NameIdx(number as u32), name))
    }

    /// The handlers that stored changes name, in store order: one that continues the same handler
    /// as the change before is not listed again.
    pub fn names_in_store_order(&self) -> impl Iterator<Item = &Name> {
        let mut last = NameIdx::NONE;
        let names = self.rows.iter().map(|row| row.name);
        names
            .filter(move |name| {
                let is_new = *name != NameIdx::NONE && *name != last;
                last = *name;
                is_new
            })
            .map(|name| self.name(name))
    }

    /// The largest stored clock of an author.
    pub fn latest(&self, author: AuthorIdx) -> Option<Hlc> {
        let rows = self.by_author.get(author.0 as usize)?;
        (!rows.rows.is_empty()).then_some(rows.latest)
    }

    /// Where a change is.
    pub fn find(&self, key: ChangeKey) -> Option<Place> {
        let author = self.by_author.get(key.author.0 as usize)?;
        if key.clock > author.latest {
            return None;
        }
        // New clocks are asked for most: the search goes back from the end by growing steps.
        let begins_before = |row: &u32| self.rows[*row as usize].first_clock <= key.clock;
        let (mut end, mut step) = (author.rows.len(), 1);
        let after = loop {
            let start = end.saturating_sub(step);
            if start == 0 || begins_before(&author.rows[start]) {
                break start + author.rows[start..end].partition_point(begins_before);
            }
            (end, step) = (start, step * 4);
        };
        let in_row = after.checked_sub(1).and_then(|at| {
            let row = author.rows[at];
            let nth = self.nth_with_clock(&self.rows[row as usize], key.clock)?;
            Some(Place { row, nth })
        });
        in_row.or_else(|| {
            author
                .strays
                .get(&key.clock)
                .map(|row| Place { row: *row, nth: 0 })
        })
    }

    /// Which change of a row has a clock that is not before the row's first.
    fn nth_with_clock(&self, row: &Row, clock: Hlc) -> Option<u32> {
        let distance = clock.to_u64() - row.first_clock.to_u64();
        match row.clocks {
            _ if distance == 0 => Some(0),
            Clocks::Step(0) => None,
            Clocks::Step(step) => {
                let step = u64::from(step);
                let nth = distance / step;
                (distance % step == 0 && nth < u64::from(row.changes)).then_some(nth as u32)
            }
            Clocks::Pool(_) => {
                let nth = self.clocks(row).position(|known| known == clock)?;
                Some(nth as u32)
            }
        }
    }

    /// Stores a change. The caller has checked that it is new and its dependencies are known.
    #[inline(always)]
    pub fn push(&mut self, key: ChangeKey, deps: &[ChangeKey], name: NameIdx, op: Operation<'_>) {
        self.change_count += 1;
        // None for `NameIdx::NONE`.
        if let Some(name) = self.names.get_mut(name.0 as usize) {
            name.change_count += 1;
        }
        if !self.try_extend(key, deps, name, &op) {
            self.push_row(key, deps, name, op);
        }
        self.last_clock = key.clock;
        let author = &mut self.by_author[key.author.0 as usize];
        author.latest = author.latest.max(key.clock);
    }

    /// Out of the way of [`push`](Self::push): of twenty typed characters one begins a row.
    #[inline(never)]
    fn push_row(&mut self, key: ChangeKey, deps: &[ChangeKey], name: NameIdx, op: Operation<'_>) {
        let deps = self.store_deps(deps);
        let op = self.store_op(op);
        let row = self.rows.len() as u32;
        self.rows.push(Row {
            first_clock: key.clock,
            op,
            author: key.author,
            changes: 1,
            name,
            deps,
            clocks: Clocks::Step(0),
        });
        self.add_to_author(key, row);
        if name != NameIdx::NONE {
            self.names[name.0 as usize].rows.push(row);
        }
    }

    fn add_to_author(&mut self, key: ChangeKey, row: u32) {
        let number = key.author.0 as usize;
        if self.by_author.len() <= number {
            self.by_author
                .reserve_exact(number + 1 - self.by_author.len());
            self.by_author.resize_with(number + 1, AuthorRows::default);
        }
        let author = &mut self.by_author[number];
        if author.rows.is_empty() || key.clock > author.latest {
            author.rows.push(row);
        } else {
            author.strays.insert(key.clock, row);
        }
    }

    fn store_deps(&mut self, deps: &[ChangeKey]) -> RowDeps {
        match deps {
            [] => RowDeps::None,
            [dep] if self.last_change() == Some(*dep) => RowDeps::PreviousRow,
            _ => {
                let pool = self.dep_pool.get_or_insert_with(Box::default);
                let start = pool.len() as u32;
                pool.push(ChangeKey {
                    author: AuthorIdx(deps.len() as u32),
                    clock: Hlc::ZERO,
                });
                deps.iter().for_each(|dep| pool.push(*dep));
                RowDeps::List(start)
            }
        }
    }

    /// The change stored last.
    pub fn last_change(&self) -> Option<ChangeKey> {
        self.rows.last().map(|row| ChangeKey {
            author: row.author,
            clock: self.last_clock,
        })
    }

    fn store_op(&mut self, op: Operation<'_>) -> RowOp {
        match op {
            Operation::Insert {
                first,
                len,
                left,
                right,
                content,
            } => RowOp::Insert {
                first,
                step: len,
                left,
                right,
                content,
            },
            Operation::Remove { spans: [span] } => RowOp::Remove {
                author: span.id.author,
                first: span.id.counter,
                step: span.len as i32,
            },
            Operation::Remove { spans } => {
                let start = self.span_pool.len() as u32;
                self.span_pool.filled().extend_from_slice(spans);
                RowOp::RemoveSpans {
                    start,
                    count: spans.len() as u32,
                }
            }
            Operation::Other { kind, body } => {
                self.last_body = self.bodies.push(kind, body);
                RowOp::Other {
                    start: self.last_body,
                }
            }
            Operation::Opaque { payload } => RowOp::Opaque {
                start: self.bodies.push_plain(payload),
                len: payload.len() as u32,
            },
        }
    }

    /// Whether so many more bytes of operations fit: pools are addressed by 32 bits.
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        // Below an eighth of that, as nearly always, one comparison tells.
        const PLENTY: usize = 1 << 29;
        let all = self.bodies.len() | self.content.len_max() | self.clock_pool.len() | bytes;
        all < PLENTY || self.has_little_room(bytes)
    }

    #[cold]
    fn has_little_room(&self, bytes: usize) -> bool {
        const POOL_MAX: usize = u32::MAX as usize;
        self.bodies.has_room(bytes)
            && self.content.has_room(bytes)
            && self.clock_pool.len() + 16 < POOL_MAX
    }

    /// Adds the change to the last row if it continues it.
    #[inline(always)]
    fn try_extend(
        &mut self,
        key: ChangeKey,
        deps: &[ChangeKey],
        name: NameIdx,
        op: &Operation<'_>,
    ) -> bool {
        let last_clock = self.last_clock;
        let Some(row) = self.rows.last_mut() else {
            return false;
        };
        let &[dep] = deps else {
            return false;
        };
        if row.author != key.author
            || row.name != name
            || (dep.author, dep.clock) != (row.author, last_clock)
            || key.clock <= last_clock
        {
            return false;
        }
        if last_clock != self.by_author[key.author.0 as usize].latest {
            // Rows of strays hold one change.
            return false;
        }
        let Some(turn) = row.continued_by(op) else {
            return false;
        };
        if !row.continue_clocks(last_clock, key.clock, &mut self.clock_pool) {
            return false;
        }
        if turn == Turn::Backwards {
            row.turn_backwards();
        }
        row.changes += 1;
        if let Operation::Other { kind, body } = op {
            self.last_body = self.bodies.push(*kind, body);
        }
        true
    }

    /// The clocks of a row's changes.
    fn clocks<'a>(&'a self, row: &Row) -> impl Iterator<Item = Hlc> + 'a {
        let row = *row;
        let mut clock = row.first_clock;
        let mut at = match row.clocks {
            Clocks::Pool(start) => start as usize,
            Clocks::Step(_) => 0,
        };
        (0..row.changes).map(move |nth| {
            if nth > 0 {
                clock = match row.clocks {
                    Clocks::Step(step) => Hlc::from_u64(clock.to_u64() + u64::from(step)),
                    Clocks::Pool(_) => read_clock_step(clock, &self.clock_pool, &mut at),
                };
            }
            clock
        })
    }

    /// Clock of the last change of row `number`. O(changes) for rows with pooled clocks.
    fn last_clock_of(&self, number: usize) -> Hlc {
        if number + 1 == self.rows.len() {
            return self.last_clock;
        }
        let row = &self.rows[number];
        match row.clocks {
            Clocks::Step(step) => Hlc::from_u64(
                row.first_clock.to_u64() + u64::from(step) * u64::from(row.changes - 1),
            ),
            Clocks::Pool(_) => self.clocks(row).last().expect("rows are not empty"),
        }
    }

    /// The dependencies of the first change of a row.
    fn row_deps(&self, number: usize, out: &mut Vec<ChangeKey>) {
        match self.rows[number].deps {
            RowDeps::None => (),
            RowDeps::PreviousRow => {
                let clock = self.last_clock_of(number - 1);
                out.push(ChangeKey {
                    author: self.rows[number - 1].author,
                    clock,
                });
            }
            RowDeps::List(start) => {
                let pool = self.dep_pool.as_ref().expect("it has the list");
                let start = start as usize;
                let len = pool[start].author.0 as usize;
                out.extend((start + 1..=start + len).map(|at| pool[at]));
            }
        }
    }

    /// What a change does.
    pub fn operation(&self, place: Place) -> Operation<'_> {
        match self.rows[place.row as usize].op {
            RowOp::Insert {
                first,
                step,
                left,
                right,
                content,
            } => {
                let offset = place.nth * step;
                let author = self.rows[place.row as usize].author;
                let before = ElementKey {
                    author,
                    counter: (first + offset).wrapping_sub(1),
                };
                Operation::Insert {
                    first: first + offset,
                    len: step,
                    left: if place.nth == 0 { left } else { before },
                    right,
                    content: content.plus(offset),
                }
            }
            RowOp::Remove { .. } => Operation::Remove { spans: &[] },
            RowOp::RemoveSpans { start, count } => Operation::Remove {
                spans: &self.span_pool[start as usize..(start + count) as usize],
            },
            RowOp::Other { start } => {
                let mut bodies = match self.last_place() == Some(place) {
                    true => self.bodies.from(self.last_body),
                    false => self.bodies.from(start).skip(place.nth),
                };
                let (kind, body) = bodies.take();
                Operation::Other { kind, body }
            }
            RowOp::Opaque { start, len } => Operation::Opaque {
                payload: self.bodies.plain(start, len),
            },
        }
    }

    /// The bodies of a row that has some: for whoever walks it.
    fn row_bodies(&self, row: &Row) -> Option<Bodies<'_>> {
        match row.op {
            RowOp::Other { start } => Some(self.bodies.from(start)),
            _ => None,
        }
    }

    /// Hands the operation of a change to `body`; the spans of a removal live on its stack.
    pub fn with_operation<R>(&self, place: Place, body: impl FnOnce(Operation<'_>) -> R) -> R {
        if let RowOp::Remove {
            author,
            first,
            step,
        } = self.rows[place.row as usize].op
        {
            let counter = first.wrapping_add_signed(step.wrapping_mul(place.nth as i32));
            let id = ElementKey { author, counter };
            return body(Operation::Remove {
                spans: &[Span {
                    id,
                    len: step.unsigned_abs(),
                }],
            });
        }
        body(self.operation(place))
    }

    /// All changes of a handler that `keep` wants, in replay order.
    pub fn replay_order(
        &self,
        name: NameIdx,
        keep: impl Fn(ChangeKey) -> bool,
    ) -> Vec<(OrderKey, Place)> {
        let mut found = Vec::new();
        for number in self.name(name).rows.iter().copied() {
            let row = &self.rows[number as usize];
            let peer = self.authors.peer(row.author);
            for (nth, clock) in self.clocks(row).enumerate() {
                if keep(ChangeKey {
                    author: row.author,
                    clock,
                }) {
                    let place = Place {
                        row: number,
                        nth: nth as u32,
                    };
                    found.push((OperationId::new(peer, clock), place));
                }
            }
        }
        found.sort_unstable_by_key(|(key, _)| *key);
        found
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.content.heap_bytes()
            + self.rows.heap_bytes()
            + self
                .by_author
                .iter()
                .map(|author| author.rows.capacity() * 4 + author.strays.len() * 24)
                .sum::<usize>()
            + self
                .names
                .iter()
                .map(|name| name.rows.capacity() * 4 + 2 * name.prefix.len())
                .sum::<usize>()
            + self.clock_pool.capacity()
            + self.bodies.heap_bytes()
            + self.span_pool.capacity() * size_of::<Span>()
            + self.dep_pool.as_ref().map_or(0, |pool| pool.heap_bytes())
    }
}
