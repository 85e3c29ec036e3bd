//! What text and lists by position share: a sequence, and the operations that made it.
//!
//! Positions are not transformed: an operation acts on what is there when its turn comes in the
//! order of replay (specification 9.3, 9.4). A change from the past therefore undoes the younger
//! operations, acts, and has them done again. For that each operation leaves a record of 24 bytes,
//! and what it took out lies on a stack; undone, what it put in lies on another. So each element
//! is in one place only, in the sequence or on one of the stacks. Changes from the past wait until
//! [`settle`](Indexed::settle), so that all of an import together undo and do again only once.

use super::kept_operations::{Forgotten, KEPT_ELEMENTS_MAX, KEPT_OPERATIONS_MAX, latest, raise};
use super::watched::{Watch, Watched, Watcher};
use crate::clock::{Hlc, OrderKey, PeerId};
use crate::tree::{Element, Rope};
use std::cmp::Ordering;
use std::collections::HashMap;

/// An operation. Positions past the end and counts beyond it are clipped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit<'a, T> {
    /// Before `index`, at the end if there is less.
    Insert { index: u64, elements: &'a [T] },
    /// As far as they are there.
    Remove { index: u64, count: u64 },
    /// Overwrites as far as there is something; the rest has no effect.
    Replace { index: u64, elements: &'a [T] },
}

impl<'a, T> Edit<'a, T> {
    /// The elements that it brings.
    fn elements(self) -> &'a [T] {
        match self {
            Edit::Insert { elements, .. } | Edit::Replace { elements, .. } => elements,
            Edit::Remove { .. } => &[],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Insert,
    Remove,
    Replace,
}

/// An operation, done or undone.
#[derive(Clone, Copy, Debug)]
struct Record {
    clock: Hlc,
    /// Number of the author above two bits of kind.
    author_and_kind: u32,
    index: u32,
    /// How many elements it was to insert, remove or replace.
    count: u32,
    /// How many it did insert, remove or replace when it was done last.
    taken: u32,
}

/// Author of the operations of the open transaction, which come last.
const PENDING: u32 = u32::MAX >> 2;

/// Stacks that grew beyond so many elements are given back when they are empty.
const SPARE_MAX: usize = 4096;

impl Record {
    fn new<T>(author: u32, clock: Hlc, edit: Edit<'_, T>) -> Self {
        // Sequences are shorter than 2^32: a larger index or count is as good as the largest.
        let clip = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let (kind, index, count) = match edit {
            Edit::Insert { index, elements } => (Kind::Insert, index, elements.len() as u64),
            Edit::Remove { index, count } => (Kind::Remove, index, count),
            Edit::Replace { index, elements } => (Kind::Replace, index, elements.len() as u64),
        };
        Record {
            clock,
            author_and_kind: author << 2 | kind as u32,
            index: clip(index),
            count: clip(count),
            taken: 0,
        }
    }

    fn author(&self) -> u32 {
        self.author_and_kind >> 2
    }

    fn kind(&self) -> Kind {
        match self.author_and_kind & 3 {
            0 => Kind::Insert,
            1 => Kind::Remove,
            _ => Kind::Replace,
        }
    }

    /// How many elements the operation brings.
    fn brought(&self) -> usize {
        match self.kind() {
            Kind::Remove => 0,
            Kind::Insert | Kind::Replace => self.count as usize,
        }
    }

    /// How many elements it left on the stack when it was done.
    fn left(&self) -> usize {
        match self.kind() {
            Kind::Insert if self.taken == self.count => 0,
            Kind::Remove => self.taken as usize,
            Kind::Insert | Kind::Replace => self.count as usize,
        }
    }

    /// The operation, with the elements that it brings.
    fn edit<'a, T>(&self, elements: &'a [T]) -> Edit<'a, T> {
        let index = u64::from(self.index);
        match self.kind() {
            Kind::Insert => Edit::Insert { index, elements },
            Kind::Replace => Edit::Replace { index, elements },
            Kind::Remove => Edit::Remove {
                index,
                count: u64::from(self.count),
            },
        }
    }
}

/// What a sequence started from, and how much of what was done since is there for good.
#[derive(Clone, Debug)]
struct Floor {
    /// Records of operations that a snapshot covers: what comes now acts behind them.
    frozen: usize,
    /// The operations without records; None if they are not known, or did not come in the order
    /// of replay.
    forgotten: Option<Forgotten>,
    /// The largest place of those.
    latest: Option<OrderKey>,
}

impl Floor {
    fn new(forgotten: Option<Forgotten>) -> Self {
        Floor {
            frozen: 0,
            latest: forgotten.as_ref().and_then(latest),
            forgotten,
        }
    }

    /// An operation that comes now would have come before some that are forgotten: they can not
    /// be done again in the right order.
    fn note(&mut self, order: OrderKey) {
        if self.latest.is_some_and(|latest| latest > order) {
            *self = Floor {
                frozen: self.frozen,
                ..Floor::new(None)
            };
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Indexed<T> {
    sequence: Watched<T>,
    /// What the sequence shows, in the order of replay; last the open transaction's.
    done: Vec<Record>,
    /// Younger ones that are to be done again, from the last to the first. Empty, except while
    /// changes from the past are settled.
    undone: Vec<Record>,
    /// What the done operations took out, or had no place for.
    taken: Vec<T>,
    /// What the undone operations are to put in.
    held: Vec<T>,
    authors: Vec<PeerId>,
    author_numbers: HashMap<PeerId, u32>,
    /// How many operations are of the open transaction.
    pending: usize,
    /// An insertion that would make the sequence longer has no effect.
    len_max: u32,
    /// Changes from the past that wait to be settled, and what they bring, in order of arrival.
    waiting: Vec<Record>,
    waiting_elements: Vec<T>,
    floor: Floor,
}

impl<T> Default for Indexed<T> {
    fn default() -> Self {
        Indexed {
            sequence: Watched::default(),
            done: Vec::new(),
            undone: Vec::new(),
            taken: Vec::new(),
            held: Vec::new(),
            authors: Vec::new(),
            author_numbers: HashMap::new(),
            pending: 0,
            len_max: u32::MAX - 1,
            waiting: Vec::new(),
            waiting_elements: Vec::new(),
            floor: Floor::new(Some(Forgotten::new())),
        }
    }
}

impl<T: Element + PartialEq> Indexed<T> {
    /// A sequence whose history is not here; `forgotten` tells what it was, if that is known.
    pub fn seeded(elements: &[T], forgotten: Option<Forgotten>) -> Self {
        let mut seeded = Indexed {
            floor: Floor::new(forgotten),
            ..Indexed::default()
        };
        seeded.sequence.insert(0, elements, &mut Watch::Off);
        seeded
    }

    /// The sequence, with the open transaction. After changes from the past it has to be settled.
    pub fn rope(&self) -> &Rope<T> {
        debug_assert!(self.waiting.is_empty(), "read before it was settled");
        self.sequence.rope()
    }

    /// The sequence without the open transaction. O(1), or O(all) inside a transaction.
    pub fn committed(&self) -> Vec<T> {
        let mut out = Vec::new();
        if self.pending == 0 {
            self.rope().copy(0..u32::MAX, &mut out);
        } else {
            let mut committed = self.clone();
            committed.discard_pending(None);
            committed.rope().copy(0..u32::MAX, &mut out);
        }
        out
    }

    /// Adds the operation of a change; one that is known already has no effect. Amortised O(1)
    /// plus O(log n) for the youngest; others wait to be settled.
    pub fn apply(
        &mut self,
        order: OrderKey,
        edit: Edit<'_, T>,
        watcher: Option<&mut dyn Watcher<T>>,
    ) {
        let record = Record::new(self.author(order.peer), order.hlc, edit);
        self.floor.note(order);
        let last = self.done[self.floor.frozen..].last();
        if last.is_none_or(|last| self.compare(last, order) == Ordering::Less) {
            let watch = &mut watcher.map_or(Watch::Off, Watch::Each);
            self.do_new(record, edit.elements(), watch);
        } else {
            self.waiting.push(record);
            self.waiting_elements.extend_from_slice(edit.elements());
        }
    }

    /// Does and undoes until all older operations are done and no younger one. Returns whether
    /// the operation itself is among the done ones.
    fn seek(&mut self, order: OrderKey, watch: &mut Watch<'_, T>) -> bool {
        while let Some(next) = self.undone.last() {
            if self.compare(next, order) == Ordering::Greater {
                break;
            }
            self.redo(watch);
        }
        while let Some(last) = self.done[self.floor.frozen..].last() {
            match self.compare(last, order) {
                Ordering::Less => return false,
                Ordering::Equal => return true,
                Ordering::Greater => self.undo(watch),
            }
        }
        false
    }

    fn compare(&self, record: &Record, order: OrderKey) -> Ordering {
        match self.authors.get(record.author() as usize) {
            Some(author) => (record.clock, *author).cmp(&(order.hlc, order.peer)),
            None => Ordering::Greater,
        }
    }

    fn author(&mut self, peer: PeerId) -> u32 {
        let last = self.done.last().map_or(PENDING, Record::author);
        if self.authors.get(last as usize) == Some(&peer) {
            return last;
        }
        let authors = &mut self.authors;
        *self.author_numbers.entry(peer).or_insert_with(|| {
            authors.push(peer);
            (authors.len() - 1) as u32
        })
    }

    /// Adds an operation of the open transaction, behind all others.
    pub fn apply_pending(&mut self, edit: Edit<'_, T>, mut watcher: Option<&mut dyn Watcher<T>>) {
        self.settle(reborrowed(&mut watcher));
        let watch = &mut watcher.map_or(Watch::Off, Watch::Each);
        self.do_new(
            Record::new(PENDING, Hlc::ZERO, edit),
            edit.elements(),
            watch,
        );
        self.pending += 1;
    }

    /// Takes back all operations of the open transaction. O(their number · log n).
    pub fn discard_pending(&mut self, mut watcher: Option<&mut dyn Watcher<T>>) {
        self.settle(reborrowed(&mut watcher));
        let watch = &mut watcher.map_or(Watch::Off, Watch::Each);
        for _ in 0..std::mem::take(&mut self.pending) {
            self.undo(watch);
        }
        self.undone.clear();
        self.held.clear();
        self.shrink();
    }

    /// Gives the changes from the past that wait their places, and tells what they all did
    /// together. O(log n) for each operation behind the oldest of them; O(1) if there are none.
    pub fn settle(&mut self, watcher: Option<&mut dyn Watcher<T>>) {
        if self.waiting.is_empty() {
            return;
        }
        let elements = std::mem::take(&mut self.waiting_elements);
        let mut rest = elements.as_slice();
        let mut waiting: Vec<(OrderKey, Record, &[T])> = Vec::with_capacity(self.waiting.len());
        for record in std::mem::take(&mut self.waiting) {
            let brought;
            (brought, rest) = rest.split_at(record.brought());
            let author = self.authors[record.author() as usize];
            waiting.push((OrderKey::new(author, record.clock), record, brought));
        }
        // Stable: of two with one place the first one counts.
        waiting.sort_by_key(|(order, ..)| *order);
        let watch = &mut match watcher {
            Some(_) => Watch::Together,
            None => Watch::Off,
        };
        for (order, record, brought) in waiting {
            if !self.seek(order, watch) {
                self.do_new(record, brought, watch);
            }
        }
        while !self.undone.is_empty() {
            self.redo(watch);
        }
        if let Some(watcher) = watcher {
            self.sequence.tell(watcher);
        }
        self.shrink();
    }

    /// A snapshot took the place of the changes that `covers` knows, and of all before them:
    /// changes that it does not cover are folded on top of it (specification 9.1). Of its
    /// operations the youngest are kept for [`kept`](Self::kept).
    pub fn freeze(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        if self.pending > 0 || !self.waiting.is_empty() {
            return;
        }
        let is_covered = |record: &Record| covers(self.order_of(record));
        let covered = self.done.iter().rposition(is_covered);
        let covered = covered.map_or(0, |last| last + 1);
        self.floor.frozen = self.floor.frozen.max(covered);
        self.forget_oldest();
    }

    fn order_of(&self, record: &Record) -> OrderKey {
        OrderKey::new(self.authors[record.author() as usize], record.clock)
    }

    /// Forgets of the frozen operations what is beyond the limits, or of no use.
    fn forget_oldest(&mut self) {
        let frozen = &self.done[..self.floor.frozen];
        let (mut kept, mut elements) = (0, 0);
        if self.floor.forgotten.is_some() {
            for record in frozen.iter().rev().take(KEPT_OPERATIONS_MAX) {
                elements += record.left();
                if elements > KEPT_ELEMENTS_MAX {
                    break;
                }
                kept += 1;
            }
        }
        let count = frozen.len() - kept;
        let (oldest, rest) = self.done.split_at(count);
        let rises: Vec<OrderKey> = oldest.iter().map(|record| self.order_of(record)).collect();
        let youngest = rest.iter().map(|record| self.order_of(record)).min();
        let mut latest = self.floor.latest;
        let in_order = count == 0
            || rises
                .iter()
                .copied()
                .chain(youngest)
                .all(|order| latest.replace(order).is_none_or(|last| last < order));
        let mut forgotten = self.floor.forgotten.take().filter(|_| in_order);
        if let Some(forgotten) = &mut forgotten {
            rises.into_iter().for_each(|order| raise(forgotten, order));
        }
        self.floor = Floor {
            frozen: kept,
            ..Floor::new(forgotten)
        };
        let left: usize = oldest.iter().map(Record::left).sum();
        self.taken.drain(..left);
        self.done.drain(..count);
        self.taken.shrink_to_fit();
        self.done.shrink_to_fit();
    }

    /// The operations that are known, in the order in which they were done, told with their
    /// places; without `all` only those that freezing would keep. Returns what was there before
    /// them, and what is known of that. Without a transaction. O(all).
    pub fn kept(
        &self,
        all: bool,
        mut each: impl FnMut(OrderKey, Edit<'_, T>),
    ) -> (Vec<T>, Option<Forgotten>) {
        let mut before = self.clone();
        if !all {
            before.freeze(&|_| true);
        }
        if before.floor.forgotten.is_some() {
            while !before.done.is_empty() {
                before.undo(&mut Watch::Off);
            }
            let mut held = before.held.as_slice();
            for record in before.undone.iter().rev() {
                let brought;
                (held, brought) = held.split_at(held.len() - record.brought());
                each(before.order_of(record), record.edit(brought));
            }
        }
        let mut base = Vec::new();
        before.sequence.rope().copy(0..u32::MAX, &mut base);
        (base, before.floor.forgotten)
    }

    /// Adds an operation behind all others, whatever its place.
    pub fn append(&mut self, order: OrderKey, edit: Edit<'_, T>) {
        self.floor.note(order);
        let record = Record::new(self.author(order.peer), order.hlc, edit);
        let last = self.done.last();
        if last.is_some_and(|last| self.compare(last, order) != Ordering::Less) {
            self.floor.frozen = self.done.len();
        }
        self.do_new(record, edit.elements(), &mut Watch::Off);
    }

    /// Does an operation that is new.
    fn do_new(&mut self, mut record: Record, elements: &[T], watch: &mut Watch<'_, T>) {
        self.sequence
            .act(&mut record, elements, self.len_max, &mut self.taken, watch);
        self.done.push(record);
    }

    /// Does the oldest of the undone operations again.
    fn redo(&mut self, watch: &mut Watch<'_, T>) {
        let Some(mut record) = self.undone.pop() else {
            return;
        };
        let start = self.held.len() - record.brought();
        let brought = &self.held[start..];
        self.sequence
            .act(&mut record, brought, self.len_max, &mut self.taken, watch);
        self.held.truncate(start);
        self.done.push(record);
    }

    /// Undoes the youngest of the done operations.
    fn undo(&mut self, watch: &mut Watch<'_, T>) {
        let Some(record) = self.done.pop() else {
            return;
        };
        let Record {
            index,
            count,
            taken,
            ..
        } = record;
        match record.kind() {
            Kind::Insert if taken == count => {
                let at = index.min(self.sequence.rope().len() - count);
                self.sequence.remove(at, count, &mut self.held, watch);
            }
            Kind::Remove => {
                let start = self.taken.len() - taken as usize;
                if taken > 0 {
                    self.sequence.insert(index, &self.taken[start..], watch);
                }
                self.taken.truncate(start);
            }
            Kind::Insert | Kind::Replace => {
                let start = self.taken.len() - count as usize;
                let (old, rest) = self.taken[start..].split_at(taken as usize);
                if taken > 0 {
                    self.sequence.replace(index, old, &mut self.held, watch);
                }
                self.held.extend_from_slice(rest);
                self.taken.truncate(start);
            }
        }
        self.undone.push(record);
    }

    fn shrink(&mut self) {
        if self.held.is_empty() && self.held.capacity() > SPARE_MAX {
            self.held = Vec::new();
        }
        if self.undone.is_empty() && self.undone.capacity() > SPARE_MAX {
            self.undone = Vec::new();
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.sequence.heap_bytes()
            + (self.done.capacity() + self.undone.capacity()) * size_of::<Record>()
            + (self.taken.capacity() + self.held.capacity()) * size_of::<T>()
            + self.waiting.capacity() * size_of::<Record>()
            + self.waiting_elements.capacity() * size_of::<T>()
            + self.authors.capacity() * size_of::<PeerId>()
            + self.author_numbers.capacity() * size_of::<(PeerId, u32)>()
    }

    /// Panics if an invariant is broken. For tests.
    pub fn check(&self) {
        self.sequence.check();
        assert!(
            self.undone.is_empty() && self.held.is_empty(),
            "not settled"
        );
        let committed = self.done.len() - self.pending;
        let order = |record: &Record| (record.clock, self.authors[record.author() as usize]);
        assert!(
            self.done[self.floor.frozen..committed]
                .windows(2)
                .all(|pair| order(&pair[0]) < order(&pair[1]))
        );
        assert!(
            self.done[committed..]
                .iter()
                .all(|record| record.author() == PENDING)
        );
        assert!(self.floor.frozen <= committed);
        let taken = self.done.iter().map(Record::left);
        assert_eq!(taken.sum::<usize>(), self.taken.len());
    }
}

impl<T: Element + PartialEq> Watched<T> {
    /// Does an operation with the elements that it brings. What it takes out, and what it brings
    /// but has no place for, goes to `taken`.
    fn act(
        &mut self,
        record: &mut Record,
        elements: &[T],
        len_max: u32,
        taken: &mut Vec<T>,
        watch: &mut Watch<'_, T>,
    ) {
        let len = self.rope().len();
        record.taken = match record.kind() {
            Kind::Insert if record.count > len_max.saturating_sub(len) => 0,
            Kind::Insert => record.count,
            // As many as there are from the index on.
            Kind::Remove | Kind::Replace => record.count.min(len.saturating_sub(record.index)),
        };
        let (used, rest) = match record.kind() {
            Kind::Remove => (elements, elements),
            Kind::Insert | Kind::Replace => elements.split_at(record.taken as usize),
        };
        match record.kind() {
            _ if record.taken == 0 => (),
            Kind::Insert => self.insert(record.index.min(len), used, watch),
            Kind::Remove => self.remove(record.index, record.taken, taken, watch),
            Kind::Replace => self.replace(record.index, used, taken, watch),
        }
        taken.extend_from_slice(rest);
    }
}

/// The watcher once more, for a shorter time.
fn reborrowed<'a, T>(
    watcher: &'a mut Option<&mut dyn Watcher<T>>,
) -> Option<&'a mut dyn Watcher<T>> {
    match watcher {
        Some(watcher) => Some(&mut **watcher),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Documents hold less than 4 GiB of changes, but what snapshots and pruning leave behind may
    /// grow beyond.
    #[test]
    fn an_insertion_that_would_make_it_too_long_has_no_effect() {
        const LEN_MAX: usize = 6;
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut indexed = Indexed {
                len_max: LEN_MAX as u32,
                ..Indexed::default()
            };
            let mut known: Vec<(u64, usize, Vec<u16>)> = Vec::new();
            for _ in 0..20 {
                let clock = rng.below(1000) as u64;
                if known.iter().any(|(other, ..)| *other == clock) {
                    continue;
                }
                let index = rng.below(LEN_MAX);
                let elements: Vec<u16> = (0..rng.below(4)).map(|nth| nth as u16).collect();
                let order = OrderKey::new(PeerId::from_bytes([0; 16]), Hlc::from_u64(clock));
                let edit = match elements.len() {
                    0 => Edit::Remove {
                        index: index as u64,
                        count: 2,
                    },
                    _ => Edit::Insert {
                        index: index as u64,
                        elements: &elements,
                    },
                };
                indexed.apply(order, edit, None);
                indexed.settle(None);
                indexed.check();
                known.push((clock, index, elements));
                known.sort();
                let mut expected: Vec<u16> = Vec::new();
                for (_, index, elements) in &known {
                    let at = (*index).min(expected.len());
                    if elements.is_empty() {
                        expected.drain(at..expected.len().min(at + 2));
                    } else if expected.len() + elements.len() <= LEN_MAX {
                        expected.splice(at..at, elements.iter().copied());
                    }
                }
                assert_eq!(indexed.committed(), expected, "seed {seed}");
            }
        }
    }
}
