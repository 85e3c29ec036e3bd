//! What text and lists by position share: a sequence, and the operations that made it.
//!
//! Positions are not transformed: an operation acts on what is there when its turn comes in the
//! order of replay (specification 9.3, 9.4). A change from the past therefore undoes the younger
//! operations, acts, and has them done again. For that the operations are kept, joined to runs, and
//! what they took out lies on a stack; undone, what they put in lies on another. So each element is
//! in one place only, in the sequence or on one of the stacks. A run is undone and done again at
//! once: what was typed in one go costs as much as one operation, and a copy. Of that nothing is
//! done for an operation that the younger ones would not have noticed. Changes from the past wait
//! until [`settle`](Indexed::settle), so that all of an import together undo and do again only once.

use super::indexed_run::{Kind, PENDING, Run};
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

impl<T> Edit<'_, T> {
    fn run(self, author: u32, clock: Hlc) -> Run {
        let (kind, index, count) = match self {
            Edit::Insert { index, elements } => (Kind::Insert, index, elements.len() as u64),
            Edit::Remove { index, count } => (Kind::Remove, index, count),
            Edit::Replace { index, elements } => (Kind::Replace, index, elements.len() as u64),
        };
        Run::new(author, kind, clock, index, count)
    }
}

/// An operation of a run, with the elements that the run brings.
fn edit_of<'a, T>(run: &Run, nth: u32, elements: &'a [T]) -> Edit<'a, T> {
    let index = u64::from(run.index_of(nth));
    let unit = run.unit();
    let own = (nth * unit) as usize..((nth + 1) * unit) as usize;
    match run.kind() {
        Kind::Insert => Edit::Insert {
            index,
            elements: &elements[own],
        },
        Kind::Replace => Edit::Replace {
            index,
            elements: &elements[own],
        },
        Kind::Remove | Kind::RemoveBack => Edit::Remove {
            index,
            count: u64::from(unit),
        },
    }
}

/// What a sequence started from, and how much of what was done since is there for good.
#[derive(Clone, Debug)]
struct Floor {
    /// Runs of operations that a snapshot covers: what comes now acts behind them.
    frozen: usize,
    /// The operations that are in no run; None if they are not known, or did not come in the order
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

/// So many operations from the past are tried one by one, each against all younger runs.
const FEW_LATE: usize = 4;

/// Stacks that grew beyond so many elements are given back when they are empty.
const SPARE_MAX: usize = 4096;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Indexed<T> {
    sequence: Watched<T>,
    /// What the sequence shows, in the order of replay; last the open transaction's.
    done: Vec<Run>,
    /// Younger ones that are to be done again, from the last to the first. Empty, except while
    /// changes from the past are settled.
    undone: Vec<Run>,
    /// Those of the operations of runs, but the first of each. Only grows.
    clocks: Vec<Hlc>,
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
    waiting: Vec<Run>,
    waiting_elements: Vec<T>,
    floor: Floor,
}

impl<T> Default for Indexed<T> {
    fn default() -> Self {
        Indexed {
            sequence: Watched::default(),
            done: Vec::new(),
            undone: Vec::new(),
            clocks: Vec::new(),
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
        let run = edit.run(self.author(order.peer), order.hlc);
        self.floor.note(order);
        let last = self.done[self.floor.frozen..].last();
        if last.is_none_or(|last| self.compare(last, self.last_clock(last), order).is_lt()) {
            let watch = &mut watcher.map_or(Watch::Off, Watch::Each);
            self.do_new(run, edit.elements(), watch);
        } else {
            self.waiting.push(run);
            self.waiting_elements.extend_from_slice(edit.elements());
        }
    }

    /// Does and undoes until all older operations are done and no younger one. Returns whether
    /// the operation itself is among the done ones.
    fn seek(&mut self, order: OrderKey, watch: &mut Watch<'_, T>) -> bool {
        while let Some(next) = self.undone.last() {
            match self.older(next, order) {
                0 => break,
                older => {
                    self.split_undone(older);
                    self.redo(watch);
                }
            }
        }
        while let Some(last) = self.done[self.floor.frozen..].last() {
            let older = self.older(last, order);
            if older == last.operations {
                return self.compare(last, self.last_clock(last), order).is_eq();
            }
            self.split_done(self.done.len() - 1, older, self.taken.len());
            self.undo(watch);
        }
        false
    }

    /// Does a single operation from the past where it is to be done now, and undoes nothing, if
    /// all younger ones would do the same behind it. Returns whether it did, or knew it. No run is
    /// undone at the time. O(younger runs + log n).
    fn slip_in(
        &mut self,
        mut late: Run,
        order: OrderKey,
        brought: &[T],
        watch: &mut Watch<'_, T>,
    ) -> bool {
        let mut nth = self.done.len();
        let mut taken_end = self.taken.len();
        let mut len = self.sequence.rope().len();
        let mut longest = len;
        while nth > self.floor.frozen {
            let before = nth - 1;
            let last = self.done[before];
            let older = self.older(&last, order);
            if older == last.operations {
                if self.compare(&last, self.last_clock(&last), order).is_eq() {
                    return true;
                }
                break;
            }
            if older > 0 {
                self.split_done(before, older, taken_end);
                nth += 1;
                continue;
            }
            taken_end -= last.stacked();
            len = last.len_before(len);
            longest = longest.max(len);
            nth = before;
        }
        if late.kind() == Kind::Insert {
            if late.count > self.len_max.saturating_sub(longest) {
                return false;
            }
            late.taken = late.count;
        } else {
            late.taken = late.count.min(len.saturating_sub(late.index));
        }
        if late.taken > 0 {
            let Some(at) = late.passed(late.index.min(len), &self.done[nth..]) else {
                return false;
            };
            let mut out = Vec::new();
            let used = &brought[..brought.len().min(late.taken as usize)];
            match late.kind() {
                Kind::Insert => self.sequence.insert(at, used, watch),
                Kind::Replace => self.sequence.replace(at, used, &mut out, watch),
                _ => self.sequence.remove(at, late.taken, &mut out, watch),
            }
            self.taken.splice(taken_end..taken_end, out);
        }
        if late.kind() == Kind::Replace {
            let rest = brought[late.taken as usize..].iter().copied();
            let at = taken_end + late.taken as usize;
            self.taken.splice(at..at, rest);
        }
        self.done.insert(nth, late);
        true
    }

    /// How an operation of a run is ordered.
    fn compare(&self, run: &Run, clock: Hlc, order: OrderKey) -> Ordering {
        match self.authors.get(run.author() as usize) {
            Some(author) => (clock, *author).cmp(&(order.hlc, order.peer)),
            None => Ordering::Greater,
        }
    }

    fn last_clock(&self, run: &Run) -> Hlc {
        *run.more_clocks(&self.clocks).last().unwrap_or(&run.clock)
    }

    /// How many operations of a run are older than one, or this one.
    fn older(&self, run: &Run, order: OrderKey) -> u32 {
        if self.compare(run, run.clock, order).is_gt() {
            return 0;
        }
        let more = run.more_clocks(&self.clocks);
        if more
            .last()
            .is_none_or(|last| self.compare(run, *last, order).is_le())
        {
            return run.operations;
        }
        more.partition_point(|clock| self.compare(run, *clock, order).is_le()) as u32 + 1
    }

    /// Splits a done run behind so many operations, if both parts have some. What the runs up to it
    /// took out ends at `taken_end`.
    fn split_done(&mut self, nth: usize, older: u32, taken_end: usize) {
        let run = self.done[nth];
        if older == 0 || older == run.operations {
            return;
        }
        let (first, second) = run.split(older, &self.clocks);
        if run.kind() == Kind::RemoveBack {
            // Of the whole run what the last operation took comes first.
            let start = taken_end - run.taken as usize;
            self.taken[start..taken_end].rotate_left(second.taken as usize);
        }
        self.done[nth] = first;
        self.done.insert(nth + 1, second);
    }

    /// As [`split_done`](Self::split_done), of the oldest of the undone runs.
    fn split_undone(&mut self, older: u32) {
        let Some(run) = self
            .undone
            .last_mut()
            .filter(|run| older > 0 && older < run.operations)
        else {
            return;
        };
        let (first, second) = run.split(older, &self.clocks);
        let start = self.held.len() - run.brought();
        self.held[start..].rotate_left(first.brought());
        *run = second;
        self.undone.push(first);
    }

    fn author(&mut self, peer: PeerId) -> u32 {
        let last = self.done.last().map_or(PENDING, Run::author);
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
        self.do_new(edit.run(PENDING, Hlc::ZERO), edit.elements(), watch);
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
        let mut waiting: Vec<(OrderKey, Run, &[T])> = Vec::with_capacity(self.waiting.len());
        for run in std::mem::take(&mut self.waiting) {
            let brought;
            (brought, rest) = rest.split_at(run.brought());
            let author = self.authors[run.author() as usize];
            waiting.push((OrderKey::new(author, run.clock), run, brought));
        }
        // Stable: of two with one place the first one counts.
        waiting.sort_by_key(|(order, ..)| *order);
        let watch = &mut match watcher {
            Some(_) => Watch::Together,
            None => Watch::Off,
        };
        let few = waiting.len() <= FEW_LATE;
        for (order, run, brought) in waiting {
            if few && self.undone.is_empty() && self.slip_in(run, order, brought, watch) {
                continue;
            }
            if !self.seek(order, watch) {
                self.do_new(run, brought, watch);
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
        let (mut nth, mut taken_end) = (self.done.len(), self.taken.len());
        while nth > self.floor.frozen {
            let run = self.done[nth - 1];
            let last = (0..run.operations)
                .rev()
                .find(|at| covers(self.order_of(&run, *at)));
            if let Some(last) = last {
                self.split_done(nth - 1, last + 1, taken_end);
                self.floor.frozen = nth;
                break;
            }
            taken_end -= run.stacked();
            nth -= 1;
        }
        self.forget_oldest();
    }

    fn order_of(&self, run: &Run, nth: u32) -> OrderKey {
        let author = self.authors[run.author() as usize];
        OrderKey::new(author, run.clock_of(nth, &self.clocks))
    }

    /// How many of the frozen runs are beyond the limits, or of no use; one that is so in part is
    /// split.
    fn oldest_count(&mut self) -> usize {
        let mut nth = self.floor.frozen;
        if self.floor.forgotten.is_none() {
            return nth;
        }
        let mut taken_end = self.done[..nth].iter().map(Run::stacked).sum();
        let (mut operations, mut elements) = (KEPT_OPERATIONS_MAX, KEPT_ELEMENTS_MAX);
        while nth > 0 {
            let run = self.done[nth - 1];
            let mut fit = operations.min(run.operations as usize);
            if run.stacked() > elements {
                fit = fit.min(elements / run.unit() as usize);
            }
            if fit < run.operations as usize {
                if fit > 0 {
                    self.split_done(nth - 1, run.operations - fit as u32, taken_end);
                    self.floor.frozen += 1;
                }
                break;
            }
            operations -= fit;
            elements -= run.stacked();
            taken_end -= run.stacked();
            nth -= 1;
        }
        nth
    }

    /// Forgets of the frozen operations what is beyond the limits, or of no use.
    fn forget_oldest(&mut self) {
        let count = self.oldest_count();
        let kept = self.floor.frozen - count;
        let (oldest, rest) = self.done.split_at(count);
        let rises: Vec<OrderKey> = oldest
            .iter()
            .flat_map(|run| (0..run.operations).map(|nth| self.order_of(run, nth)))
            .collect();
        let youngest = rest.iter().map(|run| self.order_of(run, 0)).min();
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
        let left: usize = oldest.iter().map(Run::stacked).sum();
        self.taken.drain(..left);
        self.done.drain(..count);
        let mut clocks = Vec::new();
        for run in &mut self.done {
            run.move_clocks(&self.clocks, &mut clocks);
        }
        self.clocks = clocks;
        self.clocks.shrink_to_fit();
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
            for run in before.undone.iter().rev() {
                let brought;
                (held, brought) = held.split_at(held.len() - run.brought());
                for nth in 0..run.operations {
                    each(before.order_of(run, nth), edit_of(run, nth, brought));
                }
            }
        }
        let mut base = Vec::new();
        before.sequence.rope().copy(0..u32::MAX, &mut base);
        (base, before.floor.forgotten)
    }

    /// Adds an operation behind all others, whatever its place.
    pub fn append(&mut self, order: OrderKey, edit: Edit<'_, T>) {
        self.floor.note(order);
        let run = edit.run(self.author(order.peer), order.hlc);
        let last = self.done.last();
        if last.is_some_and(|last| self.compare(last, self.last_clock(last), order).is_ge()) {
            self.floor.frozen = self.done.len();
        }
        self.do_new(run, edit.elements(), &mut Watch::Off);
    }

    /// Does an operation that is new, and joins it to those before.
    fn do_new(&mut self, mut run: Run, elements: &[T], watch: &mut Watch<'_, T>) {
        self.sequence
            .act(&mut run, elements, self.len_max, &mut self.taken, watch);
        // Frozen ones stay as they are: nothing comes before their end.
        let last = self.done[self.floor.frozen..].last_mut();
        match last.and_then(|last| last.join(&run, &mut self.clocks)) {
            Some(0) => (),
            Some(behind) => {
                let start = self.taken.len() - behind - run.taken as usize;
                self.taken[start..].rotate_left(behind);
            }
            None => self.done.push(run),
        }
    }

    /// Does the oldest of the undone runs again, as far as there is room for it: the rest stays
    /// for the next call.
    fn redo(&mut self, watch: &mut Watch<'_, T>) {
        if let Some(next) = self.undone.last() {
            let room = self.len_max.saturating_sub(self.sequence.rope().len());
            if next.kind() == Kind::Insert && next.count > room {
                // What has no room has none later on, either: then it is refused as a whole.
                self.split_undone(room / next.unit());
            }
        }
        let Some(mut run) = self.undone.pop() else {
            return;
        };
        let start = self.held.len() - run.brought();
        let brought = &self.held[start..];
        self.sequence
            .act(&mut run, brought, self.len_max, &mut self.taken, watch);
        self.held.truncate(start);
        self.done.push(run);
    }

    /// Undoes the youngest of the done runs.
    fn undo(&mut self, watch: &mut Watch<'_, T>) {
        let Some(run) = self.done.pop() else {
            return;
        };
        let Run {
            index,
            count,
            taken,
            ..
        } = run;
        match run.kind() {
            Kind::Insert if taken == count => {
                let at = index.min(self.sequence.rope().len() - count);
                self.sequence.remove(at, count, &mut self.held, watch);
            }
            Kind::Remove | Kind::RemoveBack => {
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
        self.undone.push(run);
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
            + (self.done.capacity() + self.undone.capacity()) * size_of::<Run>()
            + self.clocks.capacity() * size_of::<Hlc>()
            + (self.taken.capacity() + self.held.capacity()) * size_of::<T>()
            + self.waiting.capacity() * size_of::<Run>()
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
        self.done.iter().for_each(|run| run.check(&self.clocks));
        let order = |run: &Run, clock: Hlc| (clock, self.authors[run.author() as usize]);
        let known = self.done[self.floor.frozen..committed].windows(2);
        assert!(known.into_iter().all(|pair| {
            order(&pair[0], self.last_clock(&pair[0])) < order(&pair[1], pair[1].clock)
        }));
        assert!(
            self.done[committed..]
                .iter()
                .all(|run| run.author() == PENDING)
        );
        assert!(self.floor.frozen <= committed);
        let taken = self.done.iter().map(Run::stacked);
        assert_eq!(taken.sum::<usize>(), self.taken.len());
    }
}

impl<T: Element + PartialEq> Watched<T> {
    /// Does a run with the elements that it brings. What it takes out, and what it brings but has
    /// no place for, goes to `taken`.
    fn act(
        &mut self,
        run: &mut Run,
        elements: &[T],
        len_max: u32,
        taken: &mut Vec<T>,
        watch: &mut Watch<'_, T>,
    ) {
        let len = self.rope().len();
        run.taken = match run.kind() {
            Kind::Insert if run.count > len_max.saturating_sub(len) => 0,
            Kind::Insert => run.count,
            // As many as there are from the index on.
            Kind::Remove | Kind::RemoveBack | Kind::Replace => {
                run.count.min(len.saturating_sub(run.index))
            }
        };
        let (used, rest) = match run.kind() {
            Kind::Remove | Kind::RemoveBack => (elements, elements),
            Kind::Insert | Kind::Replace => elements.split_at(run.taken as usize),
        };
        match run.kind() {
            _ if run.taken == 0 => (),
            Kind::Insert => self.insert(run.index.min(len), used, watch),
            Kind::Remove | Kind::RemoveBack => self.remove(run.index, run.taken, taken, watch),
            Kind::Replace => self.replace(run.index, used, taken, watch),
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
mod tests;
