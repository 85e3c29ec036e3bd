//! The changes of a document in the order in which they were stored, run-length encoded, and the
//! queries on them. The bytes of a change are produced from its row on export; whatever has no
//! compact row is kept as it came, so that every change leaves as it arrived.
//!
//! Cost per typed character: one byte of content and, while the typing goes on, a byte or less
//! of log. Appending is O(1), finding a change O(log rows).

mod export;
mod graph;
mod produced;
mod prune;
mod row;
mod slices;

pub(crate) use prune::Pruned;
pub(crate) use row::{NameIdx, Operation, Place, Span, Spans};
pub(crate) use slices::{NewRow, Slice, SliceClocks, SliceOp};

pub(crate) use super::content::ContentPool;
use super::types::HandlerKind;
use crate::clock::{AuthorIdx, Authors, Hlc, OperationId, OrderKey};
use crate::codec::bytes::write_prefixed;
use crate::sequence::ElementKey;
use crate::tree::ChunkedVec;
use row::{Clocks, POOLED_CHANGES_MAX, Row, RowDeps, RowOp, read_clock_step, write_clock_step};
use std::collections::{BTreeMap, HashMap};

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
    name_numbers: HashMap<Box<[u8]>, NameIdx>,
    /// The name given out last; see `recent_name`.
    recent: Option<NameIdx>,
    rows: ChunkedVec<Row>,
    by_author: Vec<AuthorRows>,
    /// Clock of the last change of the last row.
    last_clock: Hlc,
    clock_pool: Vec<u8>,
    byte_pool: Vec<u8>,
    span_pool: Vec<Span>,
    dep_pool: Vec<Box<[ChangeKey]>>,
    change_count: u64,
}

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
        if let Some(number) = self.name_numbers.get(prefix.as_slice()) {
            self.recent = Some(*number);
            return *number;
        }
        let number = NameIdx(self.names.len() as u32);
        self.recent = Some(number);
        let prefix: Box<[u8]> = prefix.into();
        self.names.push(Name {
            type_tag: type_tag.into(),
            id: id.into(),
            kind: HandlerKind::of_tag(type_tag),
            prefix: prefix.clone(),
            change_count: 0,
            rows: Vec::new(),
        });
        self.name_numbers.insert(prefix, number);
        number
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
    /// are from it to the end of the row. For what needs no single changes.
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
            if let Some((nth, clock)) = self
                .clocks(row)
                .enumerate()
                .find(|(_, clock)| wanted(clock))
            {
                let place = Place {
                    row: number,
                    nth: nth as u32,
                };
                let key = OperationId::new(self.authors.peer(row.author), clock);
                found.push((key, place, row.changes - nth as u32));
            }
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
        let after = author
            .rows
            .partition_point(|row| self.rows[*row as usize].first_clock <= key.clock);
        let in_row = after.checked_sub(1).and_then(|at| {
            let row = author.rows[at];
            let nth = self
                .clocks(&self.rows[row as usize])
                .position(|clock| clock == key.clock)?;
            Some(Place {
                row,
                nth: nth as u32,
            })
        });
        in_row.or_else(|| {
            author
                .strays
                .get(&key.clock)
                .map(|row| Place { row: *row, nth: 0 })
        })
    }

    /// Stores a change. The caller has checked that it is new and its dependencies are known.
    pub fn push(&mut self, key: ChangeKey, deps: &[ChangeKey], name: NameIdx, op: Operation<'_>) {
        self.change_count += 1;
        if name != NameIdx::NONE {
            self.names[name.0 as usize].change_count += 1;
        }
        if !self.try_extend(key, deps, name, op) {
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
        self.last_clock = key.clock;
        let author = &mut self.by_author[key.author.0 as usize];
        author.latest = author.latest.max(key.clock);
    }

    fn add_to_author(&mut self, key: ChangeKey, row: u32) {
        let number = key.author.0 as usize;
        if self.by_author.len() <= number {
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
                self.dep_pool.push(deps.into());
                RowDeps::List(self.dep_pool.len() as u32 - 1)
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
                self.span_pool.extend_from_slice(spans);
                RowOp::RemoveSpans {
                    start,
                    count: spans.len() as u32,
                }
            }
            Operation::Other { kind, body } => {
                let (start, len) = self.store_bytes(body);
                RowOp::Other { kind, start, len }
            }
            Operation::Opaque { payload } => {
                let (start, len) = self.store_bytes(payload);
                RowOp::Opaque { start, len }
            }
        }
    }

    fn store_bytes(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = self.byte_pool.len() as u32;
        self.byte_pool.extend_from_slice(bytes);
        (start, bytes.len() as u32)
    }

    /// Whether so many more bytes of operations fit: pools are addressed by 32 bits.
    pub fn has_room(&self, bytes: usize) -> bool {
        const POOL_MAX: usize = u32::MAX as usize;
        self.byte_pool.len() + bytes < POOL_MAX
            && self.content.has_room(bytes)
            && self.clock_pool.len() + 16 < POOL_MAX
    }

    /// Adds the change to the last row if it continues it.
    fn try_extend(
        &mut self,
        key: ChangeKey,
        deps: &[ChangeKey],
        name: NameIdx,
        op: Operation<'_>,
    ) -> bool {
        let Some(row) = self.rows.last() else {
            return false;
        };
        let last = ChangeKey {
            author: row.author,
            clock: self.last_clock,
        };
        if row.author != key.author || row.name != name || deps != [last] || key.clock <= last.clock
        {
            return false;
        }
        if last.clock != self.by_author[key.author.0 as usize].latest {
            // Rows of strays hold one change.
            return false;
        }
        let Some(op) = continued(row, op) else {
            return false;
        };
        let Some(clocks) = continued_clocks(row, last.clock, key.clock, &mut self.clock_pool)
        else {
            return false;
        };
        let row = self.rows.last_mut().expect("looked at above");
        row.op = op;
        row.clocks = clocks;
        row.changes += 1;
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
            RowDeps::List(list) => out.extend_from_slice(&self.dep_pool[list as usize]),
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
            RowOp::Other { kind, start, len } => Operation::Other {
                kind,
                body: self.bytes(start, len),
            },
            RowOp::Opaque { start, len } => Operation::Opaque {
                payload: self.bytes(start, len),
            },
        }
    }

    fn bytes(&self, start: u32, len: u32) -> &[u8] {
        &self.byte_pool[start as usize..start as usize + len as usize]
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
            + self.byte_pool.capacity()
            + self.span_pool.capacity() * size_of::<Span>()
            + self
                .dep_pool
                .iter()
                .map(|deps| (deps.len() + 1) * 16)
                .sum::<usize>()
    }
}

/// The row's operations with one more, if it continues them.
fn continued(row: &Row, op: Operation<'_>) -> Option<RowOp> {
    match (row.op, op) {
        (
            RowOp::Insert {
                first,
                step,
                left,
                right,
                content,
            },
            Operation::Insert {
                first: next,
                len,
                left: l,
                right: r,
                content: c,
            },
        ) => {
            let grown = step.checked_mul(row.changes)?;
            let last = ElementKey {
                author: row.author,
                counter: (first + grown).wrapping_sub(1),
            };
            let fits = len == step
                && next == first + grown
                && l == last
                && r == right
                && c == content.plus(grown);
            fits.then_some(RowOp::Insert {
                first,
                step,
                left,
                right,
                content,
            })
        }
        (
            RowOp::Remove {
                author,
                first,
                step,
            },
            Operation::Remove { spans: [span] },
        ) => {
            if span.id.author != author || span.len != step.unsigned_abs() {
                return None;
            }
            let changes = i32::try_from(row.changes).ok()?;
            let forwards = first.checked_add_signed(step.checked_mul(changes)?);
            if forwards == Some(span.id.counter) {
                return Some(row.op);
            }
            // Backspacing: decided by the second removal.
            let backwards =
                row.changes == 1 && step == 1 && first.checked_sub(1) == Some(span.id.counter);
            backwards.then_some(RowOp::Remove {
                author,
                first,
                step: -1,
            })
        }
        _ => None,
    }
}

/// How the row stores its clocks with one more; None starts a new row.
fn continued_clocks(row: &Row, last: Hlc, next: Hlc, pool: &mut Vec<u8>) -> Option<Clocks> {
    let distance = next.to_u64() - last.to_u64();
    match row.clocks {
        Clocks::Step(step) if row.changes > 1 && u64::from(step) == distance => Some(row.clocks),
        Clocks::Step(_) if row.changes == 1 && distance <= 0xffff => {
            Some(Clocks::Step(distance as u32))
        }
        Clocks::Step(step) if row.changes <= POOLED_CHANGES_MAX / 8 => {
            let start = pool.len() as u32;
            let mut clock = row.first_clock;
            for _ in 1..row.changes {
                let later = Hlc::from_u64(clock.to_u64() + u64::from(step));
                write_clock_step(clock, later, pool);
                clock = later;
            }
            write_clock_step(last, next, pool);
            Some(Clocks::Pool(start))
        }
        Clocks::Pool(_) if row.changes < POOLED_CHANGES_MAX => {
            write_clock_step(last, next, pool);
            Some(row.clocks)
        }
        _ => None,
    }
}
